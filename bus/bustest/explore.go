package bustest

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
)

// ExploreOption changes an exploration.
type ExploreOption func(*exploration)

// Schedules sets how many schedules are tried; the default is 1,000.
func Schedules(n int) ExploreOption { return func(x *exploration) { x.schedules = n } }

// ExploreSeedVariable is the environment variable that chooses the seed of [Explore]
// and [Search] where no [Seed] does. [SeedVariable] is that of [Faults].
const ExploreSeedVariable = "BUSTEST_SEED"

// Seed chooses other schedules. Without it the seed is 1, or what the environment
// variable BUSTEST_SEED says, see [ExploreSeedVariable].
func Seed(seed uint64) ExploreOption {
	return func(x *exploration) { x.seed, x.seeded = seed, true }
}

// Deviations sets how often a schedule leaves the undisturbed order at most; the
// default is 3.
func Deviations(n int) ExploreOption { return func(x *exploration) { x.deviate = n } }

// Only tries one schedule, as a failure names it.
func Only(schedule int) ExploreOption { return func(x *exploration) { x.only = schedule } }

// Replay runs one schedule, as a failure has written it down, and no other: its story
// happens again without a search, also when other schedules would be drawn meanwhile.
// When the application has changed so much that the schedule can't be followed, and
// nothing goes wrong, that fails the test as well: it would say nothing.
func Replay(schedule string) ExploreOption {
	return func(x *exploration) { x.replay = schedule }
}

// Parallel tries so many schedules at the same time; the default is 1. Which schedules
// are tried, what is found and the Trace are the same for each number. The function
// that makes the World is called by several goroutines then: what it makes must share
// nothing.
func Parallel(n int) ExploreOption { return func(x *exploration) { x.parallel = n } }

// Report is what [Search] did.
type Report struct {
	Schedules int      // tried
	Trace     uint64   // a hash of all that happened in them, in order
	Failure   *Failure // or nil
}

// Explore runs an application under many schedules and fails the test when one of them
// ends in another state than the undisturbed run, breaks an invariant, makes other dead
// letters, or never settles. The failure is the shortest schedule found that still goes
// wrong, told as a story: what was published, what happened in what order and at what
// virtual time, what caused what with all attempts, and how to run it again.
//
// A schedule is the order in which things happen, and what goes wrong between them:
//
//   - A process dies: before a handler begins, at each [Step] in it, before each event
//     that it published is accepted, before its delivery is settled, and before the
//     functions of [event.OnOutcome] that come after that. Another one starts, unless
//     there are two.
//   - A lease is lost while a delivery is in hand: not begun, running, held for a retry,
//     or about to be settled. Another process gets it, and the handler that ran goes on
//     when nothing else is left to do, or at any time before.
//   - An event that was acked is delivered once more, also when later ones of its key
//     were handled meanwhile.
//   - Events of a batch handler come in other batches: full ones, or what has come
//     together when the wait of [bus.Batch] is over, or, without a wait, when the handler
//     begins; also without those whose lease was lost, and again after a death or a
//     failure with others than before.
//   - Another process joins.
//   - Messages come early, before what those before them caused has settled; time passes
//     early; handlers run at the same time, in one process as far as the group has
//     workers, and in two processes.
//
// Nothing happens that the contract of package event does not permit a channel that
// keeps order: events of a key are first handed to a handler in order, and to one
// process at a time; of a key that is parked, see [bus.ParkKey], nothing is handed to a
// handler until it is redriven.
//
// The broker that is simulated keeps dead letters and parked keys. It is neither an
// [event.Scheduler] nor an [event.LagReporter] nor an [event.Quiescer]: [bus.Bus.Cancel]
// and [bus.Bus.Lag] return [event.ErrNotSupported] there.
//
// The dead letters that are left must be those of the undisturbed run, as a set of
// events; what is parked is among them. An event that was published twice, with one id,
// and failed twice is one of them. What was handled, and has a copy behind a parked key,
// is none.
//
// Delays may be long: months and years cost nothing. A schedule that takes more than 100
// years of virtual time counts as one that never settles.
//
// Each schedule runs on one goroutine, in virtual time, so the same seed makes the same
// schedules. Some of them share a bubble of testing/synctest, and others don't: what
// belongs to a bubble, such as a channel, may not outlive its run. That asks something of handlers. They must not wait for each other: one
// that is suspended at a Step goes on only when no other runs, so a handler that waits
// for it, or for a lock that it holds, hangs; for a channel the runtime reports a
// deadlock of the bubble. Goroutines that a handler starts may neither call Step nor
// publish at once; Explore says so when the undisturbed run does that. And what
// handlers do may depend on nothing but their events and the World: two undisturbed
// runs that differ are an error.
func Explore(t *testing.T, setup func(w *World), opts ...ExploreOption) {
	t.Helper()
	if f := Search(t, setup, opts...).Failure; f != nil {
		t.Fatalf("bustest: %v\n%s", f, shorten(f.Tree))
	}
}

// Search is [Explore] that returns the failure instead of failing the test. What is
// wrong with the set-up itself still fails it.
func Search(t *testing.T, setup func(w *World), opts ...ExploreOption) Report {
	t.Helper()
	x := newExploration(setup, opts)
	x.t = t
	r, err := x.report(opts)
	if err != nil {
		t.Fatalf("bustest: %v", err)
	}
	return r
}

// report does what the options say.
func (x *exploration) report(opts []ExploreOption) (Report, error) {
	if err := x.environment(); err != nil {
		return Report{}, err
	}
	if err := x.check(); err != nil {
		return Report{}, err
	}
	if x.replay != "" {
		f, err := x.again(x.replay)
		return Report{Schedules: 1, Failure: f}, err
	}
	return x.find(opts)
}

// find lets searchers, each in bubbles of its own, try schedules, and tells the first
// that fails.
func (x *exploration) find(opts []ExploreOption) (Report, error) {
	h := newHunt(x)
	search := func() {
		one := newExploration(x.setup, opts)
		one.t, one.seed = x.t, x.seed
		one.search(h)
	}
	var others sync.WaitGroup
	for range x.parallel - 1 {
		others.Go(search)
	}
	search()
	others.Wait()
	if h.err != nil {
		return Report{}, h.err
	}
	r := h.report()
	if !h.failed {
		return r, nil
	}
	last := int(h.end.Load()) - 1
	var err error
	r.Failure, err = x.tell(last, h.traces[last-h.first])
	return r, err
}

func (x *exploration) environment() error {
	said := os.Getenv(ExploreSeedVariable)
	if said == "" || x.seeded {
		return nil
	}
	seed, err := strconv.ParseUint(said, 10, 64)
	if err != nil {
		return fmt.Errorf("%s=%q: want a number", ExploreSeedVariable, said)
	}
	x.seed = seed
	return nil
}
