package bustest_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/bustest"
)

type PaymentDue struct {
	Customer string
	Cents    int
}

func (p PaymentDue) EventKey() string { return p.Customer }

// bank is a database: what it holds survives the process.
type bank struct {
	charged map[string]int
	done    map[string]bool // by the id of the event
}

func newBank() *bank { return &bank{charged: map[string]int{}, done: map[string]bool{}} }

func payments(w *bustest.World, b *bank, handle func(ctx context.Context, p PaymentDue) error) {
	w.Handlers(func(b *bus.Bus) { bus.Subscribe(b, "cashier", handle) })
	w.Publish(PaymentDue{"ada", 100})
	w.Publish(PaymentDue{"ada", 20})
	w.Publish(PaymentDue{"bob", 3})
	w.State(func() any { return b.charged })
}

// The effect comes before the note that it was made: a process that dies between them
// makes it again.
func chargeThenRemember(w *bustest.World) {
	b := newBank()
	payments(w, b, func(ctx context.Context, p PaymentDue) error {
		if b.done[idOf(ctx)] {
			return nil
		}
		b.charged[p.Customer] += p.Cents
		bustest.Step(ctx, "charged")
		b.done[idOf(ctx)] = true
		return nil
	})
}

func Example_effectBeforeDedupe() {
	t := new(testing.T) // that of the test
	fmt.Println(bustest.Search(t, chargeThenRemember).Failure)
	// Output:
	// the final state differs from that of the undisturbed run:
	//   map[bob:6]
	//   undisturbed: map[bob:3]
	//   published message-3: bustest_test.PaymentDue{Customer:bob Cents:3}
	//   1. 0s process 1: group "cashier" handles payment-due message-3, attempt 1, up to step "charged"
	//   2. 0s process 1 dies, with payment-due message-3 not settled
	//   3. 0s process 2: group "cashier" handles payment-due message-3, attempt 2: returns nil
	// again: bustest.Seed(1), bustest.Only(11)
	// this alone: bustest.Replay("skip/1 skip/2 go/1/0/payment-due:message-3/step:charged=die/1")
}

// Both in one transaction, and it can die where it likes.
func chargeAndRemember(w *bustest.World) {
	b := newBank()
	payments(w, b, func(ctx context.Context, p PaymentDue) error {
		bustest.Step(ctx, "begin")
		if !b.done[idOf(ctx)] { // the transaction: no Step inside
			b.charged[p.Customer] += p.Cents
			b.done[idOf(ctx)] = true
		}
		bustest.Step(ctx, "committed")
		return nil
	})
}

func TestEffectWithDedupe(t *testing.T) {
	bustest.Explore(t, chargeAndRemember, bustest.Schedules(schedules()), bustest.Parallel(runtime.GOMAXPROCS(0)))
}
