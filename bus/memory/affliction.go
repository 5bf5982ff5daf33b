package memory

import "math/rand/v2"

// affliction is what [Faults] have in store for an event in a group, and how much of
// it came to pass.
type affliction struct {
	fate  uint64
	asked [faultKinds]uint8
	had   [faultKinds]uint8

	atSettle bool // the lease of the delivery in hand is lost when it is settled
}

// fateOf returns the number that all decisions about something follow from: FNV-1a
// over its names, which is the same in each process.
func (f *faults) fateOf(at int64, names ...string) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	mix := func(b byte) { h = (h ^ uint64(b)) * prime }
	for _, n := range []uint64{f.Seed, uint64(at)} {
		for ; n > 0; n >>= 8 {
			mix(byte(n))
		}
		mix(0)
	}
	for _, name := range names {
		for i := range len(name) {
			mix(name[i])
		}
		mix(0)
	}
	return h
}

// suffers decides about a fault of probability p.
func (a *affliction) suffers(k faultKind, p float64) bool {
	if p <= 0 || a.had[k] == mostFaults {
		return false
	}
	if a.random(k).Float64() >= p {
		return false
	}
	a.had[k]++
	return true
}

// random returns the numbers of the next decision of a kind.
func (a *affliction) random(k faultKind) *rand.Rand {
	a.asked[k]++
	return rand.New(rand.NewPCG(a.fate, uint64(k)<<8|uint64(a.asked[k])))
}

// afflict returns what is in store for the event of a slot.
func (g *group) afflict(si int32) *affliction {
	a := g.slots.bad[si]
	if a == nil {
		s := &g.slots.all[si]
		a = &affliction{fate: g.c.faults.fateOf(0, g.name, g.queues[s.queue].t.name, s.e.Source(), s.e.ID())}
		if g.slots.bad == nil {
			g.slots.bad = make(map[int32]*affliction)
		}
		g.slots.bad[si] = a
	}
	return a
}

// lateness returns how much later than it could a slot's next delivery comes.
func (g *group) lateness(si int32) int64 {
	longest := int64(g.c.faults.Delay)
	if longest <= 0 {
		return 0
	}
	return g.afflict(si).random(faultDelay).Int64N(longest + 1)
}

// putOff keeps a slot that left the inbox, with its key, and reports whether it did.
func (g *group) putOff(si int32) bool {
	s := &g.slots.all[si]
	late := g.lateness(si)
	if late == 0 {
		return false
	}
	g.delay(si, stateRetry, late)
	if s.e.Key() != "" {
		li := g.laneOf(s)
		g.lineUp(li, si)
		g.arrange(li, false)
	}
	return true
}

// shuffle empties the inbox into the lanes, some of it to the front.
func (g *group) shuffle(q *queue) {
	for range q.in.len() {
		if si, due := g.unload(q); due {
			ahead := g.afflict(si).suffers(faultReorder, g.c.faults.Reorder)
			g.giveReady(si, ahead)
		}
	}
}

// comesAgain decides whether an event that was just acked is delivered again, and
// sees to it.
func (g *group) comesAgain(m *consumer, si int32) bool {
	a := g.afflict(si)
	switch {
	case a.suffers(faultLoseAck, g.c.faults.LoseAck):
		g.giveBack(m, si, g.lateness(si))
	case a.suffers(faultRedeliver, g.c.faults.Redeliver):
		g.repeat(m, si, g.lateness(si))
	default:
		return false
	}
	g.progress++
	return true
}

// repeat delivers a settled event once more. Nothing waits for it.
func (g *group) repeat(m *consumer, si int32, after int64) {
	s := &g.slots.all[si]
	old := s.lane
	g.leaveHand(m, s)
	s.lane = 0
	if after <= 0 {
		g.giveReady(si, false)
	} else {
		g.delay(si, stateDelayed, after)
	}
	if old != 0 {
		g.settleLane(old)
	}
}

// complain decides whether a transient error is told before an event comes.
func (g *group) complain(m *consumer, si int32) {
	if g.slots.all[si].attempts == 1 && m.onError != nil && g.afflict(si).suffers(faultReceive, g.c.faults.FailReceive) {
		m.errs++
	}
}

// waits reports whether a lane waits for what it has in hand: with faults, one event
// of a key is in hand at a time. Else a lost lease had to take others of the key away
// too, and what comes again would stand before or behind what happens to be fetched.
func (g *group) waits(l *lane) bool { return g.c.faults != nil && l.keyed && l.inHand > 0 }

// plus adds a lateness to a delay.
func plus(after, late int64) int64 {
	if after > never-1-late {
		return never - 1
	}
	return after + late
}
