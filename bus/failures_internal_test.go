package bus

import (
	"fmt"
	"testing"

	"github.com/leat-go/leat/event"
)

func failing(n int) *event.Delivery {
	return &event.Delivery{Topic: "t", Event: event.Attributes{ID: fmt.Sprint(n), Source: "/s", Type: "a"}.Event()}
}

// The table forgets the oldest, and only when it is full: events that come and go
// don't push others out.
func TestFailureTable(t *testing.T) {
	table := newFailureTable()
	for n := range maxKeptFailures + 10 {
		table.put(failing(n), n+1)
	}
	if len(table.counts) != maxKeptFailures {
		t.Errorf("%d counts, at most %d are allowed", len(table.counts), maxKeptFailures)
	}
	for n, want := range map[int]int{0: 0, 9: 0, 10: 11, maxKeptFailures + 9: maxKeptFailures + 10} {
		if got := table.take(failing(n)); got != want {
			t.Errorf("event %d: %d failures, want %d", n, got, want)
		}
		if got := table.take(failing(n)); got != 0 {
			t.Errorf("event %d: %d failures after they were taken", n, got)
		}
	}

	table = newFailureTable()
	const few = 100
	for round := range 2 * maxKeptFailures / few * 3 {
		for n := range few {
			if round > 0 && table.take(failing(n)) != round {
				t.Fatalf("round %d: the failures of event %d are forgotten", round, n)
			}
			table.put(failing(n), round+1)
		}
	}
	if n := len(table.order); n > 2*maxKeptFailures {
		t.Errorf("the order has %d entries", n)
	}
	other := failing(1)
	other.Topic = "u"
	if table.take(other) != 0 {
		t.Error("two topics share a count")
	}
}
