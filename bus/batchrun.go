package bus

import (
	"context"
	"time"

	"github.com/leat-go/leat/event"
)

// batchRun is one run of a batch handler.
type batchRun struct {
	g       *group
	members []*item         // in the order in which they came
	acts    []action        // what becomes of each
	live    []int           // those that the handler gets
	stuck   map[string]bool // keys of which the later events have to come again
}

// workBatch runs a batch handler for the items that a leader leads.
func (w *worker) workBatch(lead *item) {
	r := batchRun{g: w.g, members: lead.batch, acts: make([]action, len(lead.batch)), stuck: make(map[string]bool)}
	lead.batch = nil
	for i, it := range r.members {
		act, decided := w.g.withoutHandler(it)
		switch {
		case r.behind(it):
			r.acts[i] = actBehind
		case decided:
			r.conclude(i, act, false)
		default:
			ctx, ok := w.g.consumer.Begin(it.d.Token)
			if !ok {
				r.conclude(i, actDrop, false)
				continue
			}
			w.newAttempt(ctx, it)
			r.live = append(r.live, i)
		}
	}
	if len(r.live) > 0 {
		started := time.Now()
		r.decide(r.call(), started)
	}
	r.apply()
}

// behind reports whether an earlier event of the item's key did not come to its end.
func (r *batchRun) behind(it *item) bool {
	key := it.d.Event.Key()
	return key != "" && !r.g.unordered && len(r.stuck) > 0 && r.stuck[it.d.Topic+"\x00"+key]
}

// conclude notes what becomes of an item; unless it is over, the later ones of its
// key come again.
func (r *batchRun) conclude(i int, act action, over bool) {
	r.acts[i] = act
	it := r.members[i]
	if key := it.d.Event.Key(); key != "" && !over {
		r.stuck[it.d.Topic+"\x00"+key] = true
	}
}

// call calls the handler.
func (r *batchRun) call() (err error) {
	ctx, cancel := context.WithCancelCause(r.g.ctx)
	defer cancel(context.Canceled)
	batch := &event.Batch{Context: ctx, Elements: make([]context.Context, len(r.live))}
	events := make([]event.Event, len(r.live))
	for j, i := range r.live {
		own := r.members[i].run
		events[j], batch.Elements[j] = own.Info.Event, own
		defer context.AfterFunc(own.Context, func() { cancel(context.Cause(own.Context)) })()
	}
	defer recovered(&err)
	return r.members[0].h.batchFn(batch, events)
}

// decide decides about each event by what the handler returned.
func (r *batchRun) decide(err error, started time.Time) {
	took := time.Since(started)
	for j, i := range r.live {
		it := r.members[i]
		if r.behind(it) {
			r.leave(it)
			r.acts[i] = actBehind
			continue
		}
		own := it.run
		act := r.g.decide(it, errorAt(err, j, len(r.live)))
		r.g.tellAttempt(own, it, act, started, took)
		r.conclude(i, act, act == actSettle && it.outcome.Kind <= event.OutcomeRejected)
	}
}

// leave ends the run of an item that comes again behind another.
func (r *batchRun) leave(it *item) {
	it.run.end(false)
	it.run = nil
	it.runs--
	r.g.consumer.Hold(it.d.Token, it.failures)
}

// apply does what was decided, all at once and in order, so that the settlements of a
// key are made in its order.
func (r *batchRun) apply() {
	g := r.g
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, it := range r.members {
		if r.acts[i] == actBehind {
			it.taken = false
			continue
		}
		g.apply(it, r.acts[i])
	}
	for i, it := range r.members { // those that came to be the front of their key meanwhile
		if r.acts[i] == actBehind && it.last != nil {
			g.passTo(it)
		}
	}
}
