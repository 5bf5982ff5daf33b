package bustest_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/bustest"
	"github.com/leat-go/leat/event"
)

// CallMade becomes a row of a report.
type CallMade struct{ Caller string }

// idOfElement returns the id of the i-th event of a batch.
func idOfElement(ctx context.Context, i int) string { return idOf(event.Element(ctx, i)) }

func calls(w *bustest.World, insert func(ctx context.Context, calls []CallMade) error, state func() any) {
	w.Handlers(func(b *bus.Bus) {
		bus.SubscribeBatch(b, "report", insert, bus.Batch(100, 50*time.Millisecond))
	})
	w.Publish(CallMade{"ada"})
	w.Publish(CallMade{"bob"})
	w.Publish(CallMade{"eve"})
	w.State(state)
}

// Rows are inserted one by one, and again when the process dies between them.
func insertRows(w *bustest.World) {
	rows := map[string]int{}
	calls(w, func(ctx context.Context, calls []CallMade) error {
		for _, c := range calls {
			rows[c.Caller]++
			bustest.Step(ctx, "row inserted")
		}
		return nil
	}, func() any { return rows })
}

func Example_batchInsertedTwice() {
	t := new(testing.T) // that of the test
	fmt.Println(bustest.Search(t, insertRows).Failure)
	// Output:
	// the final state differs from that of the undisturbed run:
	//   map[eve:2]
	//   undisturbed: map[eve:1]
	//   published message-3: bustest_test.CallMade{Caller:eve}
	//   1. 50ms process 1: group "report" handles a batch of call-made message-3, attempt 1, up to step "row inserted"
	//   2. 50ms process 1 dies, with call-made message-3 not settled
	//   3. 100ms process 2: group "report" handles a batch of call-made message-3, attempt 2: returns nil
	// again: bustest.Seed(1), bustest.Only(7)
	// this alone: bustest.Replay("skip/1 skip/2 go/1/0/call-made:message-3/step:row+inserted=die/1")
}

// A batch is inserted in one transaction, and known by its first event. But what comes
// again comes in other batches.
func insertBatchOnce(w *bustest.World) {
	rows, inserted := map[string]int{}, map[string]bool{}
	calls(w, func(ctx context.Context, calls []CallMade) error {
		if inserted[idOfElement(ctx, 0)] {
			return nil
		}
		for _, c := range calls {
			rows[c.Caller]++
		}
		inserted[idOfElement(ctx, 0)] = true
		bustest.Step(ctx, "inserted")
		return nil
	}, func() any { return rows })
}

func Example_batchKnownByItsFirstEvent() {
	t := new(testing.T) // that of the test
	fmt.Println(bustest.Search(t, insertBatchOnce).Failure)
	// Output:
	// the final state differs from that of the undisturbed run:
	//   map[ada:1 eve:2]
	//   undisturbed: map[ada:1 eve:1]
	//   published message-1: bustest_test.CallMade{Caller:ada}
	//   published message-3: bustest_test.CallMade{Caller:eve}
	//   1. 50ms process 1: group "report" handles a batch of call-made message-1, message-3, attempt 1: returns nil
	//   2. 50ms call-made message-3 is delivered to group "report" once more
	//   3. 100ms process 1: group "report" handles a batch of call-made message-3, attempt 2: returns nil
	// again: bustest.Seed(1), bustest.Only(3)
	// this alone: bustest.Replay("skip/2 end=repeat/0/0/call-made:message-3")
}

// Each row is known by its own event: a unique key of the table.
func insertRowsOnce(w *bustest.World) {
	rows, inserted := map[string]int{}, map[string]bool{}
	calls(w, func(ctx context.Context, calls []CallMade) error {
		bustest.Step(ctx, "begin")
		for i, c := range calls {
			if id := idOfElement(ctx, i); !inserted[id] {
				rows[c.Caller]++
				inserted[id] = true
			}
			bustest.Step(ctx, "row inserted")
		}
		return nil
	}, func() any { return rows })
}

func TestRowsThatAreInsertedOnce(t *testing.T) {
	bustest.Explore(t, insertRowsOnce, bustest.Schedules(schedules()), bustest.Parallel(runtime.GOMAXPROCS(0)))
}
