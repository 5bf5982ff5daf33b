package bus_test

import (
	"context"
	"fmt"
	"log"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
)

// An event goes from a typed publisher to a typed handler.
func Example() {
	type OrderPlaced struct{ ID string }

	ctx := context.Background()
	b := bus.New(bus.Config{Channel: memory.New()})
	bus.Subscribe(b, "mailer", func(ctx context.Context, e OrderPlaced) error {
		fmt.Println("mail for order", e.ID)
		return nil
	})
	if err := b.Start(ctx); err != nil { // every mistake in the set-up, at once
		log.Fatal(err)
	}
	if err := b.Publish(ctx, OrderPlaced{ID: "42"}); err != nil { // nil: the channel has it
		log.Fatal(err)
	}
	if err := b.Drain(ctx); err != nil { // handles what was accepted, then stops
		log.Fatal(err)
	}
	// Output: mail for order 42
}
