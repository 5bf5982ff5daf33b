package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
)

// What a handler publishes with its context goes out when the handler succeeds, and
// only then.
func ExampleBus_Publish_insideHandler() {
	type OrderPlaced struct{ ID string }
	type InvoiceSent struct{ Order string }

	ctx := context.Background()
	b := bus.New(bus.Config{Channel: memory.New()})
	tries := 0
	bus.Subscribe(b, "billing", func(ctx context.Context, e OrderPlaced) error {
		if err := b.Publish(ctx, InvoiceSent{Order: e.ID}); err != nil {
			return err
		}
		if tries++; tries < 3 {
			return errors.New("printer on fire") // the invoice above is dropped
		}
		return nil
	}, bus.Retry(quick))
	bus.Subscribe(b, "archive", func(ctx context.Context, e InvoiceSent) error {
		fmt.Println("invoice for order", e.Order, "after", tries, "tries")
		return nil
	})
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := b.Publish(ctx, OrderPlaced{ID: "42"}); err != nil {
		log.Fatal(err)
	}
	if err := b.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: invoice for order 42 after 3 tries
}
