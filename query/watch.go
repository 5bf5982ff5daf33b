package query

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// WatchOption says how [Watch] watches.
type WatchOption interface{ applyWatch(w *watching) }

// watching is what options say.
type watching struct{ refresh time.Duration }

type watchOption func(*watching)

func (o watchOption) applyWatch(w *watching) { o(w) }

// Refresh asks again at least every d, for what changes without being told. 0 is never.
func Refresh(d time.Duration) WatchOption {
	return watchOption(func(w *watching) { w.refresh = d })
}

// Watch returns the answer to a query now, and then each time that it is another: after
// [Changed], by an event that [ChangedBy] names, and when changes may have been missed. Two
// answers are the same if their encodings are. Who is slow gets the newest answer, and none in
// between.
//
// Watchers of the same query on a Bus share what is asked: one [Ask] at a time, of up to 30
// seconds, with the values of the context of the first; an answer may depend on the query and
// the tenant, and on nothing else that ctx has. They share the answer too: it isn't
// copied. An answer that was being made when something changed is asked for again.
//
// An error is returned beside a zero answer, and the watch goes on: it is asked again after a
// second, later after up to 30, and when something changes. The answer after an
// error is returned even if it is the one before. The last error is the cause of ctx's
// end, [event.ErrClosed] when the Bus is shut down, or [bus.ErrNotStarted].
//
// No goroutine is there but while somebody asks, beside the one of the Bus for each type of
// query that is watched or cached.
func Watch[R, Q any](ctx context.Context, b *bus.Bus, q Q, opts ...WatchOption) iter.Seq2[R, error] {
	var how watching
	for _, o := range opts {
		if o != nil {
			o.applyWatch(&how)
		}
	}
	return func(yield func(R, error) bool) {
		var none R
		w, err := watch[R](ctx, b, q, how)
		if err != nil {
			yield(none, err)
			return
		}
		defer w.leave()
		var last *state[R]
		for {
			s, err := w.wait(ctx, nil)
			if err != nil {
				yield(none, err)
				return
			}
			if s.err == nil && last != nil && last.sum == s.sum { // an error has none
				continue
			}
			last = s
			if !yield(s.answer, s.err) {
				return
			}
		}
	}
}

// listenWait is how long a watch waits for the subscription to changes. It asks then without, and
// again when it is there.
const listenWait = 5 * time.Second

// watch begins to watch. It is subscribed to changes before it asks.
func watch[R, Q any](ctx context.Context, b *bus.Bus, q Q, how watching) (*watcher[R, Q], error) {
	ws, err := watchesOf[R, Q](b)
	if err != nil {
		return nil, err
	}
	k, err := ws.c.key(tenantOf(ctx), q)
	if err != nil {
		return nil, err
	}
	if err := ws.f.use(ctx); err != nil {
		return nil, err
	}
	if err := ws.f.await(ctx); err != nil {
		return nil, err
	}
	return ws.join(ctx, k, q, how), nil
}

// await waits until the subscription is open, or can't be for now.
func (f *news) await(ctx context.Context) error {
	late := time.NewTimer(listenWait)
	defer late.Stop()
	select {
	case <-f.ready:
	case <-late.C:
	case <-ctx.Done():
	case <-f.c.life.Done():
	}
	return f.over(ctx)
}

// over returns why nobody watches any more, or nil.
func (f *news) over(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return context.Cause(f.c.life) //nolint:contextcheck // of the Bus
}

// watcher is one who watches. It is used by one goroutine.
type watcher[R, Q any] struct {
	s     *shared[R, Q]
	how   watching
	since int           // what was asked up to here isn't for it
	seen  int           // the state that it had last
	news  chan struct{} // there may be another
}

// wait returns the next state, or nil when beat fires before. An error is the end.
func (w *watcher[R, Q]) wait(ctx context.Context, beat <-chan time.Time) (*state[R], error) {
	var refresh <-chan time.Time
	if w.how.refresh > 0 {
		timer := time.NewTimer(w.s.due(w.how.refresh))
		defer timer.Stop()
		refresh = timer.C
	}
	for {
		if err := w.s.ws.f.over(ctx); err != nil {
			return nil, err
		}
		if s := w.next(); s != nil {
			if errors.Is(s.err, event.ErrClosed) && errors.Is(w.s.ws.c.style.Accepts(ctx), event.ErrClosed) {
				return nil, event.ErrClosed // a Drain takes no more queries
			}
			return s, nil
		}
		select {
		case <-w.news:
		case <-beat:
			return nil, nil //nolint:nilnil // nothing has happened
		case <-refresh:
			refresh = time.After(w.s.refresh(w.how.refresh))
		case <-ctx.Done():
		case <-w.s.ws.c.life.Done():
		}
	}
}
