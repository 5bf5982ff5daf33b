package memory_test

import (
	"context"
	"fmt"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// Whoever counts deliveries counts wrong on a bad day; whoever knows which ids were
// there doesn't.
func ExampleWithFaults() {
	ctx := context.Background()
	ch := memory.New(memory.WithFaults(memory.Faults{Seed: 7, Redeliver: 0.3, LoseAck: 0.2}))
	c := subscribe(ch, "counter")
	p, _ := ch.Producer(ctx, "orders")
	for i := range 10 {
		_ = p.Produce(ctx, event.Attributes{ID: fmt.Sprint(i), Source: "/shop", Type: "order-placed"}.Event())
	}

	deliveries, ids := 0, map[string]bool{}
	for lag, _ := ch.Lag(ctx, "orders", "counter"); lag.Waiting > 0; lag, _ = ch.Lag(ctx, "orders", "counter") {
		d := receive(c)
		deliveries++
		ids[d.Event.ID()] = true
		_ = c.Settle(ctx, []event.Settlement{event.Ack(d.Token)})
	}
	fmt.Println(deliveries, "deliveries of", len(ids), "orders")
	_ = ch.Close(ctx)
	// Output: 13 deliveries of 10 orders
}
