package bus

import (
	"context"
	"errors"
	"time"

	"github.com/leat-go/leat/event"
)

// keepLoop settles what workers decided, in batches as large as what has come
// together meanwhile, and makes held items ready when they are due.
func (g *group) keepLoop() {
	var batch []*item
	var settlements []event.Settlement
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	for {
		var wait time.Duration
		var stopped bool
		batch, wait, stopped = g.collectWork(batch)
		if len(batch) > 0 {
			settlements = g.settle(batch, settlements)
			continue
		}
		if stopped {
			return
		}
		if wait < 0 {
			<-g.kick
			continue
		}
		timer.Reset(wait)
		select {
		case <-g.kick:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// collectWork takes what is to be settled, wakes what is due, and tells how long
// until the next is due; negative when nothing waits.
func (g *group) collectWork(spare []*item) (batch []*item, wait time.Duration, stopped bool) {
	clear(spare)
	g.mu.Lock()
	defer g.mu.Unlock()
	wait = -1
	if g.held.Len() > 0 {
		now := time.Now()
		for g.held.Len() > 0 && !g.held[0].due.After(now) {
			g.due(g.held[0])
		}
		if g.held.Len() > 0 {
			wait = g.held[0].due.Sub(now)
		}
	}
	wait = sooner(wait, g.gatherDue())
	batch, g.pending = g.pending, spare[:0]
	settled := g.settling > 0
	g.settling = len(batch)
	if settled && len(batch) == 0 {
		g.roomMade() // or not: then it may be stuck now
	}
	return batch, wait, g.stopped
}

// sooner returns the shorter of two waits, of which a negative one is none.
func sooner(a, b time.Duration) time.Duration {
	if a < 0 || b >= 0 && b < a {
		return b
	}
	return a
}

// due lets a held item go on. mu is held.
func (g *group) due(it *item) {
	g.unhold(it)
	switch {
	case it.step == stepSettle:
		g.pending = append(g.pending, it)
	case it.step == stepRun && g.closing: // it goes back instead
		g.hold(it)
	default:
		g.makeReady(it)
	}
}

// settle settles a batch. What the channel did not record is tried again.
func (g *group) settle(batch []*item, settlements []event.Settlement) []event.Settlement {
	settlements = settlements[:0]
	for _, it := range batch {
		settlements = append(settlements, it.settlement)
	}
	err := g.consumer.Settle(g.ctx, settlements)
	some := refusals(err)
	if some != nil {
		err = nil
	}
	if err != nil {
		g.settleLater(batch, err)
		return settlements
	}
	if len(g.b.hooks.settle) > 0 || some != nil {
		g.tellSettled(batch, some)
	}
	g.mu.Lock()
	g.unsettled = nil
	if some == nil || len(some.Failed) < len(batch) {
		g.stalled = "" // something was settled
	}
	for i, it := range batch {
		g.settled(it, some.At(i))
	}
	g.mu.Unlock()
	clear(settlements)
	return settlements
}

// settled goes on with an item after its settlement. mu is held.
func (g *group) settled(it *item, err error) {
	switch {
	case errors.Is(err, event.ErrFull): // the dead letters: the lane waits
		it.step = stepSettle
		it.due = time.Now().Add(brief.wait(it.tried(), g.jitter, g.chance(it)))
		g.hold(it)
	case it.run != nil && err == nil: // somebody waits for the settlement
		g.follow(it)
	default:
		g.complete(it)
	}
}

// follow lets what follows a settlement run, and the next of the key go on; once the
// item is the front of its key. mu is held.
func (g *group) follow(it *item) {
	if g.isBehind(it) {
		it.taken, it.then = true, actFollow
		return
	}
	g.passOn(it)
	it.step = stepAfter
	g.makeReady(it)
}

// settleLater keeps a batch that did not reach the channel.
func (g *group) settleLater(batch []*item, err error) {
	if !errors.Is(err, context.Canceled) {
		g.stall(StallSettle, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unsettled = err
	if g.stopped || errors.Is(err, event.ErrClosed) { // nobody is there to settle with
		for _, it := range batch {
			g.complete(it)
		}
		return
	}
	// Those that came together wait together; but how long depends on each alone, and
	// not on which came together.
	now, of := time.Now(), chance(g.wire)
	for _, it := range batch {
		it.step, it.due = stepSettle, now.Add(brief.wait(it.tried(), g.jitter, of))
		g.hold(it)
	}
}

// tellSettled tells hooks and log how a batch ended.
func (g *group) tellSettled(batch []*item, some *event.SettleError) {
	for i, it := range batch {
		s := it.settlement
		err := some.At(i)
		if errors.Is(err, event.ErrFull) {
			g.stall(StallDead, err)
		}
		g.b.hooks.settled(Settled{Group: g.name, Topic: it.d.Topic, Event: it.d.Event, Kind: s.Kind, Cause: s.Cause, Err: err})
	}
}
