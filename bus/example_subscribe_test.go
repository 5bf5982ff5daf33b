package bus_test

import (
	"context"
	"fmt"
	"log"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
)

// Every group gets every event. The members of a group share its events.
func ExampleSubscribe() {
	type OrderPlaced struct{ ID string }

	ctx := context.Background()
	channel := memory.New()
	newMember := func() *bus.Bus {
		b := bus.New(bus.Config{Channel: channel, KeepChannel: true})
		bus.Subscribe(b, "mailer", func(ctx context.Context, e OrderPlaced) error {
			fmt.Println("mail for order", e.ID)
			return nil
		})
		bus.Subscribe(b, "stock", func(ctx context.Context, e OrderPlaced) error {
			fmt.Println("reserve for order", e.ID)
			return nil
		})
		if err := b.Start(ctx); err != nil {
			log.Fatal(err)
		}
		return b
	}
	one, two := newMember(), newMember() // like two processes
	if err := one.PublishAll(ctx, OrderPlaced{ID: "1"}, OrderPlaced{ID: "2"}); err != nil {
		log.Fatal(err)
	}
	for _, b := range []*bus.Bus{one, two} {
		if err := b.Drain(ctx); err != nil {
			log.Fatal(err)
		}
	}
	// Unordered output:
	// mail for order 1
	// mail for order 2
	// reserve for order 1
	// reserve for order 2
}
