package bus

import (
	"slices"

	"github.com/leat-go/leat/event"
)

// maxKeptFailures bounds the table: it forgets the oldest, so that such an event
// is tried more often than it should.
const maxKeptFailures = 1 << 14

// failureTable remembers how often a handler failed on events that were given back
// to a channel that doesn't keep that itself. The group's mu guards it.
type failureTable struct {
	counts map[failureKey]kept
	order  []keptAt // oldest first; may name what is gone
	last   uint64   // number of the newest
}

type failureKey struct{ topic, source, id string }

type kept struct {
	failures int
	number   uint64
}

type keptAt struct {
	failureKey

	number uint64
}

func newFailureTable() *failureTable { return &failureTable{counts: make(map[failureKey]kept)} }

func keyOfFailure(d *event.Delivery) failureKey {
	return failureKey{d.Topic, d.Event.Source(), d.Event.ID()}
}

// put remembers the failures of an event that is given back.
func (t *failureTable) put(d *event.Delivery, failures int) {
	k := keyOfFailure(d)
	t.last++
	t.counts[k] = kept{failures, t.last}
	t.order = append(t.order, keptAt{k, t.last})
	for len(t.counts) > maxKeptFailures {
		if oldest := t.order[0]; t.has(oldest) {
			delete(t.counts, oldest.failureKey)
		}
		t.order = t.order[1:]
	}
	if len(t.order) > 2*maxKeptFailures {
		t.order = slices.DeleteFunc(t.order, func(at keptAt) bool { return !t.has(at) })
	}
}

// has reports whether what was kept then is still there.
func (t *failureTable) has(at keptAt) bool { return t.counts[at.failureKey].number == at.number }

// remember keeps the failures of a delivery that was taken away: it may come back here.
// mu is held.
func (g *group) remember(it *item) {
	if g.kept != nil && it.failures > 0 {
		g.kept.put(&it.d, it.failures)
	}
}

// take returns the failures of an event that came back, and forgets them.
func (t *failureTable) take(d *event.Delivery) int {
	k := keyOfFailure(d)
	n := t.counts[k].failures
	delete(t.counts, k)
	return n
}
