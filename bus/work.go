package bus

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/leat-go/leat/event"
)

// action is what a worker wants done with the item it worked on.
type action uint8

const (
	actNone   action = iota
	actSettle        // settle it as it.settlement says
	actHold          // keep it in hand until it.due
	actDrop          // it is no longer ours
	actFollow        // settled: what follows that is to run
	actDone          // and all done
	actBehind        // of a batch: it comes again behind another of its key
	actExited        // to be decided: what worked on it ended its goroutine
)

// slabSize is how many runs share an allocation, once a worker has done some work.
const slabSize = 16

// worker is what one worker goroutine has of its own.
type worker struct {
	g       *group
	fetches bool      // it is the fetcher
	batch   *batchRun // while one is at work
	slab    []run
	used    int      // of the slab
	own     [1]*item // that it settles itself
	settled []event.Settlement
}

// workLoop takes one item at a time, so that a finished one never waits behind the
// next handler.
func (g *group) workLoop(w worker, it *item, act action) {
	ended := false
	defer func() {
		switch { // a handler ended the goroutine, as t.FailNow does
		case ended:
		case w.fetches: // or a hook
			close(g.fetched)
		case w.batch != nil:
			g.running.Go(func() { g.workLoop(worker{g: g, batch: w.batch}, nil, actNone) })
		case it != nil:
			g.running.Go(func() { g.workLoop(worker{g: g}, it, actExited) })
		default: // a hook, again
			g.running.Go(func() { g.workLoop(worker{g: g}, nil, actNone) })
		}
	}()
	for {
		if act == actExited { // here, since a function of the outcome may do the same
			act = g.exited(it)
		}
		if w.batch != nil {
			w.batch.finish()
			w.batch = nil
		}
		done := it
		it = nil
		if !w.fetches {
			it = w.exchange(done, act)
		}
		if w.fetches {
			it = w.receive()
		}
		if it == nil {
			ended = true
			return
		}
		if it.leads() {
			w.batch = w.beginBatch(it)
			it, act = nil, actNone
			continue
		}
		act = w.work(it)
	}
}

var errExited = errors.New("bus: the handler called runtime.Goexit")

// exited decides about an item whose handler, or a function of whose outcome, ended
// the goroutine.
func (g *group) exited(it *item) action {
	switch {
	case it.step == stepAfter:
		return actDone
	case it.run.over:
		g.holdFor(it, stepBefore)
		return actHold
	default:
		return g.decide(it, errExited)
	}
}

// exchange hands the item that was worked on back and takes the next; nil when the
// worker has become the fetcher, or the group has ended.
func (w *worker) exchange(it *item, act action) *item {
	g := w.g
	g.mu.Lock()
	if act == actSettle && g.settlesInPlace() {
		w.settle(it)
	} else {
		g.apply(it, act)
	}
	for {
		if next := g.ready.pop(); next != nil {
			more := g.moreToDo()
			g.mu.Unlock()
			if more {
				signal(g.wake)
			}
			return next
		}
		if g.gatherIdle() {
			continue
		}
		if g.vacant {
			g.idle++
			w.fetch()
			return nil
		}
		if g.stopped {
			g.idle++
			g.mu.Unlock()
			signal(g.wake) // the next worker
			return nil
		}
		g.idle++
		g.starved = true
		g.roomMade()
		g.mu.Unlock()
		<-g.wake
		g.mu.Lock()
		if g.vacant { // the fetcher has taken the place of this worker
			w.fetch()
			return nil
		}
		g.idle--
	}
}

// receive does the fetcher's work, until there is something to do for a worker; nil when the
// group closes.
func (w *worker) receive() *item {
	it := w.g.fetchLoop()
	if it == nil {
		close(w.g.fetched)
	}
	w.fetches = false
	return it
}

// fetch makes the worker the fetcher. mu is held, and isn't on return.
func (w *worker) fetch() {
	g := w.g
	w.fetches, g.vacant = true, false
	more := g.moreToDo()
	g.mu.Unlock()
	if more {
		signal(g.wake)
	}
}

// moreToDo reports whether there is something to do for another worker. mu is held.
func (g *group) moreToDo() bool {
	return g.idle > 0 && (g.ready.len() > 0 || slices.ContainsFunc(g.gatherings, (*gathering).waitsForWorker))
}

// settlesInPlace reports whether a worker settles what it has done, where that takes no time
// and nothing else is to be done. mu is held.
func (g *group) settlesInPlace() bool {
	return g.gives.SettlesAtOnce && g.ready.len() == 0 && len(g.pending) == 0 && g.settling == 0
}

// settle settles an item as the keeper would. mu is held, but not meanwhile.
func (w *worker) settle(it *item) {
	w.g.mu.Unlock()
	w.own[0] = it
	w.settled = w.g.settle(w.own[:], w.settled)
	w.own[0] = nil
	w.g.mu.Lock()
}

// apply does what a worker wants done. mu is held.
func (g *group) apply(it *item, act action) {
	switch act {
	case actNone, actBehind, actExited:
	case actSettle:
		g.settleSoon(it)
	case actHold:
		g.hold(it)
	case actDrop:
		if it.run != nil {
			it.run.finish()
		}
		g.remember(it)
		g.complete(it)
	case actFollow:
		g.follow(it)
	case actDone:
		g.release(it)
		g.roomMade()
	}
}

// settleSoon hands an item to the keeper. mu is held.
func (g *group) settleSoon(it *item) {
	g.pending = append(g.pending, it)
	if len(g.pending) == 1 {
		signal(g.kick)
	}
}

