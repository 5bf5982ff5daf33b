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
		return errors.New("idempotency: the store is nil")
	case o.lease <= 0:
		return fmt.Errorf("idempotency: a lease of %v", o.lease)
	case g.RedeliveryHorizon > o.store.Window():
		return fmt.Errorf("idempotency: the store keeps records for %v, and %s can bring an event again after %v",
			o.store.Window(), g.Channel, g.RedeliveryHorizon)
	}
	return nil
}

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
	g, err := o.store.Claim(ctx, key, Claim{Lease: o.lease, Fingerprint: fingerprint(e), Retake: in.Redriven})
	if err != nil {
		return nil, o.away(err)
	}
	o.stats.answered()
	switch g.State {
	case Claimed:
		o.stats.claimed.Add(1)
		return hold(ctx, o.store, key, g, o.lease, asked, func(error) { o.stats.failed() }), nil
	case Busy:
		o.stats.busy.Add(1)
		return nil, event.Postpone(g.Left, ErrBusy)
	case Mismatch:
		o.stats.mismatched.Add(1)
		if derived(e) { // the first wins: it is out
			return nil, nil //nolint:nilnil // handled
		}
		return nil, event.Permanent(fmt.Errorf("%w: %s", ErrMismatch, e.ID()))
	case Failed: // its dead letter is there
		o.stats.suppressed.Add(1)
		return nil, nil //nolint:nilnil // handled
	case Completed:
	}
	o.stats.suppressed.Add(1)
	return nil, again(ctx, g.Record)
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
	var r Record
	switch event.VerdictOf(err).Kind {
	case event.Done:
		r.Sent = sent.sent
		if result, ok := event.ResultOf(ctx); ok {
			r.Result = &result
		}
	case event.Rejected:
		r.Rejected = rejection(err)
	case event.Failed, event.FailedForGood, event.Postponed:
		if errors.Is(context.Cause(h.ctx), event.ErrLeaseLost) && ctx.Err() == nil { //nolint:contextcheck // it is made of ctx
			o.stats.fenced.Add(1)
			return event.Postpone(0, fmt.Errorf("%w: %w", ErrFenced, event.ErrLeaseLost)) // not its failure
		}
		o.undone(ctx, h)
		return err
	}
	if failed := o.complete(ctx, h, r); failed != nil {
		return failed
	}
	return err
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
			return o.away(err)
		}
	}
}

// undone gives a claim back whose run had no effect: as failed when its event becomes a
// dead letter, once that is there.
func (o *Once) undone(ctx context.Context, h *holding) {
	after := func(ctx context.Context, outcome event.Outcome) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.lease/3)
		defer cancel()
		end := o.store.Release
		if outcome.Kind == event.OutcomeDead {
			end = o.store.Fail
		}
		if err := end(ctx, h.key, h.fence); err != nil && !errors.Is(err, ErrFenced) {
			o.stats.failed() // the lease ends by itself
		}
	}
	if event.OnOutcome(ctx, nil, after) != nil { // nobody tells the outcome
		after(ctx, event.Outcome{Kind: event.OutcomeRetried})
	}
}

// away postpones what the store didn't answer for.
func (o *Once) away(err error) error {
	n := o.stats.failed()
	return event.Postpone(min(100*time.Millisecond<<min(n-1, 7), 10*time.Second), fmt.Errorf("idempotency: the store: %w", err))
}
