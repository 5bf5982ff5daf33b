package bus_test

import (
	"context"
	"fmt"
	"log"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
)

// PublishAll sends several messages, those of one topic with one call of the
// channel.
func ExampleBus_PublishAll() {
	type OrderPlaced struct{ ID string }
	type OrderPaid struct{ ID string }

	ctx := context.Background()
	b := bus.New(bus.Config{Channel: memory.New()})
	bus.Subscribe(b, "mailer", func(ctx context.Context, e OrderPlaced) error {
		fmt.Println("order", e.ID)
		return nil
	})
	bus.Subscribe(b, "books", func(ctx context.Context, e OrderPaid) error {
		fmt.Println("paid", e.ID)
		return nil
	})
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := b.PublishAll(ctx, OrderPlaced{ID: "1"}, OrderPaid{ID: "1"}, OrderPlaced{ID: "2"}); err != nil {
		log.Fatal(err)
	}
	if err := b.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	// Unordered output:
	// order 1
	// paid 1
	// order 2
}
