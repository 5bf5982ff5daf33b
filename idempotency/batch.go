package idempotency

import (
	"context"
	"time"

	"github.com/leat-go/leat/event"
)

// WrapBatch implements [event.BatchMiddleware]: the handler gets the events that are
// ours. One of a key whose predecessor isn't waits with it.
func (o *Once) WrapBatch(next event.BatchHandler) event.BatchHandler {
	return func(ctx context.Context, events []event.Event) error {
		b := &onceBatch{o, next, newTaken(events)}
		ours, at := b.claim(ctx)
		defer func() {
			for _, h := range ours {
				h.end()
			}
		}()
		if len(ours) > 0 {
			b.run(ctx, ours, at)
		}
		return b.result()
	}
}

// onceBatch is one run of a batch.
type onceBatch struct {
	*Once

	next event.BatchHandler
	taken
}

// claim claims the events of the batch, and returns those that are ours, with their indexes.
func (b *onceBatch) claim(ctx context.Context) (ours []*holding, at []int) {
	some := b.distinct(ctx)
	keys, claims := make([]Key, len(some)), make([]Claim, len(some))
	for n, i := range some {
		in, _ := event.FromContext(event.Element(ctx, i))
		keys[n] = KeyOf(in.Group, b.events[i])
		claims[n] = Claim{Lease: b.lease, Fingerprint: fingerprint(b.events[i]), Retake: in.Redriven}
	}
	asked := time.Now()
	limited, cancel := context.WithTimeout(ctx, b.lease)
	defer cancel()
	grants, errs := claimAll(limited, b.store, keys, claims)
	for n, i := range some {
		own := event.Element(ctx, i)
		behind := b.behind(i)
		if errs[n] != nil {
			if !behind {
				b.ended(i, b.stats.away(errs[n]))
			}
			continue
		}
		b.stats.answered()
		switch {
		case grants[n].State == Claimed && behind: // its turn comes later
			b.release(own, keys[n], grants[n].Fence)
		case behind:
		case grants[n].State == Claimed:
			b.stats.claimed.Add(1)
			ours, at = append(ours, hold(own, b.store, keys[n], grants[n], b.lease, asked, func(error) { b.stats.failed() })), append(at, i)
		default:
			b.ended(i, b.stats.answer(own, b.events[i], grants[n]))
		}
	}
	return ours, at
}

// run runs the handler on what is ours, and concludes each.
func (b *onceBatch) run(ctx context.Context, ours []*holding, at []int) {
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
		some[n], batch.Elements = b.events[i], append(batch.Elements, own)
	}
	errs := event.ErrorsOf(b.next(batch, some), len(some)) //nolint:contextcheck // it is made of ctx
	b.conclude(ctx, ours, at, sent, errs)
}

// conclude records what succeeded together, and ends each.
func (b *onceBatch) conclude(ctx context.Context, ours []*holding, at []int, sent []*recorder, errs []error) {
	var keys []Key
	var fences []uint64
	var records []Record
	var which []int
	for n, i := range at {
		var err error
		if errs != nil {
			err = errs[n]
		}
		r, success, err := b.outcome(event.Element(ctx, i), ours[n], sent[n], err)
		if !success {
			b.ended(i, err)
			continue
		}
		keys, fences, records = append(keys, ours[n].key), append(fences, ours[n].fence), append(records, r)
		which = append(which, n)
	}
	if len(which) == 0 {
		return
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.lease/3)
	recorded := completeAll(bounded, b.store, keys, fences, records)
	cancel()
	for m, n := range which {
		own := event.Element(ctx, at[n])
		err := recorded[m]
		if err != nil {
			err = b.complete(own, ours[n], records[m])
		} else {
			b.stats.answered()
		}
		if err == nil && records[m].Rejected != nil {
			err = errs[n]
		}
		b.ended(at[n], err)
	}
}
