package memory

import "github.com/leat-go/leat/event"

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

// hand returns the slot that a token of m names, or nil when it isn't m's any more.
func (g *group) hand(m *consumer, t event.Token) *slot {
	i := t[0]
	if i >= uint64(len(g.slots.all)) {
		return nil
	}
	s := &g.slots.all[i]
	if s.gen != t[1] || s.owner != m.id { // nobody has the id 0
		return nil
	}
	return s
}
