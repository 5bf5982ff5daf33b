package bustest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/leat-go/leat/bus"
)

// maxChoices bounds a run: what has not settled by then never will.
const maxChoices = 5000

// simulation is one run of a World: everything happens on one goroutine, one action
// after the other. It takes the first action that is possible, but where its plan,
// or its dice, say otherwise.
type simulation struct {
	w      *World
	broker *broker
	procs  []*process // that live
	born   int
	groups []string
	next   int // of the World's publishes
	on     *task

	plan   []deviation // to be followed
	dice   *rand.Rand  // or: where to deviate at random
	sites  []int       // choices at which the dice are thrown, ascending
	faults int         // most faults still

	choices  int
	defaults []action    // what would have come first, at each choice
	did      []deviation // so far
	possible []action
	trace    uint64
	story    *tale // nil: nobody listens
}

// start makes the world and its first process.
func (w *World) start(dice *rand.Rand, sites []int, plan []deviation, story *tale) (*simulation, error) {
	s := &simulation{
		w: w, broker: newBroker(), dice: dice, sites: sites, plan: plan, story: story,
		faults: max(len(sites), len(plan)),
	}
	_, err := s.boot()
	return s, err
}

// boot starts a process.
func (s *simulation) boot() (*process, error) {
	s.born++
	p := &process{n: s.born}
	p.endpoint = newEndpoint(s.broker, func() *task { return s.on })
	c := bus.Config{}
	if s.w.config != nil {
		s.w.config(&c)
	}
	c.Channel = p.endpoint
	if s.story != nil {
		c.Hooks = append(c.Hooks, s.story)
	}
	p.bus = bus.New(c)
	s.w.handlers(p.bus)
	var err error
	if p.st, err = p.bus.StartStepper(context.Background()); err != nil {
		return nil, err
	}
	if s.groups == nil {
		for g := range p.st.Groups() {
			s.groups = append(s.groups, p.st.Group(g))
		}
	}
	s.procs = append(s.procs, p)
	return p, nil
}

// run goes on until nothing is left to do.
func (s *simulation) run() error {
	defer s.end()
	for s.choices < maxChoices {
		a := s.choose(s.enabled())
		s.note(a)
		if a.kind == actEnd {
			return s.settled()
		}
		if err := s.do(a); err != nil {
			return err
		}
	}
	return fmt.Errorf("not settled after %d steps", maxChoices)
}

// settled checks that nothing was left.
func (s *simulation) settled() error {
	if n := s.broker.unsettled(); n > 0 {
		return fmt.Errorf("%d deliveries are never settled", n)
	}
	return nil
}

// end stops what still runs.
func (s *simulation) end() {
	for _, p := range s.procs {
		p.kill()
	}
}

// choose returns what comes next. The first normal actions that are possible are no
// faults.
func (s *simulation) choose(normal int) action {
	usual := s.possible[0]
	at := s.choices
	s.choices++
	s.defaults = append(s.defaults, usual)
	do := usual
	switch {
	case s.dice != nil:
		for len(s.sites) > 0 && s.sites[0] < at {
			s.sites = s.sites[1:]
		}
		if len(s.sites) == 0 || s.sites[0] != at || len(s.possible) == 1 {
			return usual
		}
		do = s.throw(normal)
	case len(s.plan) > 0:
		do = s.planned(usual)
	}
	if do != usual {
		s.did = append(s.did, deviation{at: usual, nth: s.count(usual), do: do})
	}
	return do
}

// throw lets the dice choose among what doesn't come first: as often a fault as
// another order.
func (s *simulation) throw(normal int) action {
	others, faults := s.possible[1:normal], s.possible[normal:]
	if s.faults == 0 {
		faults = nil
	}
	if len(faults) == 0 || len(others) > 0 && s.dice.IntN(3) == 0 {
		if len(others) == 0 {
			return s.possible[0]
		}
		return others[s.dice.IntN(len(others))]
	}
	return faults[s.dice.IntN(len(faults))]
}

// planned follows the plan.
func (s *simulation) planned(usual action) action {
	for _, d := range s.plan {
		if d.at == usual && d.nth == s.count(usual) && slices.Contains(s.possible, d.do) {
			return d.do
		}
	}
	return usual
}

// count returns how often an action came first, up to now.
func (s *simulation) count(a action) int {
	n := 0
	for _, d := range s.defaults {
		if d == a {
			n++
		}
	}
	return n
}

// enabled finds what can happen next and returns how many of that are no faults.
func (s *simulation) enabled() (normal int) {
	s.possible = s.possible[:0]
	for _, p := range s.procs {
		for _, t := range p.tasks {
			s.add(action{kind: actContinue, proc: p.n, group: t.group, entry: t.entry, step: t.at})
		}
	}
	s.eachGroup(s.addSettle)
	s.eachGroup(s.addRuns)
	s.eachGroup(s.addFetch)
	if s.next < len(s.w.publishes) {
		s.add(action{kind: actPublish, group: s.next})
	}
	if len(s.possible) == 0 {
		if _, any := s.nextDue(); any {
			s.add(action{kind: actWait})
		} else {
			s.add(action{kind: actEnd})
		}
	}
	if normal = len(s.possible); s.faults > 0 {
		s.addFaults()
	}
	return normal
}

func (s *simulation) add(a action) { s.possible = append(s.possible, a) }

func (s *simulation) eachGroup(f func(*process, int)) {
	for _, p := range s.procs {
		for g := range s.groups {
			f(p, g)
		}
	}
}

func (s *simulation) addSettle(p *process, g int) {
	if e, any := p.st.Pending(g); any {
		s.add(action{kind: actSettle, proc: p.n, group: g, entry: s.broker.nameOf(e)})
	}
}

func (s *simulation) addRuns(p *process, g int) {
	for i := range p.st.Runnable(g) {
		s.add(action{kind: actRun, proc: p.n, group: g, entry: s.broker.nameOf(p.st.Ready(g, i))})
	}
}

func (s *simulation) addFetch(p *process, g int) {
	var one [1]*entry
	m := s.broker.group(s.groups[g])
	if first := m.deliverable(p.endpoint, time.Now(), one[:0], 1); len(first) > 0 && p.st.Room(g) > 0 {
		s.add(action{kind: actFetch, proc: p.n, group: g, entry: first[0].name})
	}
}

// addFaults finds what may go wrong now.
func (s *simulation) addFaults() {
	for _, p := range s.procs {
		s.add(action{kind: actCrash, proc: p.n})
	}
	for g, name := range s.groups {
		bg := s.broker.group(name)
		for _, en := range bg.entries {
			if en.holder != nil {
				s.add(action{kind: actLose, proc: s.procOf(en.holder).n, group: g, entry: en.name})
			}
		}
		for _, en := range bg.settled {
			if !en.repeated {
				s.add(action{kind: actRepeat, group: g, entry: en.name})
			}
		}
	}
}

func (s *simulation) procOf(e *endpoint) *process {
	for _, p := range s.procs {
		if p.endpoint == e {
			return p
		}
	}
	return nil
}

// nextDue returns when the next delivery is due that waits for its time.
func (s *simulation) nextDue() (at time.Time, any bool) {
	at, any = s.broker.nextDue(time.Now())
	for _, p := range s.procs {
		if due, held := p.st.Due(); held && (!any || due.Before(at)) {
			at, any = due, true
		}
	}
	return at, any
}
