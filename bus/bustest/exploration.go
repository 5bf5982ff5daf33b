package bustest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// maxChoices bounds the undisturbed run; what has not settled by then never will.
const maxChoices = 20_000

// exploration is what Explore does.
type exploration struct {
	t         *testing.T // of the bubbles; nil within one
	setup     func(*World)
	schedules int
	seed      uint64
	seeded    bool
	deviate   int
	parallel  int
	only      int    // schedule; -1: all
	replay    string // or: a schedule that was written down

	reference *result
	limit     int // of the choices of a run
	symbols   *symbols
	pool      pool
	pcg       rand.PCG
	dice      *rand.Rand
	sites     []int
	defaults  []action // for the next run
}

func newExploration(setup func(*World), opts []ExploreOption) *exploration {
	x := &exploration{setup: setup, schedules: 1000, seed: 1, deviate: 3, parallel: 1, only: -1, symbols: newSymbols()}
	x.dice = rand.New(&x.pcg)
	for _, opt := range opts {
		opt(x)
	}
	return x
}

func (x *exploration) check() error {
	if x.schedules < 1 || x.deviate < 1 || x.parallel < 1 {
		return fmt.Errorf("Schedules(%d), Deviations(%d), Parallel(%d): at least 1", x.schedules, x.deviate, x.parallel)
	}
	return nil
}

// numbers returns the first schedule that is to be tried, and the one after the last.
func (x *exploration) numbers() (first, end int) {
	if x.only >= 0 {
		return x.only, x.only + 1
	}
	return 0, x.schedules
}

// learn runs the world twice without deviations: for what is right, and to see
// whether it is the same each time.
func (x *exploration) learn() error {
	x.limit = maxChoices
	var err error
	if x.reference, err = x.undisturbed(nil); err != nil {
		return x.explain(err)
	}
	again, err := x.undisturbed(nil)
	if err != nil {
		return err
	}
	if why := again.differs(x.reference); why != "" || again.trace != x.reference.trace {
		return fmt.Errorf("two undisturbed runs are not the same: the application depends on "+
			"something else than what it is given, such as the order of a map or a random id\n%s", why)
	}
	x.limit = 1000 + 10*x.reference.length
	return nil
}

// undisturbed runs the world without deviations, and without some publishes.
func (x *exploration) undisturbed(skip []bool) (*result, error) {
	r, err := x.run(skip, schedule{}, nil, true)
	if err == nil && r.err != nil {
		err = fmt.Errorf("the undisturbed run fails: %w", r.err)
	}
	return r, err
}

// explain adds what happened to the error of an undisturbed run.
func (x *exploration) explain(err error) error {
	story := newTale(x.symbols)
	if r, _ := x.run(nil, schedule{}, story, true); r == nil {
		return err // nothing happened
	}
	return fmt.Errorf("%w\n%s", err, shorten(story.tree()))
}

// try runs the i-th schedule. Every second one publishes all messages first.
func (x *exploration) try(i int) (r *result, eager bool, err error) {
	x.pcg.Seed(x.seed, uint64(i))
	span := x.reference.length + x.reference.length/2
	x.sites = x.sites[:0]
	for range 1 + x.dice.IntN(x.deviate) {
		x.sites = append(x.sites, x.dice.IntN(span))
	}
	slices.Sort(x.sites)
	eager = x.dice.IntN(2) == 0
	r, err = x.run(nil, schedule{eager: eager, dice: x.dice, sites: x.sites}, nil, false)
	if err != nil {
		err = fmt.Errorf("schedule %d of seed %d: %w", i, x.seed, err)
	}
	return r, eager, err
}

// run runs the world once. The error is that of a set-up that can't run at all.
func (x *exploration) run(skip []bool, how schedule, story *tale, careful bool) (*result, error) {
	if x.t == nil { // no closure for each schedule of a search
		return x.simulate(skip, how, story, careful)
	}
	var r *result
	var err error
	x.inBubble(func() { r, err = x.simulate(skip, how, story, careful) })
	return r, err
}

func (x *exploration) simulate(skip []bool, how schedule, story *tale, careful bool) (*result, error) {
	w := &World{skip: skip}
	x.setup(w)
	if err := w.check(); err != nil {
		return nil, err
	}
	s := &simulation{
		schedule: how, w: w, symbols: x.symbols, pool: &x.pool, limit: x.limit, story: story, careful: careful,
		defaults: x.defaults,
	}
	x.defaults = nil
	defer s.end()
	if err := s.start(); err != nil {
		return nil, err
	}
	return s.finish(s.run()), nil
}
