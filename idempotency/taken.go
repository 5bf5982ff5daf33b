package idempotency

import (
	"context"

	"github.com/leat-go/leat/event"
)

// taken is what became of the events of a batch so far.
type taken struct {
	events []event.Event
	failed event.BatchError
	waits  map[string]bool // keys of which one event comes again
}

func newTaken(events []event.Event) taken {
	return taken{events, make(event.BatchError), make(map[string]bool)}
}

// distinct returns the indexes of events that have different keys. One that is in the batch
// twice is known the next time.
func (t *taken) distinct(ctx context.Context) []int {
	some := make([]int, 0, len(t.events))
	known := make(map[Key]bool, len(t.events))
	for i, e := range t.events {
		in, _ := event.FromContext(event.Element(ctx, i))
		if key := KeyOf(in.Group, e); known[key] {
			t.failed[i] = event.Postpone(0, ErrBusy)
		} else {
			known[key] = true
			some = append(some, i)
		}
	}
	return some
}

// behind lets an event wait whose key has one before it that comes again.
func (t *taken) behind(i int) bool {
	key := t.events[i].Key()
	if key == "" || !t.waits[key] {
		return false
	}
	t.failed[i] = event.ErrBehind
	return true
}

// ended notes what became of an event.
func (t *taken) ended(i int, err error) {
	if err == nil {
		return
	}
	t.failed[i] = err
	if event.VerdictOf(err).Kind != event.Rejected {
		t.waits[t.events[i].Key()] = true
	}
}

// result returns the error of the batch.
func (t *taken) result() error {
	if len(t.failed) > 0 {
		return t.failed
	}
	return nil
}
