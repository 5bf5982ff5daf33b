package bustest

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/leat-go/leat/bus"
)

// World is what an exploration runs, again and again: an application, what is
// published to it, and what must be true at the end. Its state is made anew for
// every run, by the function that is given to [Explore].
type World struct {
	handlers   func(*bus.Bus)
	config     func(*bus.Config)
	publishes  []rootMessage
	state      func() any
	invariants []func() error
	skip       []bool // publishes that are left out
}

type rootMessage struct {
	v    any
	opts []bus.PublishOption
}

// Handlers says how a process registers its handlers. It is called for each process:
// those that start after a crash share the state that the handlers were given, as
// they would share a database.
func (w *World) Handlers(register func(b *bus.Bus)) { w.handlers = register }

// Config changes the configuration of each process's Bus; the channel is Explore's.
func (w *World) Config(change func(*bus.Config)) { w.config = change }

// Publish adds a message that is published from outside of any handler.
func (w *World) Publish(v any, opts ...bus.PublishOption) {
	id := bus.ID(fmt.Sprint("message-", len(w.publishes)+1)) // the same in each run
	w.publishes = append(w.publishes, rootMessage{v, append([]bus.PublishOption{id}, opts...)})
}

// State says what the application's state is. When everything has settled it must be
// deeply equal to that of the undisturbed run.
func (w *World) State(f func() any) { w.state = f }

// Invariant adds something that must hold when everything has settled.
func (w *World) Invariant(f func() error) { w.invariants = append(w.invariants, f) }

type exploration struct {
	setup     func(*World)
	schedules int
	seed      uint64
	deviate   int

	reference result
	hash      uint64
	dice      *rand.Rand
	pcg       *rand.PCG
}

// ExploreOption changes an exploration.
type ExploreOption func(*exploration)

// Schedules sets how many schedules are tried; the default is 1,000.
func Schedules(n int) ExploreOption { return func(x *exploration) { x.schedules = n } }

// Seed chooses other schedules; the default is 1.
func Seed(seed uint64) ExploreOption { return func(x *exploration) { x.seed = seed } }

// Deviations sets how often a schedule leaves the undisturbed order at most; the
// default is 3.
func Deviations(n int) ExploreOption { return func(x *exploration) { x.deviate = n } }

// Explore runs an application under many schedules, one after the other, and fails
// the test when one of them ends in another state than the undisturbed run, breaks an
// invariant, makes other dead letters, or never ends. The failure is the shortest
// schedule found that still goes wrong, told as a story, with its seed.
//
// A schedule is the order in which things happen, and what goes wrong between them:
// a process dies, before a handler begins, at each [Step] in it, before what it
// published is sent, before its delivery is settled; a lease is lost while a handler
// runs, and another process gets the delivery; the broker delivers an acked event once
// more; events of different keys overtake each other, and handlers run at the same
// time, as far as the group has workers. Nothing happens that the contract of package
// event does not permit.
//
// Everything runs on one goroutine in virtual time, so the same seed makes the same
// schedules. Handlers must not wait for each other, and only the handler's own
// goroutine may call [Step].
func Explore(t *testing.T, setup func(w *World), opts ...ExploreOption) {
	t.Helper()
	if f := Search(t, setup, opts...); f != nil {
		t.Fatalf("bustest: %v", f)
	}
}

// Search is [Explore] that returns the failure, or nil, instead of failing the test.
func Search(t *testing.T, setup func(w *World), opts ...ExploreOption) (found *Failure) {
	t.Helper()
	x := &exploration{setup: setup, schedules: 1000, seed: 1, deviate: 3}
	for _, opt := range opts {
		opt(x)
	}
	synctest.Test(t, func(t *testing.T) {
		var err error
		if found, err = x.search(); err != nil {
			t.Fatalf("bustest: %v", err)
		}
	})
	return found
}

// search tries schedules until one fails.
func (x *exploration) search() (*Failure, error) {
	x.pcg = rand.NewPCG(x.seed, 0)
	x.dice = rand.New(x.pcg) //nolint:gosec // to be repeatable
	ref, err := x.undisturbed(nil)
	if err != nil {
		return nil, err
	}
	x.reference = ref
	for i := range x.schedules {
		r, err := x.try(i)
		if err != nil {
			return nil, err
		}
		x.hash = x.hash*prime ^ r.sim.trace
		if why := r.differs(x.reference); why != "" {
			return x.shrink(i, r.sim.did)
		}
	}
	return nil, nil //nolint:nilnil // nothing was found, which is what is hoped for
}

// undisturbed runs the world without deviations.
func (x *exploration) undisturbed(skip []bool) (result, error) {
	w, err := x.world(skip)
	if err != nil {
		return result{}, err
	}
	r, err := w.run(nil, nil, nil, nil)
	if err != nil {
		return r, err
	}
	if r.err != nil {
		return r, fmt.Errorf("the undisturbed run fails: %w", r.err)
	}
	return r, nil
}

// try runs the i-th schedule.
func (x *exploration) try(i int) (result, error) {
	w, err := x.world(nil)
	if err != nil {
		return result{}, err
	}
	x.pcg.Seed(x.seed, uint64(i)+1) //nolint:gosec // not negative
	length := len(x.reference.sim.defaults)
	sites := make([]int, 1+x.dice.IntN(x.deviate))
	for j := range sites {
		sites[j] = x.dice.IntN(length + length/2)
	}
	slices.Sort(sites)
	return w.run(x.dice, sites, nil, nil)
}

// world makes the application anew.
func (x *exploration) world(skip []bool) (*World, error) {
	w := &World{skip: skip}
	x.setup(w)
	if w.handlers == nil {
		return nil, fmt.Errorf("the World has no Handlers")
	}
	if w.state == nil && len(w.invariants) == 0 {
		return nil, fmt.Errorf("the World has neither a State nor an Invariant: nothing could be found")
	}
	return w, nil
}

// result is how a run ended.
type result struct {
	sim   *simulation
	state any
	dead  map[string]int // dead letters, by group and type
	err   error
}

// run runs the world once. The error is that of a set-up that can't run at all.
func (w *World) run(dice *rand.Rand, sites []int, plan []deviation, story *tale) (result, error) {
	s, err := w.start(dice, sites, plan, story)
	if err != nil {
		return result{}, err
	}
	r := result{sim: s, err: s.run()}
	if r.err != nil {
		return r, nil
	}
	for _, holds := range w.invariants {
		if r.err = holds(); r.err != nil {
			return r, nil
		}
	}
	if w.state != nil {
		r.state = w.state()
	}
	for _, d := range s.broker.dead {
		if r.dead == nil {
			r.dead = make(map[string]int)
		}
		r.dead[d.Group+": "+d.Event.Type()]++
	}
	return r, nil
}

// differs says what is wrong with a run, or "".
func (r *result) differs(ref result) string {
	switch {
	case r.err != nil:
		return r.err.Error()
	case !reflect.DeepEqual(r.dead, ref.dead):
		return fmt.Sprintf("dead letters %v, undisturbed %v", r.dead, ref.dead)
	case !reflect.DeepEqual(r.state, ref.state):
		return fmt.Sprintf("state %+v, undisturbed %+v", r.state, ref.state)
	}
	return ""
}
