package bus_test

import (
	"context"
	"fmt"
	"log"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// A raw handler gets events of several types as they are. Without types it takes
// every type of its topics that the group has no other handler for.
func ExampleSubscribeRaw() {
	type OrderPlaced struct{ ID string }
	type OrderPaid struct{ ID string }

	ctx := context.Background()
	b := bus.New(bus.Config{Channel: memory.New()})
	bus.SubscribeRaw(b, "audit", []string{"order-placed", "order-paid"}, func(ctx context.Context, e event.Event) error {
		fmt.Printf("%s %s\n", e.Type(), e.Data())
		return nil
	})
	bus.SubscribeRaw(b, "log", nil, func(ctx context.Context, e event.Event) error {
		fmt.Println("something on topic order-paid:", e.Type())
		return nil
	}, bus.Topic("order-paid"))
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := b.PublishAll(ctx, OrderPlaced{ID: "42"}, OrderPaid{ID: "42"}); err != nil {
		log.Fatal(err)
	}
	if err := b.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	// Unordered output:
	// order-placed {"ID":"42"}
	// order-paid {"ID":"42"}
	// something on topic order-paid: order-paid
}
