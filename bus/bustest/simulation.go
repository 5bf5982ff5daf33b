package bustest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// simulation is one run of a World: everything happens on one goroutine, one action
// after the other. It takes the first action that is possible, but where its schedule
// says otherwise.
type simulation struct {
	schedule

	w       *World
	symbols *symbols
	pool    *pool
	broker  *broker
	procs   []*process // that live
	born    int16
	groups  []string
	next    int // of the World's publishes
	on      atomic.Pointer[task]
	began   time.Time
	careful bool  // look for handlers that step from other goroutines
	misuse  error // found so

	limit    int // of choices
	choices  int
	defaults []action    // what would have come first, at each choice
	did      []deviation // so far
	possible []action
	trace    uint64
	story    *tale // nil: nobody listens
}

// schedule says where a run leaves the undisturbed order. The zero schedule does not.
type schedule struct {
	eager bool         // all messages are published first, not each when nothing else is left
	plan  []deviation  // to be followed
	dice  *rand.Rand   // or: what to do at sites
	sites []int        // choices at which the dice are thrown, ascending
	open  *[]deviation // to be filled with all that could happen instead; may be nil
}

// start makes the world's first process.
func (s *simulation) start() error {
	s.began, s.broker = time.Now(), newBroker(s.symbols)
	if s.story != nil {
		s.story.began = s.began
		s.story.broker, s.story.on = s.broker, s.on.Load
		s.broker.moved = s.tellMoved
	}
	return s.boot()
}

// boot starts a process.
func (s *simulation) boot() error {
	s.born++
	p := &process{n: s.born, sim: s, endpoint: newEndpoint(s.broker)}
	p.endpoint.task = s.on.Load
	p.endpoint.produce = s.beforeProduce
	c := bus.Config{}
	if s.w.config != nil {
		s.w.config(&c)
	}
	c.Channel, p.endpoint.durable = p.endpoint, c.App != ""
	if s.story != nil {
		c.Hooks = append(slices.Clip(c.Hooks), s.story)
		c.Middleware = append([]event.Middleware{s.story}, c.Middleware...)
	}
	p.bus = bus.New(c)
	s.w.handlers(p.bus)
	var err error
	if p.st, err = p.bus.StartStepper(&p.endpoint.life); err != nil {
		return err
	}
	if s.groups == nil {
		for g := range p.st.Groups() {
			s.groups = append(s.groups, p.st.Group(g))
		}
	}
	s.procs = append(s.procs, p)
	return nil
}

// beforeProduce is where a handler's process can die before an event that it published
// is accepted.
func (s *simulation) beforeProduce(typ string) {
	if t := s.on.Load(); t != nil {
		t.pause(name{typ: "the publish of", id: typ})
	}
}

// run goes on until nothing is left to do.
func (s *simulation) run() error {
	for s.choices < s.limit {
		a := s.choose()
		s.note(a)
		if a.kind == actEnd {
			return s.settled()
		}
		if err := s.do(a); err != nil {
			return err
		}
		if s.misuse != nil {
			return s.misuse
		}
		if time.Since(s.began) > longestRun {
			return s.endless()
		}
	}
	return fmt.Errorf("it never settles: after %d choices there is still something to do", s.limit)
}

// endless says that a run takes too long.
func (s *simulation) endless() error {
	what := "there is still something to do"
	if en := s.broker.unsettled(); en != nil {
		what = fmt.Sprintf("%v is still not settled in group %q", s.nameOf(en), en.g.name)
	}
	return fmt.Errorf("it never settles: after %d years of virtual time %s", mostYears, what)
}

// settled checks that nothing was left.
func (s *simulation) settled() error {
	if en := s.broker.unsettled(); en != nil {
		return fmt.Errorf("%v is never settled in group %q", s.nameOf(en), en.g.name)
	}
	return nil
}

// end stops what still runs.
func (s *simulation) end() {
	s.story = nil
	for _, p := range s.procs {
		p.kill()
	}
	s.procs = nil
}

// choose returns what comes next.
func (s *simulation) choose() action {
	s.broker.moveBehind() // time may have passed
	usual := s.usual()
	at := s.choices
	s.choices++
	s.defaults = append(s.defaults, usual)
	if s.open != nil {
		s.noteOpen(usual)
	}
	do := usual
	switch {
	case len(s.plan) > 0:
		do = s.planned(usual)
	case len(s.sites) > 0 && s.sites[0] == at:
		do = s.throw(usual)
		for len(s.sites) > 0 && s.sites[0] == at {
			s.sites = s.sites[1:]
		}
	}
	if do == usual {
		return do
	}
	s.did = append(s.did, deviation{at: usual, nth: s.count(usual), do: do})
	if usual.kind == actContinue {
		s.task(usual).stalled = true
	}
	return do
}

// throw lets the dice choose among what doesn't come first: as often a fault as
// another order; and among faults, as often one kind as another.
func (s *simulation) throw(usual action) action {
	s.possible = s.possible[:0]
	s.addNormal()
	s.possible = slices.DeleteFunc(s.possible, func(a action) bool { return a == usual })
	normal := len(s.possible)
	if normal > 0 && s.dice.IntN(2) == 0 {
		return s.possible[s.dice.IntN(normal)]
	}
	s.addFaults()
	kinds := [...]actionKind{actCrash, actLose, actRepeat, actJoin}
	s.dice.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	for _, kind := range kinds {
		first := slices.IndexFunc(s.possible[normal:], func(a action) bool { return a.kind == kind })
		if first < 0 {
			continue
		}
		of := s.possible[normal+first:]
		n := slices.IndexFunc(of, func(a action) bool { return a.kind != kind })
		if n < 0 {
			n = len(of)
		}
		return of[s.dice.IntN(n)]
	}
	return usual
}

// noteOpen notes what could happen instead.
func (s *simulation) noteOpen(usual action) {
	s.possible = s.possible[:0]
	s.addNormal()
	s.addFaults()
	nth := s.count(usual)
	for _, do := range s.possible {
		if do != usual {
			*s.open = append(*s.open, deviation{at: usual, nth: nth, do: do})
		}
	}
}

// planned follows the plan.
func (s *simulation) planned(usual action) action {
	for _, d := range s.plan {
		if d.at != usual || d.nth != s.count(usual) {
			continue
		}
		s.possible = s.possible[:0]
		s.addNormal()
		s.addFaults()
		if slices.Contains(s.possible, d.do) {
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
