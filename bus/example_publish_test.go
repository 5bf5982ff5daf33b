package bus_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// What a publish says by options comes with the event.
func ExampleBus_Publish() {
	type OrderPlaced struct{ ID string }

	ctx := context.Background()
	b := bus.New(bus.Config{Channel: memory.New(), App: "shop"})
	bus.Subscribe(b, "mailer", func(ctx context.Context, e OrderPlaced) error {
		info, _ := event.FromContext(ctx)
		fmt.Println(info.Event.Type(), "from", info.Event.Source(), "with key", info.Event.Key())
		fmt.Println("about", info.Event.Subject(), "- attempt", info.Attempt)
		fmt.Println("early:", time.Now().Before(info.Event.NotBefore()))
		return nil
	})
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	err := b.Publish(ctx, OrderPlaced{ID: "42"},
		bus.Key("customer-7"),          // in order with all events of this key
		bus.Subject("orders/42"),       // what it is about
		bus.Delay(10*time.Millisecond), // not delivered before
	)
	if err != nil {
		log.Fatal(err)
	}
	if err := b.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// order-placed from /shop with key customer-7
	// about orders/42 - attempt 1
	// early: false
}
