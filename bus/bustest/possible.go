package bustest

import "time"

// What can happen next, in the order in which it does when nothing disturbs it: what
// has begun is finished first. Groups of the first process come before those of the
// next. usual and addNormal must agree about the order.

// usual returns what comes next when nothing disturbs it.
func (s *simulation) usual() action {
	s.possible = s.possible[:0]
	for _, add := range [...]func(*simulation){
		(*simulation).addEager, (*simulation).addTasks, (*simulation).addSettles, (*simulation).addGiveBacks,
		(*simulation).addRuns, (*simulation).addFetches, (*simulation).addPublish, (*simulation).addStalled,
	} {
		if add(s); len(s.possible) > 0 {
			return s.possible[0]
		}
	}
	if _, waits := s.nextDue(); waits {
		return action{kind: actWait}
	}
	return action{kind: actEnd}
}

// addNormal finds all that can happen next without a fault, but for the end.
func (s *simulation) addNormal() {
	s.addTasks()
	s.addSettles()
	s.addGiveBacks()
	s.addRuns()
	s.addFetches()
	s.addPublish()
	s.addStalled()
	if at, waits := s.nextDue(); waits && at.After(time.Now()) {
		s.add(action{kind: actWait})
	}
}

func (s *simulation) add(a action) { s.possible = append(s.possible, a) }

func (s *simulation) addEager() {
	if s.eager {
		s.addPublish()
	}
}

func (s *simulation) addPublish() {
	if s.next < len(s.w.publishes) {
		s.add(action{kind: actPublish, group: int16(s.next)})
	}
}

func (s *simulation) addTasks()   { s.addTasksThat(false) }
func (s *simulation) addStalled() { s.addTasksThat(true) }

func (s *simulation) addTasksThat(stalled bool) {
	for _, p := range s.procs {
		for i, t := range p.tasks {
			if t.stalled == stalled {
				s.add(p.goesOn(i))
			}
		}
	}
}

// goesOn is the action in which the i-th task of a process goes on.
func (p *process) goesOn(i int) action {
	t := p.tasks[i]
	a := action{kind: actContinue, proc: p.n, group: t.group, entry: t.en.name, step: t.at}
	for _, other := range p.tasks[:i] {
		if other.group == t.group && other.en.name == t.en.name && other.at == t.at {
			a.twin++
		}
	}
	return a
}

func (s *simulation) addSettles() {
	for _, p := range s.procs {
		for g := range s.groups {
			if t, pending := p.st.Pending(g); pending {
				s.add(action{kind: actSettle, proc: p.n, group: int16(g), entry: s.broker.entryOf(t).name})
			}
		}
	}
}

func (s *simulation) addGiveBacks() {
	for _, p := range s.procs {
		for g := range s.groups {
			if p.st.Crowded(g) {
				s.add(action{kind: actGiveBack, proc: p.n, group: int16(g)})
			}
		}
	}
}

func (s *simulation) addRuns() {
	for _, p := range s.procs {
		for g := range s.groups {
			for i := range p.st.Runnable(g) {
				s.add(action{kind: actRun, proc: p.n, group: int16(g), entry: s.broker.entryOf(p.st.Ready(g, i)).name})
			}
		}
	}
}

func (s *simulation) addFetches() {
	now := time.Now()
	var one [1]*entry
	for _, p := range s.procs {
		for g := range s.groups {
			if p.st.Room(g) == 0 {
				continue
			}
			if first := p.endpoint.members[g].g.deliverable(p.endpoint, now, one[:0], 1); len(first) > 0 {
				s.add(action{kind: actFetch, proc: p.n, group: int16(g), entry: first[0].name})
			}
		}
	}
}

// addFaults finds what may go wrong now, kind by kind.
func (s *simulation) addFaults() {
	for _, p := range s.procs {
		s.add(action{kind: actCrash, proc: p.n})
	}
	for g := range s.groups {
		s.brokerGroup(g).fronts(func(en *entry) {
			s.add(action{kind: actLose, proc: s.procOf(en.holder).n, group: int16(g), entry: en.name})
		})
	}
	for g := range s.groups {
		for _, en := range s.brokerGroup(g).settled {
			if !en.repeated && s.broker.front(en) == nil { // of a parked key nothing comes
				s.add(action{kind: actRepeat, group: int16(g), entry: en.name})
			}
		}
	}
	if len(s.procs) == 1 {
		s.add(action{kind: actJoin})
	}
}

// brokerGroup returns what the broker has of a group.
func (s *simulation) brokerGroup(g int) *brokerGroup { return s.procs[0].endpoint.members[g].g }

func (s *simulation) procOf(e *endpoint) *process {
	for _, p := range s.procs {
		if p.endpoint == e {
			return p
		}
	}
	return nil
}

// nextDue returns when the next delivery is due that waits for its time.
func (s *simulation) nextDue() (at time.Time, waits bool) {
	at, waits = s.broker.nextDue(time.Now())
	for _, p := range s.procs {
		if due, held := p.st.Due(); held && (!waits || due.Before(at)) {
			at, waits = due, true
		}
	}
	return at, waits
}
