package idempotency

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leat-go/leat/event"
)

// BusyError is an [ErrBusy] that says how long.
type BusyError struct{ Left time.Duration } // of the lease of who is at it

// Error tells for how long.
func (e *BusyError) Error() string {
	return fmt.Sprintf("%v, for %v at most unless it takes longer", ErrBusy, e.Left)
}

// Is reports whether target is [ErrBusy].
func (e *BusyError) Is(target error) bool { return target == ErrBusy }

// Do runs f unless what the key names was done, and returns what f answered, then or now.
// fingerprint tells what is to be done, "" if the key alone does: another one is refused
// with [ErrMismatch]. While somebody else is at it the error is a *[BusyError].
//
// An error of f, or a panic, leaves nothing behind: the next call runs it again. An [event.Reject] is an
// answer, recorded and given again. Do returns when the answer is recorded; when that can't
// be done before the claim ends, the error says so, and f may run again.
func (o *Once) Do(ctx context.Context, key Key, fingerprint string, f func(context.Context) (event.Result, error)) (event.Result, error) {
	asked := time.Now()
	limited, cancel := context.WithTimeout(ctx, o.lease) // an answer that comes later would be no claim
	defer cancel()
	g, err := o.store.Claim(limited, key, Claim{Lease: o.lease, Fingerprint: fingerprint, Retake: true})
	if err != nil {
		o.stats.failed()
		return event.Result{}, fmt.Errorf("idempotency: the store: %w", err)
	}
	o.stats.answered()
	switch g.State {
	case Claimed:
	case Failed: // the store was asked to take it over
		return event.Result{}, fmt.Errorf("idempotency: the store didn't let %v be retaken", key)
	case Busy:
		o.stats.busy.Add(1)
		return event.Result{}, &BusyError{g.Left}
	case Mismatch:
		o.stats.mismatched.Add(1)
		return event.Result{}, ErrMismatch
	case Completed:
		o.stats.suppressed.Add(1)
		return answer(g.Record)
	}
	o.stats.claimed.Add(1)
	h := hold(ctx, o.store, key, g, o.lease, asked, func(error) { o.stats.failed() })
	defer h.end()
	return o.run(ctx, h, f)
}

// answer returns what was recorded.
func answer(r Record) (event.Result, error) {
	switch {
	case r.Rejected != nil:
		return event.Result{}, event.Reject(r.Rejected)
	case r.Result == nil:
		return event.Result{}, nil
	}
	return *r.Result, nil
}

func (o *Once) run(ctx context.Context, h *holding, f func(context.Context) (event.Result, error)) (event.Result, error) {
	returned := false
	defer func() {
		if !returned {
			o.release(ctx, h.key, h.fence)
		}
	}()
	result, err := f(h.ctx) //nolint:contextcheck // it is made of ctx
	returned = true
	var r Record
	switch event.VerdictOf(err).Kind {
	case event.Done:
		r.Result = &result
	case event.Rejected:
		r.Rejected = rejection(err)
	case event.Failed, event.FailedForGood, event.Postponed:
		o.undone(ctx, h)
		return event.Result{}, err
	}
	if failed := o.complete(ctx, h, r); failed != nil {
		return event.Result{}, fmt.Errorf("idempotency: it was done, and that could not be recorded: %w", errors.Unwrap(failed))
	}
	return result, err
}
