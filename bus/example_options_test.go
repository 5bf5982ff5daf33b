package bus_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
)

// A Config for the Bus, options for the call: each has a safe default.
func ExampleSubscribe_options() {
	type OrderPlaced struct{ ID string }

	ctx := context.Background()
	b := bus.New(bus.Config{Channel: memory.New(), App: "shop", Logger: slog.Default()})
	charge := func(ctx context.Context, e OrderPlaced) error {
		deadline, _ := ctx.Deadline()
		fmt.Println("order", e.ID, "within 20 s:", time.Until(deadline) <= 20*time.Second)
		return nil
	}

	bus.Subscribe(b, "billing", charge,
		bus.Workers(32),             // at most 32 at once, of each key one at a time
		bus.Timeout(20*time.Second), // for each attempt
		bus.Retry(bus.Backoff{First: time.Second, Max: time.Minute, Attempts: 8}),
	)
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	err := b.Publish(ctx, OrderPlaced{ID: "42"},
		bus.Key("customer-7"),          // in order with the other events of this key
		bus.Delay(10*time.Millisecond), // not delivered before
	)
	if err != nil {
		log.Fatal(err)
	}

	if err := b.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: order 42 within 20 s: true
}
