package memory

import "github.com/leat-go/leat/event"

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
	if g.c.reorders() {
		g.shuffle(q)
	}
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
				if l.first != 0 || l.parked || l.owner != 0 && l.owner != m.id || g.waits(l) {
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
	s.gap, q.passed = s.offset-q.passed-1, s.offset
	s.state = stateReady
	if nb := en.e.NotBefore(); !nb.IsZero() {
		if after := until(nb); after > 0 {
			g.delay(si, stateDelayed, after)
			return si, false
		}
	}
	return si, g.c.faults == nil || !g.putOff(si)
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
	d.Gap = s.gap
	d.Attempt = int(s.attempts)
	d.Failures = int(s.failures)
	d.Redriven = s.mark == event.MarkRedriven
	d.Replayed = s.mark == event.MarkReplayed
	d.EnqueuedAt = g.c.wall(s.at)
	d.Token = event.Token{uint64(si), s.gen}
	d.Err, d.Raw = nil, nil
	if g.c.faults != nil {
		g.complain(m, si)
	}
}
