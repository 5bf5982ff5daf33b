package bus

import (
	"context"
	"time"

	"github.com/leat-go/leat/event"
)

// Stepper runs the groups of a Bus on the caller's goroutine, one step at a time, in
// place of the Bus's own goroutines. It is for kits that explore what can happen in
// which order; applications call [Bus.Start]. Groups are named by their index, in
// the order of their first subscription.
//
// Run returns when the handler does. While a handler is suspended, as a coroutine, the
// other methods may be called, Run too: so handlers run at the same time. Nothing may
// be called in parallel. A Stepper is not shut down: whoever drops it leaves nothing
// behind.
type Stepper struct {
	b      *Bus
	groups []stepping
}

type stepping struct {
	*group

	worker worker
	busy   int
	buf    [8]event.Delivery
	batch  []*item
	ss     []event.Settlement
}

// StartStepper is [Bus.Start] without goroutines: nothing happens but by the
// Stepper. The channel's Receive must not block: it returns 0 when nothing is there.
func (b *Bus) StartStepper(ctx context.Context) (*Stepper, error) {
	if err := b.startWith(ctx, (*group).equip); err != nil {
		return nil, err
	}
	groups := b.started()
	s := &Stepper{b: b, groups: make([]stepping, len(groups))}
	for i, g := range groups {
		g.window, g.idle = g.limit, g.workers
		s.groups[i].group = g
		s.groups[i].worker.g = g
	}
	return s, nil
}

// Groups returns how many groups the Bus has.
func (s *Stepper) Groups() int { return len(s.groups) }

// Group returns the name of a group.
func (s *Stepper) Group(group int) string { return s.groups[group].name }

// Room returns how many deliveries the group may still take in hand.
func (s *Stepper) Room(group int) int {
	g := &s.groups[group]
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.room()
}

// Fetch receives once and returns how many deliveries it took in hand.
func (s *Stepper) Fetch(ctx context.Context, group int) (int, error) {
	g := &s.groups[group]
	room := min(s.Room(group), len(g.buf))
	if room <= 0 {
		return 0, nil
	}
	n, err := g.consumer.Receive(ctx, g.buf[:room])
	if err != nil || n == 0 {
		return 0, err
	}
	g.accept(g.buf[:n], false)
	clear(g.buf[:n])
	return n, nil
}

// Runnable returns how many deliveries of a group could be run now: of different
// keys, and none while all workers of the group are at work.
func (s *Stepper) Runnable(group int) int {
	g := &s.groups[group]
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.busy >= g.workers {
		return 0
	}
	return g.ready.len()
}

// Ready returns the event of the pick-th delivery that could be run now, from 0.
func (s *Stepper) Ready(group, pick int) event.Event {
	g := &s.groups[group]
	g.mu.Lock()
	defer g.mu.Unlock()
	q := &g.group.ready
	return q.items[(q.head+pick)&(len(q.items)-1)].d.Event
}

// Run takes the pick-th of these and does what a worker does with it: the
// handler's run, or the step after it that has to be tried again.
func (s *Stepper) Run(group, pick int) {
	g := &s.groups[group]
	g.mu.Lock()
	var it *item
	for i := range g.ready.len() {
		next := g.ready.pop()
		if i == pick {
			it = next
			continue
		}
		g.ready.push(next)
	}
	g.busy++
	g.idle--
	g.mu.Unlock()
	act := g.worker.work(it)
	g.mu.Lock()
	g.busy--
	g.idle++
	g.apply(it, act)
	g.mu.Unlock()
}

// Pending returns the event of the first delivery that waits to be settled.
func (s *Stepper) Pending(group int) (e event.Event, any bool) {
	g := &s.groups[group]
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.pending) == 0 {
		return e, false
	}
	return g.pending[0].d.Event, true
}

// Settle settles what was decided, and makes ready what is due.
func (s *Stepper) Settle(group int) {
	g := &s.groups[group]
	g.batch, _, _ = g.collectWork(g.batch)
	if len(g.batch) > 0 {
		g.ss = g.settle(g.batch, g.ss)
	}
}

// Due returns when the first delivery that is held in any group is due.
func (s *Stepper) Due() (at time.Time, held bool) {
	for i := range s.groups {
		g := &s.groups[i]
		g.mu.Lock()
		if g.held.Len() > 0 && (!held || g.held[0].due.Before(at)) {
			at, held = g.held[0].due, true
		}
		g.mu.Unlock()
	}
	return at, held
}
