package bustest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/bustest"
	"github.com/leat-go/leat/event"
)

type (
	OrderTaken    struct{ Order string }
	ParcelShipped struct{ Parcel, Order string }
)

func (o OrderTaken) EventKey() string    { return o.Order }
func (p ParcelShipped) EventKey() string { return p.Parcel } // another key, and another topic

func parcels(w *bustest.World, ship func(status map[string]string, p ParcelShipped) error) {
	status := map[string]string{}
	w.Handlers(func(b *bus.Bus) {
		bus.Subscribe(b, "desk", func(_ context.Context, o OrderTaken) error {
			if status[o.Order] == "" {
				status[o.Order] = "taken"
			}
			return nil
		})
		bus.Subscribe(b, "desk", func(ctx context.Context, p ParcelShipped) error {
			bustest.Step(ctx, "begin")
			return ship(status, p)
		})
	})
	w.Publish(OrderTaken{"42"})
	w.Publish(ParcelShipped{"p-1", "42"})
	w.State(func() any { return status })
}

// A handler that knows what must have happened, in another topic or under another
// key, and drops what doesn't fit.
func shipKnownOrders(w *bustest.World) {
	parcels(w, func(status map[string]string, p ParcelShipped) error {
		if status[p.Order] == "" {
			return nil // no such order
		}
		status[p.Order] = "shipped"
		return nil
	})
}

func Example_orderAssumedAcrossKeys() {
	t := new(testing.T) // that of the test
	fmt.Println(bustest.Search(t, shipKnownOrders).Failure)
	// Output:
	// the final state differs from that of the undisturbed run:
	//   map[42:taken]
	//   undisturbed: map[42:shipped]
	//   published message-1: bustest_test.OrderTaken{Order:42}
	//   published message-2: bustest_test.ParcelShipped{Parcel:p-1 Order:42}
	//   1. 0s process 1: group "desk" handles parcel-shipped message-2, attempt 1: returns nil
	//   2. 0s process 1: group "desk" handles order-taken message-1, attempt 1: returns nil
	// again: bustest.Seed(1), bustest.Only(15)
	// this alone: bustest.Replay("eager run/1/0/order-taken:message-1=run/1/0/parcel-shipped:message-2")
}

// What comes too early waits.
func shipOrdersOnceKnown(w *bustest.World) {
	parcels(w, func(status map[string]string, p ParcelShipped) error {
		if status[p.Order] == "" {
			return event.Postpone(time.Minute, errors.New("the order isn't here yet"))
		}
		status[p.Order] = "shipped"
		return nil
	})
}

func TestOrderAwaited(t *testing.T) {
	bustest.Explore(t, shipOrdersOnceKnown, bustest.Schedules(schedules()), bustest.Parallel(runtime.GOMAXPROCS(0)))
}