// hold keeps an item in hand until it is due. When the group closes it goes back
// now: with its delay where the channel can keep it. mu is held.
func (g *group) hold(it *item) {
	if g.closing && it.step != stepSettle {
		if it.step == stepRun && g.gives.GivesBack {
			it.settlement = g.retryOf(it)
			g.settleSoon(it)
			return
		}
		g.complete(it) // went back when it was held
		return
	}
	g.putHeld(it)
	g.roomMade()
}

// work does the next step of an item.
func (w *worker) work(it *item) action {
	switch it.step {
	case stepAfter:
		it.run.runAfter(it.outcome)
		return actDone
	case stepProduce, stepBefore:
		ctx, ok := w.g.consumer.Begin(it.d.Token)
		if !ok {
			return actDrop
		}
		it.run.Context = ctx
		return w.g.conclude(it)
	case stepRun, stepSettle: // the keeper sees to the latter
	}
	if act, decided := w.g.withoutHandler(it); decided {
		return act
	}
	ctx, ok := w.g.consumer.Begin(it.d.Token)
	if !ok {
		return actDrop
	}
	return w.attempt(ctx, it)
}

// withoutHandler decides about deliveries that no handler sees.
func (g *group) withoutHandler(it *item) (action, bool) {
	d := &it.d
	switch {
	case d.Err != nil:
		it.settlement = event.Dead(d.Token, g.cause(it, &invalidError{codeDecode, d.Err}, codeDecode))
	case it.h == nil && g.strict:
		it.settlement = event.Dead(d.Token, g.cause(it, errUnknownType, codeUnknown))
	case it.h == nil:
		g.b.hooks.skipped(g.name, d.Topic, d.Event)
		it.settlement = event.Ack(d.Token)
	case g.gives.RedriveLimit > 0 && d.Attempt >= g.gives.RedriveLimit:
		it.settlement = it.deadLetter(g.cause(it, errBrokerLimit, codeLimit))
	default:
		return actNone, false
	}
	return g.tellUnrun(it), true
}

// tellUnrun tells a style of a delivery that has no run; then it is settled.
func (g *group) tellUnrun(it *item) action {
	if it.h == nil {
		return actSettle
	}
	for _, m := range it.h.opts.outside {
		u, ok := m.(Unrun)
		if !ok {
			continue
		}
		ctx, ours := g.consumer.Begin(it.d.Token)
		if !ours {
			return actDrop
		}
		if err := unrun(ctx, u, it.d); err != nil {
			g.stall(StallBefore, err)
			g.holdFor(it, stepRun)
			return actHold
		}
	}
	return actSettle
}

func unrun(ctx context.Context, u Unrun, d event.Delivery) (err error) {
	defer recovered(&err)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	return u.Unrun(ctx, d)
}

var (
	errUnknownType = errors.New("bus: the group has no handler for this type")
	errBrokerLimit = errors.New("bus: delivered as often as the broker allows without a result")
)

// attempt runs the handler once.
func (w *worker) attempt(ctx context.Context, it *item) action {
	g := w.g
	r := w.newAttempt(ctx, it)
	if len(g.b.hooks.attempt) == 0 {
		return g.decide(it, r.call())
	}
	started := time.Now()
	err := r.call()
	took := time.Since(started)
	act := g.decide(it, err)
	g.tellAttempt(r, it, act, started, took)
	return act
}

// tellAttempt tells the hooks how a run ended, unless the delivery went elsewhere.
func (g *group) tellAttempt(r *run, it *item, act action, started time.Time, took time.Duration) {
	if act == actDrop || len(g.b.hooks.attempt) == 0 {
		return
	}
	g.b.hooks.attempted(r, AttemptEnd{
		Info: r.Info, Group: g.name, Handler: it.h.name,
		Outcome: it.outcome.Kind, Err: it.outcome.Err, Started: started, Took: took,
	})
}

// newAttempt makes the context of a run.
func (w *worker) newAttempt(ctx context.Context, it *item) *run {
	g := w.g
	r := w.newRun()
	r.h = it.h
	r.Context, r.Outbox = ctx, r
	it.runs++
	d := &it.d
	r.Info = event.Info{
		Event:      d.Event,
		Topic:      d.Topic,
		Group:      g.wire,
		Attempt:    max(d.Attempt+it.runs-1, it.failures+1),
		Failures:   it.failures,
		Position:   d.Position,
		Gap:        d.Gap,
		EnqueuedAt: d.EnqueuedAt,
		Redriven:   d.Redriven,
		Replayed:   d.Replayed,
	}
	it.run = r
	return r
}

// call runs the handler; a panic of a middleware is an error too.
func (r *run) call() (err error) {
	defer recovered(&err)
	err = r.h.fn(r, r.Info.Event)
	look(err)
	return err
}

// look asks an error what will be asked of it, where a panic is still the handler's: of
// an error that is a nil pointer, as a rule.
func look(err error) {
	if err == nil {
		return
	}
	_ = err.Error()
	_ = codeOf(err, final(err))
	_ = errors.Is(err, event.ErrFull)
	_ = errors.Is(err, event.ErrBehind)
	_ = event.VerdictOf(err)
	_, _ = errors.AsType[*PanicError](err)
}

func (w *worker) newRun() *run {
	if w.used == len(w.slab) {
		w.slab, w.used = make([]run, min(2*len(w.slab)+1, slabSize)), 0
	}
	w.used++
	return &w.slab[w.used-1]
}

// detached returns the run's context without its end: for what must be finished.
func (r *run) detached() context.Context { return context.WithoutCancel(r) }
