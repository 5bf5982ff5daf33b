package channeltest

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/event"
)

// Harness tells how to open the channel under test and what it is like. Only Open
// is required.
type Harness struct {
	// Open returns a channel: a fresh one, or a connection to a broker that other
	// cases use too, since each case works with names of its own. The suite closes it.
	Open func(t testing.TB) event.Channel

	// Declared is what the channel promises. The suite compares it with what the
	// channel says and can do, and takes from it which cases are run. When it is nil
	// the channel is believed: fine for a start, but then nobody misses a promise
	// that the channel stops making.
	Declared *Declaration

	// Exact: without a fault, a delivery is never repeated, and the first repetition
	// is a failure. Otherwise repetitions pass where consumers come, go or crash, and
	// elsewhere as long as they are few; and a case that failed after the channel had
	// taken away what a member had in hand is run again, up to three times in all.
	Exact bool
	// Faulty: the channel has faults inside, as memory.WithFaults makes them: at any
	// time it does what the contract permits on a bad day. Only the cases that stand
	// that are run, and Exact doesn't count.
	Faulty bool
	// Seed varies what the cases with chance in them do. On a Faulty channel a failure
	// tells it, and it is part of the names, so that the same events have the same
	// faults in store again. Which goroutine comes first is left to chance.
	Seed uint64
	// Members is how many members of a group can work at once; 0: any number.
	Members int
	// Ephemeral: the channel supports [event.Subscription].Ephemeral.
	Ephemeral bool

	// Bounded returns a channel on which publishers wait while a group has so many
	// events unsettled. nil: the channel isn't bounded.
	Bounded func(t testing.TB, capacity int) event.Channel
	// Crash makes a consumer vanish as if its process had died: nothing is given
	// back, nothing is renewed. nil: it can't be done.
	Crash func(c event.Consumer)
	// CrashAfterDead makes the consumer's next dead letter crash it between the
	// moment when the letter is durable and the settlement of its origin. nil: it
	// can't be done.
	CrashAfterDead func(c event.Consumer)
	// Reopen closes a channel, or kills it, and returns another one on the same
	// broker. nil: what was accepted does not survive the channel.
	Reopen func(t testing.TB, ch event.Channel) event.Channel
	// PutRaw appends bytes to a topic that are no event. nil: it can't be done.
	PutRaw func(t testing.TB, ch event.Channel, topic string, raw []byte)

	// Topic and Group turn a name into one that the broker accepts, and may prepare
	// it there. The suite's names have lower-case letters, digits and hyphens, at
	// most 40, and are never used twice. nil: names are used as they are.
	Topic func(name string) string
	Group func(name string) string

	// Bubble runs each case in a bubble of testing/synctest: hours pass in no time,
	// and a case may not leave a goroutine behind.
	Bubble bool
	// Parallel runs cases side by side. Brokers are slow more than busy: run the test
	// with -parallel 16 or so.
	Parallel bool

	Patience time.Duration // how long something that must happen may take; 0: 10 s, in a bubble 1 h
	Silence  time.Duration // how long nothing must come to be sure that nothing comes; 0: 150 ms, in a bubble 10 s
	Delay    time.Duration // a delay worth waiting for; 0: 200 ms, in a bubble 5 min
	Events   int           // of the cases with many events; 0: 10,000, with -short 1,000
}

// Declaration is what a channel promises.
type Declaration struct {
	Guarantees   event.Guarantees // as promised
	Capabilities Capability       // by name
}

// Run tests the channel that h opens against everything that package event
// promises of a channel with its guarantees and capabilities. Which cases are run
// is decided by h alone and never by how a case goes; at its end Run logs which
// were not, and why.
func Run(t *testing.T, h Harness) {
	t.Helper()
	h = h.withDefaults()
	s := &spec{Harness: h}
	t.Run("Declaration", func(t *testing.T) {
		s.bubble(t, func(t *testing.T) { s.declare(t) })
	})
	if t.Failed() {
		return
	}
	var notRun []string
	for _, topic := range suite() {
		notRun = append(notRun, s.runTopic(t, topic)...)
	}
	if len(notRun) > 0 {
		t.Logf("cases not run, by what the harness declares:\n\t%s", strings.Join(notRun, "\n\t"))
	}
}

// runTopic runs the cases of a topic that s asks for and returns the others.
func (s *spec) runTopic(t *testing.T, topic topicOfCases) (notRun []string) {
	t.Helper()
	var run []testCase
	for _, c := range topic.cases {
		if why := s.missing(c); why != "" {
			notRun = append(notRun, topic.name+"/"+c.name+": "+why)
			continue
		}
		run = append(run, c)
	}
	if len(run) == 0 {
		return notRun
	}
	t.Run(topic.name, func(t *testing.T) {
		for _, c := range run {
			t.Run(c.name, func(t *testing.T) {
				if s.Parallel {
					t.Parallel()
				}
				s.test(t, c)
			})
		}
	})
	return notRun
}

// bubble runs f in a bubble if the harness wants one.
func (s *spec) bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if s.Bubble {
		synctest.Test(t, f)
		return
	}
	f(t)
}

func (h Harness) withDefaults() Harness {
	or := func(d *time.Duration, wall, virtual time.Duration) {
		switch {
		case *d != 0:
		case h.Bubble:
			*d = virtual
		default:
			*d = wall
		}
	}
	or(&h.Patience, 10*time.Second, time.Hour)
	or(&h.Silence, 150*time.Millisecond, 10*time.Second)
	or(&h.Delay, 200*time.Millisecond, 5*time.Minute)
	if h.Events == 0 {
		h.Events = 10_000
		if testing.Short() {
			h.Events = 1_000
		}
	}
	same := func(name string) string { return name }
	if h.Faulty {
		h.Exact = false
	}
	if h.Topic == nil {
		h.Topic = same
	}
	if h.Group == nil {
		h.Group = same
	}
	return h
}

// spec is a harness and what it declares, or what its channel said.
type spec struct {
	Harness
	Declaration
}

// missing returns what c needs and the channel doesn't have.
func (s *spec) missing(c testCase) string {
	if s.Faulty && !c.stands {
		return "the channel has faults"
	}
	i := slices.IndexFunc(c.needs, func(n need) bool { return !n.met(s) })
	if i < 0 {
		return ""
	}
	return c.needs[i].without
}

// delay returns a delay worth waiting for that both a NotBefore and, if retry, a
// Retry may have.
func (s *spec) delay(longest time.Duration) time.Duration {
	if longest > 0 {
		return min(s.Delay, longest)
	}
	return s.Delay
}
