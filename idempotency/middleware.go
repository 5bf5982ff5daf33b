package idempotency

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leat-go/leat/event"
)

// Once is a middleware that lets a handler have its effect once for each event. Make it
// with [Middleware].
type Once struct {
	store Store
	lease time.Duration
	stats stats
}

var (
	_ event.Middleware      = (*Once)(nil)
	_ event.BatchMiddleware = (*Once)(nil)
	_ event.StartChecker    = (*Once)(nil)
	_ event.ReadyChecker    = (*Once)(nil)
)

// Option is an option of [Middleware].
type Option func(*Once)

const defaultLease = 30 * time.Second

// Lease is how long a claim lasts whose process has died: then another delivery takes
// over. A process that lives extends its claims. The default is 30 s.
func Lease(d time.Duration) Option { return func(o *Once) { o.lease = d } }

// Middleware returns a middleware that claims an event in a store before its handler
// runs, and records there that it has succeeded.
func Middleware(store Store, opts ...Option) *Once {
	o := &Once{store: store, lease: defaultLease}
	for _, opt := range opts {
		opt(o)
	}
	return o
}

// CheckStart implements [event.StartChecker]: it refuses a store that forgets sooner than
// the channel can bring an event again.
func (o *Once) CheckStart(_ event.Subscription, g event.Guarantees) error {
	switch {
	case o.store == nil:
		return errNoStore
	case o.lease <= 0:
		return fmt.Errorf("idempotency: a lease of %v", o.lease)
	}
	return checkWindow(o.store.Window(), g)
}

var errNoStore = errors.New("idempotency: the store is nil")

func checkWindow(window time.Duration, g event.Guarantees) error {
	if g.RedeliveryHorizon > window {
		return fmt.Errorf("idempotency: the store keeps records for %v, and %s can bring an event again after %v",
			window, g.Channel, g.RedeliveryHorizon)
	}
	return nil
}

// Stats returns what the middleware has done so far.
func (o *Once) Stats() Stats { return o.stats.read() }

// Ready implements [event.ReadyChecker]: it returns nil unless the store didn't answer last time.
func (o *Once) Ready() error { return o.stats.ready() }

// Wrap implements [event.Middleware].
func (o *Once) Wrap(next event.Handler) event.Handler {
	return func(ctx context.Context, e event.Event) error {
		h, err := o.claim(ctx, e)
		if h == nil {
			return err
		}
		defer h.end()
		run, sent := record(h.ctx)
		err = next(run, e) //nolint:contextcheck // it is made of ctx
		return o.conclude(ctx, h, sent, err)
	}
}

// claim claims an event. Without a claim there is nothing to run, and err is the answer.
func (o *Once) claim(ctx context.Context, e event.Event) (*holding, error) {
	in, _ := event.FromContext(ctx)
	key, asked := KeyOf(in.Group, e), time.Now()
	limited, cancel := context.WithTimeout(ctx, o.lease) // an answer that comes later would be no claim
	defer cancel()
	g, err := o.store.Claim(limited, key, Claim{Lease: o.lease, Fingerprint: fingerprint(e), Retake: in.Redriven})
	if err != nil {
		return nil, o.stats.away(err)
	}
	o.stats.answered()
	if g.State != Claimed {
		return nil, o.stats.answer(ctx, e, g)
	}
	o.stats.claimed.Add(1)
	return hold(ctx, o.store, key, g, o.lease, asked, func(error) { o.stats.failed() }), nil
}

// answer counts a delivery that there is nothing to run for, and returns its error.
func (s *stats) answer(ctx context.Context, e event.Event, g Grant) error {
	switch g.State {
	case Busy:
		s.busy.Add(1)
		return event.Postpone(g.Left, ErrBusy)
	case Mismatch:
		s.mismatched.Add(1)
		if derived(e) { // the first wins: it is out
			return nil
		}
		return event.Permanent(fmt.Errorf("%w: %s", ErrMismatch, e.ID()))
	case Failed: // its dead letter is there
		s.suppressed.Add(1)
		return nil
	case Claimed, Completed:
	}
	s.suppressed.Add(1)
	return again(ctx, g.Record)
}

// again answers as the handler did.
func again(ctx context.Context, r Record) error {
	if r.Rejected != nil {
		return event.Reject(r.Rejected)
	}
	if r.Result != nil {
		if err := event.SetResult(ctx, r.Result.ContentType, r.Result.Data); err != nil {
			return err
		}
	}
	return replay(ctx, r.Sent)
}

// conclude records what became of a run, and returns what its delivery is to become.
func (o *Once) conclude(ctx context.Context, h *holding, sent *recorder, err error) error {
	r, success, err := o.outcome(ctx, h, sent, err)
	if success {
		if failed := o.complete(ctx, h, r); failed != nil {
			return failed
		}
	}
	return err
}

// outcome returns what is to be recorded of a run that succeeded, or was rejected. What
// failed is undone, and err is what its delivery is to become.
func (o *Once) outcome(ctx context.Context, h *holding, sent *recorder, err error) (r Record, success bool, _ error) {
	switch event.VerdictOf(err).Kind {
	case event.Done:
		r.Sent = sent.sent
		if result, ok := event.ResultOf(ctx); ok {
			r.Result = &result
		}
		return r, true, err
	case event.Rejected:
		r.Rejected = rejection(err)
		return r, true, err
	case event.Failed, event.FailedForGood, event.Postponed:
	}
	if errors.Is(context.Cause(h.ctx), event.ErrLeaseLost) && ctx.Err() == nil { //nolint:contextcheck // it is made of ctx
		o.stats.fenced.Add(1)
		return r, false, event.Postpone(0, fmt.Errorf("%w: %w", ErrFenced, event.ErrLeaseLost)) // not its failure
	}
	o.undone(ctx, h)
	return r, false, err
}

// complete records a success, again and again while the claim is ours: the effect has
// happened, and without a record it would happen again. A claim that has ended, and that
// nobody took over, is worth the try.
func (o *Once) complete(ctx context.Context, h *holding, r Record) error {
	ctx = context.WithoutCancel(ctx)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		bounded, cancel := context.WithTimeout(ctx, o.lease/3)
		err := o.store.Complete(bounded, h.key, h.fence, r)
		cancel()
		switch {
		case err == nil:
			o.stats.answered()
			return nil
		case errors.Is(err, ErrFenced):
			o.stats.fenced.Add(1)
			return event.Postpone(0, err)
		}
		o.stats.failed()
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-h.ctx.Done():
			timer.Stop()
			return o.stats.away(err)
		}
	}
}

// release gives a claim back.
func (o *Once) release(ctx context.Context, key Key, fence uint64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.lease/3)
	defer cancel()
	o.told(o.store.Release(ctx, key, fence))
}

// told counts what the store said to the end of a claim. Where it didn't answer the lease
// ends by itself.
func (o *Once) told(err error) {
	switch {
	case errors.Is(err, ErrFenced):
		o.stats.fenced.Add(1)
	case err != nil:
		o.stats.failed()
	}
}

// undone gives a claim back whose run had no effect: as failed when its event becomes a
// dead letter, once that is there.
func (o *Once) undone(ctx context.Context, h *holding) {
	after := func(ctx context.Context, outcome event.Outcome) {
		if outcome.Kind != event.OutcomeDead {
			o.release(ctx, h.key, h.fence)
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.lease/3)
		defer cancel()
		o.told(o.store.Fail(ctx, h.key, h.fence))
	}
	if event.OnOutcome(ctx, nil, after) != nil { // nobody tells the outcome
		after(ctx, event.Outcome{Kind: event.OutcomeRetried})
	}
}
