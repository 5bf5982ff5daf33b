package memory

import (
	"errors"
	"fmt"
	"time"
)

// Faults is the bad day of a channel, for tests: with [WithFaults] it does to its
// users what the contract of package event permits and brokers do now and then.
// The zero value is a good day.
//
// Each probability, from 0 to 1, is that of one decision; what is below counts as 0,
// what is above as 1, and a negative Delay as none. A decision depends on the
// seed, the kind of the fault, the group, the topic, the event's source and id, and
// on how often the same was decided about it before; not on the order in which
// goroutines come. So the same seed has the same day in store for the
// same events. No event suffers the same fault more than three times in a group, so
// that all comes to its end and [Channel.Quiet] is reached.
//
// What is promised holds all the same: nothing is lost; of a key, the first
// deliveries come in order, and while one of them is in the hand of a member, no
// other one is delivered.
//
// LoseLease is decided when a delivery is begun for the first time. It is lost at
// once, when it is settled, or after a part of the [Lease], running or held: its
// context ends with event.ErrLeaseLost, OnLost is told if it was not begun, and it
// comes again. What was not begun was not attempted.
//
// FailSettle is a matter of time and not of events, so that it doesn't depend on
// which settlements happen to share a call: for 10 ms at a time all calls of a group
// fail, three such periods in a row at most.
//
// FailProduce keeps the order of keys: of a call of Produce, the events of a key that
// stand behind one that was not written are not written either.
type Faults struct {
	Seed uint64 // of all decisions; 0 is a seed like any other

	Redeliver   float64       // an acked event is delivered once more, up to Delay later; its key goes on
	Delay       time.Duration // a delivery comes up to so much later than it could; its key waits behind it
	LoseAck     float64       // an ack that Settle took is lost before it is flushed: the event is owed as before
	LoseLease   float64       // a delivery is lost by its member: see above
	FailSettle  float64       // the part of the time during which Settle records nothing and returns [ErrFault]
	FailProduce float64       // Produce returns [ErrFault] for an event, which may be written, or for the whole call
	FailReceive float64       // a transient error is told to Subscription.OnError before an event comes
	Reorder     float64       // an event, with its key, comes before those that wait longer
}

// ErrFault is what the errors of [Faults] wrap.
var ErrFault = errors.New("fault of a test")

var errReceive = fmt.Errorf("memory: the connection was lost for a moment: %w", ErrFault)

// WithFaults gives the channel a bad day: a test of those who use it.
func WithFaults(f Faults) Option { return func(c *config) { c.faults = f } }

// mostFaults is how often an event suffers the same fault.
const mostFaults = 3

// outagePeriod is how long Settle fails at a time.
const outagePeriod = 10 * time.Millisecond

// faultKind tells the decisions about an event apart.
type faultKind uint8

const (
	faultRedeliver faultKind = iota
	faultDelay
	faultLoseAck
	faultLoseLease
	faultSettle
	faultProduce
	faultReceive
	faultReorder
	faultKinds
)

// faults decides. A channel without has none.
type faults struct {
	Faults

	produced sufferers
}

func newFaults(f Faults) *faults {
	for _, p := range []*float64{
		&f.Redeliver, &f.LoseAck, &f.LoseLease, &f.FailSettle, &f.FailProduce, &f.FailReceive, &f.Reorder,
	} {
		if !(*p > 0) { // also when it is no number
			*p = 0
		}
		*p = min(*p, 1)
	}
	f.Delay = max(f.Delay, 0)
	if f == (Faults{Seed: f.Seed}) {
		return nil
	}
	return &faults{Faults: f}
}

// outage reports whether the settlements of a group fail at a time.
func (f *faults) outage(group string, now int64) bool {
	period := now / int64(outagePeriod)
	if f.FailSettle <= 0 || period%(mostFaults+1) == mostFaults {
		return false
	}
	a := affliction{fate: f.fateOf(period, group)}
	return a.suffers(faultSettle, f.FailSettle)
}

// reorders reports whether what waits is shuffled. While a publish waits for room it
// isn't: then what went over the bound has to come to its end first.
func (c *Channel) reorders() bool {
	return c.faults != nil && c.faults.Reorder > 0 && c.waits.Load() == 0
}
