package bustest_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/leat-go/leat/bus/bustest"
	"github.com/leat-go/leat/event"
)

// The commit comes after the settlement: a process that dies between them has
// acknowledged what it never did.
func commitAfterAck(w *bustest.World) {
	b := newBank()
	payments(w, b, func(ctx context.Context, p PaymentDue) error {
		id := idOf(ctx)
		return event.OnOutcome(ctx, nil, func(context.Context, event.Outcome) {
			if !b.done[id] {
				b.charged[p.Customer] += p.Cents
				b.done[id] = true
			}
		})
	})
}

func Example_ackBeforeCommit() {
	t := new(testing.T) // that of the test
	fmt.Println(bustest.Search(t, commitAfterAck).Failure)
	// Output:
	// the final state differs from that of the undisturbed run:
	//   map[]
	//   undisturbed: map[ada:100]
	//   published message-1: bustest_test.PaymentDue{Customer:ada Cents:100}
	//   1. 0s process 1: group "cashier" handles payment-due message-1, attempt 1: returns nil
	//   2. 0s process 1 dies, with what follows the settlement of payment-due message-1 not done
	// again: bustest.Seed(1), bustest.Only(37)
	// this alone: bustest.Replay("skip/2 skip/3 run/1/0/payment-due:message-1*2=die/1")
}

// What must not be lost is done before the settlement.
func commitBeforeAck(w *bustest.World) {
	b := newBank()
	payments(w, b, func(ctx context.Context, p PaymentDue) error {
		id := idOf(ctx)
		return event.OnOutcome(ctx, func(_ context.Context, o event.Outcome) error {
			if o.Kind == event.OutcomeAcked && !b.done[id] {
				b.charged[p.Customer] += p.Cents
				b.done[id] = true
			}
			return nil
		}, nil)
	})
}

func TestCommitBeforeAck(t *testing.T) {
	bustest.Explore(t, commitBeforeAck, bustest.Schedules(schedules()), bustest.Parallel(runtime.GOMAXPROCS(0)))
}
