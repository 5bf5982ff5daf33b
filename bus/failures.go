package bus

import "github.com/leat-go/leat/event"

// maxKeptFailures bounds the table: it forgets the oldest, so that such an event
// is tried more often than it should.
const maxKeptFailures = 1 << 14

// failureTable remembers how often a handler failed on events that were given back
// to a channel that doesn't keep that itself. The group's mu guards it.
type failureTable struct {
	counts map[failureKey]int
	order  []failureKey // oldest first; may name keys that are gone
}

type failureKey struct{ topic, source, id string }

func newFailureTable() *failureTable { return &failureTable{counts: make(map[failureKey]int)} }

func keyOfFailure(d *event.Delivery) failureKey {
	return failureKey{d.Topic, d.Event.Source(), d.Event.ID()}
}

// put remembers the failures of an event that is given back.
func (t *failureTable) put(d *event.Delivery, failures int) {
	k := keyOfFailure(d)
	if _, ok := t.counts[k]; !ok {
		t.order = append(t.order, k)
	}
	t.counts[k] = failures
	for len(t.order) > maxKeptFailures {
		delete(t.counts, t.order[0])
		t.order = t.order[1:]
	}
}

// take returns the failures of an event that came back, and forgets them.
func (t *failureTable) take(d *event.Delivery) int {
	k := keyOfFailure(d)
	n := t.counts[k]
	delete(t.counts, k)
	return n
}
