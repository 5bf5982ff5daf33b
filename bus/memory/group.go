package memory

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/leat-go/leat/event"
)

// apart keeps words that different processors write off each other's cache lines.
type apart [64]byte

// queue is what one group is owed of one topic.
type queue struct {
	t     *topic
	g     *group
	index int32 // in g.queues
	since int64 // events accepted before are not for the group

	// Of an ephemeral group that has events told: then they come neither into the inbox
	// nor into anybody's hand. Nil once its consumer has crashed.
	tell atomic.Pointer[func(event.Event)]

	in     inbox
	passed int64 // offset of the last event that left the inbox: up to the next one is a gap, with what was settled before

	_       apart
	settled atomic.Int64

	members  []*consumer // who receives from it
	runnable laneList    // lanes that any member may have
	turn     bool        // the inbox comes first in the next Receive
	parked   laneList    // lanes of parked keys in which events wait
	dead     deadStore
	redriven int64 // events that came back from the dead letters
	behind   int   // events that wait in the lanes of parked keys
	tellAt   int64 // when the members are told again that these find no room; 0: they were not told
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

	_       apart // every publish reads idle
	mu      sync.Mutex
	gone    bool // the channel or the group was closed
	queues  []*queue
	members []*consumer
	slots   slots
	lanes   lanes
	delays  []int32 // heap of slots by due
	leases  []lease // a slab
	leased  int     // of these
	gen     uint64
	crashed int    // members
	parked  int    // keys
	losses  []loss // of leases, under Faults

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

// shared reports whether every key in hand needs a lane: more than one member may
// have events in hand, or only one of a key may be.
func (g *group) shared() bool { return len(g.members) > 1 || g.c.faults != nil }

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
