package bus

import (
	"context"
	"errors"
	"time"

	"github.com/leat-go/leat/event"
)

// batchRun is one run of a batch handler.
type batchRun struct {
	g       *group
	members members
	acts    []action // what becomes of each
	live    []int    // those that the handler gets
	stuck   keySet   // keys of which the later events have to come again
	called  bool     // the handler was
	err     error    // its answer
	decided int      // how many of live are decided, but for one that is being decided
	within  bool     // one is
	ended   error    // why the context ended before the handler returned
	unsent  bool     // what one of them published does not reach the channel
	started time.Time
	took    time.Duration
}

// beginBatch makes the attempts of the items that a leader leads.
func (w *worker) beginBatch(lead *item) *batchRun {
	all := *lead.batch
	lead.batch = nil
	r := &batchRun{g: w.g, members: all, acts: make([]action, len(all)), live: make([]int, 0, len(all))}
	for i, it := range r.members {
		if r.begin(w, i, it) {
			r.live = append(r.live, i)
		}
	}
	r.stuck = nil // what comes again behind those that were not begun is known
	return r
}

// finish does what is left of a run. When a handler, or a function of an outcome, ends
// the goroutine, another one calls it again.
func (r *batchRun) finish() {
	if !r.called {
		r.called, r.err = true, errExited
		if len(r.live) > 0 {
			r.err = r.call()
		}
	}
	r.decideAll()
	r.apply()
}

// begin makes the attempt of an item; or decides what becomes of it without one.
func (r *batchRun) begin(w *worker, i int, it *item) bool {
	if r.behind(it) {
		r.acts[i] = actBehind
		return false
	}
	if act, decided := r.g.withoutHandler(it); decided {
		r.conclude(i, act, false)
		return false
	}
	ctx, ok := r.g.consumer.Begin(it.d.Token)
	if !ok {
		r.conclude(i, actDrop, false)
		return false
	}
	w.newAttempt(ctx, it)
	return true
}

// behind reports whether an earlier event of the item's key did not come to its end.
func (r *batchRun) behind(it *item) bool {
	return len(r.stuck) > 0 && r.stuck.has(it.d.Topic, it.d.Event.Key())
}

// conclude notes what becomes of an item; unless it is over, the later ones of its
// key come again.
func (r *batchRun) conclude(i int, act action, over bool) {
	r.acts[i] = act
	if it := r.members[i]; !over && !r.g.unordered {
		r.stuck.add(it.d.Topic, it.d.Event.Key())
	}
}

// call calls the handler.
func (r *batchRun) call() (err error) {
	ctx := &together{Context: r.g.ctx, b: r.g.b, parts: make([]context.Context, len(r.live))}
	batch := &event.Batch{Context: ctx, Elements: make([]context.Context, len(r.live))}
	events := make([]event.Event, len(r.live))
	for j, i := range r.live {
		own := r.members[i].run
		events[j], batch.Elements[j], ctx.parts[j] = own.Info.Event, own, own.Context
	}
	r.started = time.Now()
	defer func() {
		r.took = time.Since(r.started)
		r.ended = ctx.end()
	}()
	defer recovered(&err)
	err = r.members[0].h.batchFn(batch, events)
	for _, one := range event.ErrorsOf(err, len(r.live)) {
		look(one)
	}
	return err
}

// decideAll decides about each event by what the handler returned.
func (r *batchRun) decideAll() {
	errs := event.ErrorsOf(r.err, len(r.live))
	for r.decided < len(r.live) {
		i := r.live[r.decided]
		it := r.members[i]
		own := it.run
		var act action
		if r.within { // a function of its outcome ended the goroutine
			act = r.g.exited(it)
		} else {
			r.within = true
			act = r.decide(it, errorAt(errs, r.decided))
		}
		r.within = false
		r.decided++
		r.conclude(i, act, act == actSettle && it.outcome.Kind <= event.OutcomeRejected)
		r.g.tellAttempt(own, it, act, r.started, r.took)
	}
}

// decide decides about one event.
func (r *batchRun) decide(it *item, err error) action {
	own, g := it.run, r.g
	gone := own.Context.Err() != nil
	switch {
	case gone && errors.Is(context.Cause(own.Context), event.ErrLeaseLost):
		own.end(false)
		return actDrop
	case r.behind(it):
		return g.comeBehind(it)
	case err == nil && r.unsent && len(own.collected) > 0: // not that each waits for an answer
		own.end(true)
		it.outcome = event.Outcome{Kind: event.OutcomeAcked}
		g.holdFor(it, stepProduce)
		return actHold
	case err != nil && !gone && r.ended != nil: // because of another's: not a failure
		own.end(false)
		it.released = errors.Is(r.ended, event.ErrClosed)
		return g.again(it, err, 0)
	case errors.Is(err, event.ErrBehind) && it.tries == 0: // of one that a middleware made good
		it.tried()
		own.end(false)
		return g.again(it, err, 0)
	}
	act := g.decide(it, err)
	r.unsent = r.unsent || act == actHold && it.step == stepProduce && !it.roomless
	return act
}

// comeBehind ends the attempt of an event that comes again behind another. It counts
// neither as a failure nor as an attempt.
func (g *group) comeBehind(it *item) action {
	own := it.run
	own.end(false)
	it.outcome = event.Outcome{Kind: event.OutcomeRetried, Err: event.ErrBehind}
	it.retryAt = time.Now()
	before, after := own.Watched()
	if before {
		if err := g.runBefore(it); err != nil {
			g.stall(StallBefore, err)
			g.holdFor(it, stepBefore)
			return actHold
		}
	}
	if after {
		own.runAfter(it.outcome)
	}
	own.finish()
	it.run = nil
	it.runs--
	g.consumer.Hold(it.d.Token, it.failures)
	return actBehind
}

// apply does what was decided, all at once and in order, so that the settlements of a
// key are made in its order. What is not settled goes on when it is the front of its
// key.
func (r *batchRun) apply() {
	g := r.g
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, it := range r.members {
		switch act := r.acts[i]; {
		case act == actBehind:
			it.taken = false
		case act != actSettle && g.isBehind(it):
			it.then = act
		default:
			g.apply(it, act)
		}
	}
	for i, it := range r.members { // those that came to be the front of their key meanwhile
		if r.acts[i] == actBehind && it.last != nil {
			g.passTo(it)
		}
	}
}
