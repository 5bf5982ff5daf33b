package idempotency

import (
	"context"
	"errors"

	"github.com/leat-go/leat/event"
)

// WrapBatch implements [event.BatchMiddleware]: the events that are ours are handled in
// one transaction. Where one of them fails, or must wait behind one that isn't ours, each
// is handled in its own, in order.
func (o *OnceInTx) WrapBatch(next event.BatchHandler) event.BatchHandler {
	return func(ctx context.Context, events []event.Event) error {
		b := &txBatch{o, next, newTaken(events)}
		if err := b.run(ctx); err != nil {
			return err
		}
		return b.result()
	}
}

// txBatch is one run of a batch.
type txBatch struct {
	*OnceInTx

	next event.BatchHandler
	taken
}

func (b *txBatch) run(ctx context.Context) error {
	some := b.distinct(ctx)
	tx, grants, err := b.begin(event.Elements(ctx, some), pick(b.events, some))
	if err != nil {
		return err
	}
	if tx != nil {
		defer tx.Rollback(context.WithoutCancel(ctx))
	}
	var ours []int
	whole := true // whether all that is claimed is handled now
	for n, i := range some {
		switch {
		case b.behind(i):
			whole = whole && grants[n].State != Claimed
		case grants[n].State == Claimed:
			ours = append(ours, i)
		default:
			b.ended(i, b.stats.answer(event.Element(ctx, i), b.events[i], grants[n]))
		}
	}
	if len(ours) == 0 || whole && b.together(ctx, tx, ours, grants, some) {
		return nil
	}
	if tx != nil {
		tx.Rollback(context.WithoutCancel(ctx))
	}
	for _, i := range ours {
		if !b.behind(i) {
			b.ended(i, b.alone(ctx, i))
		}
	}
	return nil
}

// together handles events in the transaction in which they were claimed. It reports
// whether that is their end: not when one of them fails.
func (b *txBatch) together(ctx context.Context, tx Transaction, ours []int, grants []Grant, some []int) bool {
	sent, errs := b.handle(ctx, tx, ours)
	for _, err := range errs {
		if err != nil && len(ours) > 1 {
			return false
		}
	}
	if len(ours) == 1 {
		i := ours[0]
		b.stats.claimed.Add(1)
		if errs == nil {
			errs = []error{nil}
		}
		b.ended(i, b.conclude(event.Element(ctx, i), tx, b.events[i], sent[0], errs[0]))
		return true
	}
	done := make([]Record, len(grants))
	for n, at := 0, 0; n < len(grants) && at < len(ours); n++ {
		if some[n] != ours[at] {
			continue
		}
		done[n].Sent = sent[at]
		if result, ok := event.ResultOf(event.Element(ctx, ours[at])); ok {
			done[n].Result = &result
		}
		at++
	}
	ended, cancel := ending(ctx)
	defer cancel()
	err := tx.Commit(ended, done)
	switch {
	case err == nil:
		b.stats.answered()
		b.stats.claimed.Add(int64(len(ours)))
		return true
	case errors.Is(err, ErrAborted), tx.Interrupted(err):
		return false
	}
	for _, i := range ours {
		b.ended(i, b.committed(event.Element(ctx, i), b.events[i], tx, err))
	}
	return true
}

// alone handles one event in a transaction of its own.
func (b *txBatch) alone(batch context.Context, i int) error {
	ctx, e := event.Element(batch, i), b.events[i]
	tx, grants, err := b.begin(ctx, []event.Event{e})
	if err != nil {
		return err
	}
	if tx == nil {
		return b.stats.answer(ctx, e, grants[0])
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	b.stats.claimed.Add(1)
	sent, errs := b.handle(batch, tx, []int{i})
	if errs != nil {
		err = errs[0]
	}
	return b.conclude(ctx, tx, e, sent[0], err)
}

// handle runs the handler on some of the events.
func (b *txBatch) handle(ctx context.Context, tx Transaction, at []int) ([][]Sent, []error) {
	batch := &event.Batch{Context: tx.Context(ctx)}
	outboxes := make([]*kept, len(at))
	for n, i := range at {
		outboxes[n] = &kept{}
		batch.Elements = append(batch.Elements, event.WithOutbox(event.Element(ctx, i), outboxes[n]))
	}
	errs := event.ErrorsOf(b.next(batch, pick(b.events, at)), len(at)) //nolint:contextcheck // it is made of ctx
	sent := make([][]Sent, len(at))
	for n, k := range outboxes {
		sent[n] = k.end()
	}
	return sent, errs
}

// pick returns the events at some indexes.
func pick(events []event.Event, at []int) []event.Event {
	some := make([]event.Event, len(at))
	for n, i := range at {
		some[n] = events[i]
	}
	return some
}
