package memory

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/leat-go/leat/event"
)

// queue is what one group is owed of one topic.
type queue struct {
	t     *topic
	g     *group
	index int32 // in g.queues
	since int64 // events accepted before are not for the group

	in inbox

	_       [64]byte // the writer's and the readers' words apart
	settled atomic.Int64

	members  []*consumer // who receives from it
	runnable laneList    // lanes that any member may have
	turn     bool        // the inbox comes first in the next Receive
	dead     deadStore
	redriven int64 // events that came back from the dead letters
}

// unsettled returns how many events the group is owed.
func (q *queue) unsettled() int {
	settled := q.settled.Load() // before the tail, so that it is never ahead of it
	return int(q.in.tail.Load() - settled)
}

// group is the members that share deliveries, and what they are owed of all their
// topics. Its mutex is held for list work only.
type group struct {
	c         *Channel
	name      string
	ephemeral bool // belongs to one consumer
	dying     bool // which has crashed

	idle atomic.Int32 // members that wait for an event in Receive

	mu      sync.Mutex
	gone    bool // the channel or the group was closed
	queues  []*queue
	members []*consumer
	slots   slots
	lanes   lanes
	delays  []int32 // heap of slots by due
	leases  []lease
	gen     uint64
	crashed int // members

	fetched  int    // slots of stateFetched
	begun    int    // of stateBegun
	stuck    int    // of these, with waits set
	progress uint64 // counts first deliveries and settled events
}

func (g *group) member(id int32) *consumer {
	for _, m := range g.members {
		if m.id == id {
			return m
		}
	}
	return nil
}

// shared reports whether more than one member may have events in hand.
func (g *group) shared() bool { return len(g.members) > 1 }

// wakeAny wakes one member that waits for events of a queue.
func (g *group) wakeAny(q *queue) {
	if g.idle.Load() == 0 {
		return
	}
	for i, m := range q.members {
		if !m.idle {
			continue
		}
		g.wakeMember(m)
		if n := len(q.members); n > 1 && i < n-1 { // the next takes its turn first
			copy(q.members[i:], q.members[i+1:])
			q.members[n-1] = m
		}
		return
	}
}

func (g *group) wakeMember(m *consumer) {
	if !m.idle {
		return
	}
	m.idle = false
	g.idle.Add(-1)
	m.signal()
}

// wakeIdle wakes all members that wait for events: when a timer must be set anew.
func (g *group) wakeIdle() {
	for _, m := range g.members {
		g.wakeMember(m)
	}
	g.c.quiet.wake()
}

// adopt opens lanes for everything keyed in hand: a second member has come.
func (g *group) adopt() {
	for i := range g.slots.all {
		s := &g.slots.all[i]
		if !s.state.inHand() || s.lane != 0 || s.e.Key() == "" {
			continue
		}
		li := g.lanes.of(s.queue, s.e.Key())
		l := &g.lanes.all[li]
		l.owner = s.owner
		l.inHand++
		s.lane = li
		g.arrange(li, false)
	}
}

// take fills buf for a member and returns how many.
func (g *group) take(m *consumer, buf []event.Delivery) int {
	n := 0
	if m.owned.first != 0 {
		n = g.takeLanes(m, &m.owned, buf)
	}
	for range m.queues {
		if n == len(buf) {
			break
		}
		m.turn++
		if m.turn >= len(m.queues) {
			m.turn = 0
		}
		n += g.takeFrom(m, m.queues[m.turn], buf[n:])
	}
	if n < len(buf) && m.owned.first != 0 { // what did not fit a share
		n += g.takeLanes(m, &m.owned, buf[n:])
	}
	return n
}

// takeFrom fills buf from one queue. When both lanes and the inbox have events,
// each gets its share.
func (g *group) takeFrom(m *consumer, q *queue, buf []event.Delivery) int {
	n := 0
	if q.runnable.first != 0 {
		share := len(buf)
		if q.in.len() > 0 {
			share = (share + 1) / 2
			if q.turn = !q.turn; q.turn && len(buf) == 1 {
				share = 0
			}
		}
		n = g.takeLanes(m, &q.runnable, buf[:share])
	}
	n += g.takeNew(m, q, buf[n:])
	if n < len(buf) && q.runnable.first != 0 {
		n += g.takeLanes(m, &q.runnable, buf[n:])
	}
	return n
}

// takeLanes fills buf from the lanes of a list. What doesn't fit stays m's.
func (g *group) takeLanes(m *consumer, from *laneList, buf []event.Delivery) int {
	n := 0
	for n < len(buf) && from.first != 0 {
		li := from.first
		l := &g.lanes.all[li]
		g.lanes.unlist(li)
		for n < len(buf) && g.open(l) {
			si := l.first
			g.stepOut(si)
			l.owner = m.id
			l.inHand++
			g.deliver(m, si, &buf[n])
			n++
			if !l.keyed {
				g.slots.all[si].lane = 0
				l.inHand = 0
			}
		}
		g.arrange(li, false)
	}
	return n
}

// takeNew fills buf from the inbox. Events that aren't due or whose key waits
// leave the inbox too, so that none is looked at twice.
func (g *group) takeNew(m *consumer, q *queue, buf []event.Delivery) int {
	n := 0
	for wait := q.in.len(); wait > 0 && n < len(buf); wait-- {
		si, ready := g.unload(q)
		if !ready {
			continue
		}
		if key := g.slots.all[si].e.Key(); key != "" && (g.lanes.keyed > 0 || g.shared()) {
			li := g.lanes.find(q.index, key)
			if li == 0 && g.shared() {
				li = g.lanes.open(q.index, key)
			}
			if li != 0 {
				l := &g.lanes.all[li]
				if l.first != 0 || l.owner != 0 && l.owner != m.id {
					g.lineUp(li, si)
					g.arrange(li, false)
					continue
				}
				l.owner = m.id
				l.inHand++
				g.slots.all[si].lane = li
			}
		}
		g.deliver(m, si, &buf[n])
		n++
	}
	return n
}

