package bus

import (
	"context"
	"time"

	"github.com/leat-go/leat/event"
)

// Stepper runs the groups of a Bus on the caller's goroutine, one step at a time, in
// place of the Bus's own goroutines: it receives, runs handlers, settles and gives
// back what they would, by the same code, but in the order that the caller chooses. It
// is for kits that explore what can happen in which order; applications call
// [Bus.Start]. Groups are named by their index, in the order of their first
// subscription; an index that doesn't exist panics.
//
// Two things differ from a Bus that runs, so that the same calls have the same effects:
// the window of a group has its full size from the beginning, and retries wait for the
// longest time that their [Backoff] allows instead of a random one.
//
// The events of a batch handler come together as on a Bus that runs: a batch can be run
// when it is full, when [Batch]'s wait is over and a Settle has seen that, at any time
// where there is no wait and nothing else is ready, and when the window is full and
// nothing that goes on would make room. Until it is full or its wait is over it grows.
// When a lease of a batch ends, a goroutine carries that to who waits for the batch's
// context.
//
// Run returns when the handler does. While a handler is suspended, as a coroutine, the
// other methods may be called, Run too: so handlers run at the same time. Apart from
// that nothing may be called in parallel. A Stepper has no other goroutine and can't be
// shut down; whoever drops it leaves nothing behind. [Bus.Shutdown] and [Bus.Drain] would
// wait for goroutines that don't exist.
type Stepper struct {
	groups []stepping
	buf    [stepperBatch]event.Delivery // of Fetch
	batch  []*item                      // of Settle
	ss     []event.Settlement
}

// stepperBatch is how many deliveries a Fetch takes at most.
const stepperBatch = 8

type stepping struct {
	*group

	worker worker
}

// StartStepper is [Bus.Start] without goroutines: nothing happens but by the
// Stepper. The channel's Receive must not block: it returns 0 when nothing is there.
func (b *Bus) StartStepper(ctx context.Context) (*Stepper, error) {
	err := b.startWith(ctx, func(g *group) {
		g.equip(fewKeyBuckets)
		g.window, g.idle, g.jitter = g.limit, g.workers, noJitter
	})
	if err != nil {
		return nil, err
	}
	groups := b.started()
	s := &Stepper{groups: make([]stepping, len(groups))}
	for i, g := range groups {
		s.groups[i] = stepping{group: g, worker: worker{g: g}}
	}
	return s, nil
}

// Groups returns how many groups the Bus has.
func (s *Stepper) Groups() int { return len(s.groups) }

// Group returns the name of a group, as it was subscribed.
func (s *Stepper) Group(group int) string { return s.groups[group].name }

// Room returns how many deliveries the group may still take in hand; none while it is
// paused.
func (s *Stepper) Room(group int) int {
	g := &s.groups[group]
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.paused {
		return 0
	}
	return max(0, g.room())
}

// Fetch receives once and returns how many deliveries it took in hand: at most 8, and
// no more than there is room for.
func (s *Stepper) Fetch(ctx context.Context, group int) (int, error) {
	g := &s.groups[group]
	room := min(s.Room(group), len(s.buf))
	if room == 0 {
		return 0, nil
	}
	n, err := g.consumer.Receive(ctx, s.buf[:room])
	if err != nil || n == 0 {
		return 0, err
	}
	g.accept(s.buf[:n], false)
	return n, nil
}

// Crowded reports whether so much of a group's window waits for retries that keys
// should be given back to the channel.
func (s *Stepper) Crowded(group int) bool {
	g := &s.groups[group]
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shouldGiveBack()
}

// GiveBack gives keys back that wait for retries, until half of the window is free of
// them.
func (s *Stepper) GiveBack(group int) { s.groups[group].giveBack(false) }

// Runnable returns how many deliveries of a group could be run now: of different
// keys, and none while all workers of the group are at work. A batch counts as one.
func (s *Stepper) Runnable(group int) int {
	g := &s.groups[group]
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.idle == 0 {
		return 0
	}
	if n := g.ready.len(); n > 0 {
		return n
	}
	return g.handedOver()
}

// Ready returns the token of the pick-th delivery that could be run now, from 0; of a
// batch that of the first.
func (s *Stepper) Ready(group, pick int) event.Token {
	g := &s.groups[group]
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ready.len() == 0 {
		return g.handOver(pick).first.at(0).d.Token
	}
	return g.ready.at(pick).d.Token
}

// Run takes the pick-th of these and does what a worker does with it: the
// handler's run, for one delivery or a batch, or the step after it that has to be tried
// again, or what [event.OnOutcome] left for after the settlement.
func (s *Stepper) Run(group, pick int) {
	g := &s.groups[group]
	g.mu.Lock()
	if g.ready.len() == 0 {
		g.dispatch(g.handOver(pick))
		pick = 0
	}
	it := g.ready.remove(pick)
	g.idle--
	g.mu.Unlock()
	act := actNone
	if it.leads() {
		g.worker.beginBatch(it).finish()
		it = nil
	} else {
		act = g.worker.work(it)
	}
	g.mu.Lock()
	g.idle++
	g.apply(it, act)
	g.mu.Unlock()
}

// remove takes the pick-th item out; the others keep their order.
func (q *queue) remove(pick int) *item {
	var picked *item
	for i := range q.len() {
		it := q.pop()
		if i == pick {
			picked = it
			continue
		}
		q.push(it)
	}
	return picked
}

// Pending returns the token of the first delivery that waits to be settled.
func (s *Stepper) Pending(group int) (t event.Token, pending bool) {
	g := &s.groups[group]
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.pending) == 0 {
		return t, false
	}
	return g.pending[0].d.Token, true
}

// Settle settles what was decided, and makes ready what is due.
func (s *Stepper) Settle(group int) {
	g := &s.groups[group]
	s.batch, _, _ = g.collectWork(s.batch)
	if len(s.batch) > 0 {
		s.ss = g.settle(s.batch, s.ss)
	}
}

// Due returns when the first delivery that is held in any group is due, or the first
// batch whose wait is over then.
func (s *Stepper) Due() (at time.Time, held bool) {
	for i := range s.groups {
		g := &s.groups[i]
		g.mu.Lock()
		if g.held.Len() > 0 && (!held || g.held[0].due.Before(at)) {
			at, held = g.held[0].due, true
		}
		if due, waits := g.gatheringDue(); waits && (!held || due.Before(at)) {
			at, held = due, true
		}
		g.mu.Unlock()
	}
	return at, held
}
