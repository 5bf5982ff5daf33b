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

// metrics is told by the bus what happens.
type metrics struct{}

func (metrics) OnAttempt(_ context.Context, a bus.AttemptEnd) {
	fmt.Println(a.Handler, a.Outcome, "in good time:", a.Took < time.Minute)
}

func (metrics) OnSettle(s bus.Settled) {
	fmt.Println(s.Group, s.Topic, s.Kind)
}

// Hooks are values that implement some of the hook interfaces.
func ExampleAttemptHook() {
	type OrderPlaced struct{ ID string }

	ctx := context.Background()
	b := bus.New(bus.Config{Channel: memory.New(), Hooks: []any{metrics{}}})
	bus.SubscribeRaw(b, "audit", []string{"order-placed"}, func(context.Context, event.Event) error { return nil })
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := b.Publish(ctx, OrderPlaced{ID: "42"}); err != nil {
		log.Fatal(err)
	}
	if err := b.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// audit/order-placed acked in good time: true
	// audit order-placed ack
}