// unload moves the first entry of the inbox to a slot and reports whether it is
// due; else it is among the delays.
func (g *group) unload(q *queue) (si int32, due bool) {
	en := q.in.take()
	si = g.slots.add()
	s := &g.slots.all[si]
	s.e, s.at, s.offset, s.mark, s.queue = en.e, en.at, en.offset(), en.why(), q.index
	s.state = stateReady
	if nb := en.e.NotBefore(); !nb.IsZero() {
		if after := until(nb); after > 0 {
			g.delay(si, stateDelayed, after)
			return si, false
		}
	}
	return si, true
}

// unloadAll empties the inbox into the lanes, in order.
func (g *group) unloadAll(q *queue) {
	for range q.in.len() {
		if si, due := g.unload(q); due {
			g.giveReady(si, false)
		}
	}
}

// giveReady lines up a slot that may be delivered, in the lane of its key or one of
// its own.
func (g *group) giveReady(si int32, front bool) {
	s := &g.slots.all[si]
	s.state = stateReady
	li := g.laneOf(s)
	g.lineUp(li, si)
	g.arrange(li, front)
}

func (g *group) laneOf(s *slot) int32 {
	if key := s.e.Key(); key != "" {
		return g.lanes.of(s.queue, key)
	}
	return g.lanes.open(s.queue, "")
}

// deliver puts a slot into the hand of m and describes it in d.
func (g *group) deliver(m *consumer, si int32, d *event.Delivery) {
	g.gen++
	s := &g.slots.all[si]
	s.state = stateFetched
	s.owner = m.id
	s.gen = g.gen
	if s.attempts++; s.attempts == 1 {
		g.progress++
	}
	g.fetched++
	m.inHand++
	d.Event = s.e
	d.Topic = g.queues[s.queue].t.name
	d.Position = event.Position{Offset: s.offset}
	d.Attempt = int(s.attempts)
	d.Failures = int(s.failures)
	d.Redriven = s.mark == event.MarkRedriven
	d.Replayed = s.mark == event.MarkReplayed
	d.EnqueuedAt = g.c.wall(s.at)
	d.Token = event.Token{uint64(si), s.gen}
	d.Err, d.Raw = nil, nil
}

// leaveHand ends the delivery of a slot: the token is stale from now on. The slot's
// lane must be arranged afterwards.
func (g *group) leaveHand(m *consumer, s *slot) {
	g.setState(m, s, stateFree)
	s.gen, s.owner, s.lease = 0, 0, nil
	m.inHand--
	if l := s.lane; l != 0 {
		g.lanes.all[l].inHand--
	}
}

// setState keeps the counts of what is in hand.
func (g *group) setState(m *consumer, s *slot, to state) {
	if s.state == stateHeld && s.waits {
		m.aside--
	}
	switch s.state {
	case stateFetched:
		g.fetched--
	case stateBegun:
		g.begun--
		m.begun--
		if s.waits {
			g.stuck--
		}
	default: // not counted
	}
	s.state = to
	switch to {
	case stateFetched:
		g.fetched++
	case stateBegun:
		g.begun++
		m.begun++
		if s.waits {
			g.stuck++
		}
	case stateHeld:
		if s.waits {
			m.aside++
		}
	default:
		if s.waits {
			s.waits = false
			g.c.waits.Add(-1)
			g.c.waitsChanged.Add(1)
		}
	}
}

// settleSlot frees the slot of a settled event.
func (g *group) settleSlot(m *consumer, si int32) {
	s := &g.slots.all[si]
	g.leaveHand(m, s)
	li := s.lane
	g.slots.remove(si)
	g.progress++
	if li != 0 {
		g.settleLane(li)
	}
}

// settleLane arranges a lane from which an event in hand has gone.
func (g *group) settleLane(li int32) {
	if l := &g.lanes.all[li]; l.inHand == 0 {
		g.arrange(li, false)
	}
}

// giveBack puts the event of a slot in hand back: to be delivered at once, or after
// a delay during which its lane waits behind it.
func (g *group) giveBack(m *consumer, si int32, after int64) {
	s := &g.slots.all[si]
	old := s.lane
	g.leaveHand(m, s)
	s.lane = 0
	switch {
	case after <= 0:
		g.giveReady(si, false)
	case s.e.Key() == "":
		g.delay(si, stateRetry, after)
	default:
		g.delay(si, stateRetry, after)
		li := g.laneOf(s)
		g.lineUp(li, si)
		g.arrange(li, false)
	}
	if old != 0 {
		g.settleLane(old)
	}
}

// drop forgets all that a queue is owed. Nobody has any of it in hand.
func (g *group) drop(q *queue) {
	for i := range g.slots.all {
		s := &g.slots.all[i]
		if s.state == stateFree || s.queue != q.index {
			continue
		}
		si := int32(i)
		if s.heap != 0 {
			g.undelay(si)
		}
		if s.lane != 0 {
			li := s.lane
			g.stepOut(si)
			g.arrange(li, false)
		}
		g.slots.remove(si)
	}
	for q.in.len() > 0 {
		q.in.take()
	}
}

// leave takes a member out that has nothing in hand any more, and so no lane either.
func (g *group) leave(m *consumer) {
	g.members = slices.DeleteFunc(g.members, func(o *consumer) bool { return o == m })
	for _, q := range m.queues {
		q.members = slices.DeleteFunc(q.members, func(o *consumer) bool { return o == m })
	}
	if m.state == memberCrashed {
		g.crashed--
	}
	m.state = memberClosed
}
