package idempotency

import (
	"context"

	"github.com/leat-go/leat/event"
)

// WrapBatch implements [event.BatchMiddleware]: the handler gets the events that are
// ours. One of a key whose predecessor isn't waits with it.
func (o *Once) WrapBatch(next event.BatchHandler) event.BatchHandler {
	return func(ctx context.Context, events []event.Event) error {
		failed := make(event.BatchError)
		waits := make(map[string]bool)
		var ours []*holding
		var at []int
		defer func() {
			for _, h := range ours {
				h.end()
			}
		}()
		for i, e := range events {
			if key := e.Key(); key != "" && waits[key] {
				failed[i] = event.ErrBehind
				continue
			}
			h, err := o.claim(event.Element(ctx, i), e)
			switch {
			case h != nil:
				ours, at = append(ours, h), append(at, i)
			case err != nil:
				failed[i] = err
				waits[e.Key()] = event.VerdictOf(err).Kind != event.Rejected
			}
		}
		if len(ours) > 0 {
			o.runBatch(ctx, next, events, ours, at, failed)
		}
		if len(failed) > 0 {
			return failed
		}
		return nil
	}
}

// runBatch runs the handler on what is ours, and concludes each.
func (o *Once) runBatch(
	ctx context.Context, next event.BatchHandler, events []event.Event, ours []*holding, at []int, failed event.BatchError,
) {
	run, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	batch := &event.Batch{Context: run}
	some := make([]event.Event, len(at))
	sent := make([]*recorder, len(at))
	stops := make([]func() bool, 0, len(at))
	defer func() {
		for _, stop := range stops {
			stop()
		}
	}()
	for n, i := range at {
		h := ours[n]
		stops = append(stops, context.AfterFunc(h.ctx, func() { cancel(context.Cause(h.ctx)) })) //nolint:contextcheck // of ctx
		var own context.Context
		own, sent[n] = record(h.ctx)
		some[n], batch.Elements = events[i], append(batch.Elements, own)
	}
	errs := event.ErrorsOf(next(batch, some), len(some)) //nolint:contextcheck // it is made of ctx
	for n, i := range at {
		var err error
		if errs != nil {
			err = errs[n]
		}
		if err = o.conclude(event.Element(ctx, i), ours[n], sent[n], err); err != nil {
			failed[i] = err
		}
	}
}
