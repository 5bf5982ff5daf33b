package bus

import (
	"time"

	"github.com/leat-go/leat/event"
)

// step is what has to be done next with a delivery in hand.
type step uint8

const (
	stepRun     step = iota // run the handler
	stepProduce             // the handler succeeded; send what it published
	stepBefore              // the outcome is decided; run the functions before the settlement
	stepSettle              // settle, once more
	stepAfter               // settled; run the functions after it
)

// item is a delivery in hand. Who has taken it from a list owns it.
type item struct {
	d           event.Delivery
	h           *handler
	run         *run // of the attempt, while it is not over
	step        step
	taken       bool   // into a batch: nobody else makes it ready
	then        action // what becomes of it once it is the front of its key
	failures    int
	runs        int // begun here
	tries       int // of a step that is no run of the handler
	firstFailed time.Time
	outcome     event.Outcome
	settlement  event.Settlement

	retryAt   time.Time // of the next attempt, when the outcome is a retry
	released  bool      // that retry is not ours: the shutdown gives the delivery back
	due       time.Time // when held
	roomless  bool      // to be held for want of room in the channel
	aside     int       // held so: how many, itself and those behind it, don't count for the window
	heapIndex int       // in the heap of held items, from 1

	batch *members // that it leads
	tail  *item    // while it waits for others of its handler: the last that can go with it

	next     *item // behind it: of the same key, or in the free list
	last     *item // at the front of a key: the end of its line
	inBucket *item // next key in the same bucket
	bucket   int32 // from 1; 0: no key
	order    int32 // in which it came; it wraps around
}

// take returns an item for a delivery. mu is held.
func (g *group) take(d *event.Delivery) *item {
	it := g.free
	if it == nil {
		it = new(item)
		g.all = append(g.all, it)
	} else {
		g.free, it.next = it.next, nil
	}
	it.d = *d
	g.taken++
	it.order = g.taken
	g.inHand++
	return it
}

// release puts an item back. mu is held.
func (g *group) release(it *item) {
	it.reset()
	g.free, it.next = it, g.free
	g.inHand--
	if g.closing && g.inHand == 0 {
		g.markEmpty()
	}
}

// reset prepares an item for another delivery. Most were just handled: then only
// what keeps memory alive, and what the next one relies on, has to be cleared.
func (it *item) reset() {
	if it.failures > 0 || it.tries > 0 || it.released || it.roomless ||
		it.outcome.Err != nil || it.settlement.Cause != nil || it.d.Err != nil {
		*it = item{}
		return
	}
	it.d.Event, it.h, it.run = event.Event{}, nil, nil
	it.step, it.runs, it.taken = stepRun, 0, false
}

// markEmpty tells that nothing is in hand any more. mu is held.
func (g *group) markEmpty() {
	select {
	case <-g.empty:
	default:
		close(g.empty)
	}
}

// complete ends an item that is settled or lost: its successor goes on. One that is
// not the front of its key is ended when it is. mu is held.
func (g *group) complete(it *item) {
	if g.isBehind(it) {
		it.taken, it.then = true, actDrop
		return
	}
	g.passOn(it)
	g.release(it)
	g.roomMade()
}

// isBehind reports whether an item is behind others of its key, as only one of a batch
// can be that somebody works on. mu is held.
func (g *group) isBehind(it *item) bool {
	return it.last == nil && len(g.gatherings) > 0 && !g.unordered && it.d.Event.Key() != ""
}

// passOn lets the next item of a key go on. mu is held.
func (g *group) passOn(it *item) {
	next := g.keys.advance(it)
	switch {
	case next == nil:
	case !next.taken && !g.closing:
		g.makeReady(next)
	case !next.taken:
		g.passTo(next)
	case next.then != actNone:
		act := next.then
		next.then = actNone
		g.apply(next, act)
	}
}

// passTo makes the front of a key ready. mu is held.
func (g *group) passTo(front *item) {
	if !g.closing {
		g.makeReady(front)
		return
	}
	for front != nil { // they went back with the consumer
		following := g.keys.advance(front)
		g.release(front)
		front = following
	}
}

// room returns how many more deliveries the window has room for. What waits for room
// in the channel doesn't count, nor what is behind it: that room can come only from
// deliveries that are still to be received. mu is held.
func (g *group) room() int { return g.window - g.inHand + g.aside }

// roomMade wakes the fetcher when it is worth it. mu is held.
func (g *group) roomMade() {
	if !g.waiting {
		return
	}
	room, starving := g.room(), g.ready.len() == 0
	switch {
	case room >= max(1, g.window/4), room > 0 && starving:
	case starving && g.idle > 0 && g.window < g.limit: // to widen the window
	case g.canGiveBack() && g.crowded(): // to give keys back
	case g.stuck(): // to tell so
	case g.gathered() && g.standsStill(): // to let it go on
	default:
		return
	}
	g.waiting = false
	signal(g.fetch)
}

// queue is a ring of items.
type queue struct {
	items []*item
	head  int
	n     int
}

func (q *queue) len() int { return q.n }

func (q *queue) push(it *item) {
	if q.n == len(q.items) {
		q.grow()
	}
	q.items[(q.head+q.n)&(len(q.items)-1)] = it
	q.n++
}

func (q *queue) pop() *item {
	if q.n == 0 {
		return nil
	}
	it := q.items[q.head]
	q.items[q.head] = nil
	q.head = (q.head + 1) & (len(q.items) - 1)
	q.n--
	return it
}

// at returns the i-th item.
func (q *queue) at(i int) *item { return q.items[(q.head+i)&(len(q.items)-1)] }

func (q *queue) grow() {
	items := make([]*item, max(16, 2*len(q.items)))
	for i := range q.n {
		items[i] = q.items[(q.head+i)&(len(q.items)-1)]
	}
	q.items, q.head = items, 0
}
