package bustest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/bustest"
	"github.com/leat-go/leat/event"
)

type (
	Order struct {
		Customer string
		Cents    int
	}
	Invoice Order
)

func (o Order) EventKey() string   { return o.Customer }
func (i Invoice) EventKey() string { return i.Customer }

// invoices is an application in which nobody gets an invoice after one that has failed:
// the later ones of a customer wait behind it.
func invoices(w *bustest.World, publish func(ctx context.Context, b *bus.Bus, i Invoice) error) {
	var broken error
	w.Handlers(func(b *bus.Bus) {
		bus.Subscribe(b, "desk", func(ctx context.Context, o Order) error { return publish(ctx, b, Invoice(o)) })
		bus.Subscribe(b, "billing", func(ctx context.Context, i Invoice) error {
			for d, err := range b.DeadLetters(ctx, "billing") {
				failed, _ := bus.Decode[Invoice](b, d.Event)
				if err == nil && failed.Customer == i.Customer {
					broken = fmt.Errorf("%v is sent after %v has failed", i, failed)
				}
			}
			if i.Cents < 0 {
				return event.Permanent(errors.New("less than nothing"))
			}
			return nil
		}, bus.ParkKey())
	})
	w.Publish(Order{"ada", 100})
	w.Publish(Order{"ada", -1})
	w.Invariant(func() error { return broken })
}

// ParkKey keeps together what has the same key. A handler that publishes under another
// loses the order of the events, and so that of what fails.
func invoicesByOrder(w *bustest.World) {
	invoices(w, func(ctx context.Context, b *bus.Bus, i Invoice) error {
		return b.Publish(ctx, i, bus.Key(idOf(ctx)))
	})
}

func ExampleSearch_parkedKeys() {
	t := new(testing.T) // that of the test
	fmt.Println(bustest.Search(t, invoicesByOrder).Failure)
	// Output:
	// an invariant is broken: {ada 100} is sent after {ada -1} has failed
	//   published message-1: bustest_test.Order{Customer:ada Cents:100}
	//   published message-2: bustest_test.Order{Customer:ada Cents:-1}
	//   1. 0s process 1: group "desk" handles order message-1, attempt 1: returns nil
	//   2. 0s process 1: group "desk" handles order message-2, attempt 1: returns nil
	//   3. 0s process 1: group "billing" handles invoice d-NF0V0G02…, attempt 1: dead: permanent: less than nothing
	//   4. 0s process 1: group "billing" handles invoice d-5A7C323G…, attempt 1: returns nil
	// again: bustest.Seed(1), bustest.Only(12)
	// this alone: bustest.Replay("eager run/1/1/invoice:d-5A7C323G38FGWJV7BJG6S3ZMYG=run/1/1/invoice:d-NF0V0G021PG2CP8GMB03QPFSEC")
}

// With the customer's key no invoice comes after one that has failed. A copy of one that
// was sent already, published again by an order that came again, may end behind it: no
// handler can help that.
func invoicesByCustomer(w *bustest.World) {
	invoices(w, func(ctx context.Context, b *bus.Bus, i Invoice) error { return b.Publish(ctx, i) })
}

func TestInvoicesByCustomer(t *testing.T) {
	bustest.Explore(t, invoicesByCustomer, bustest.Schedules(schedules()/5), bustest.Parallel(runtime.GOMAXPROCS(0)))
}
