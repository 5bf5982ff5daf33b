package bus_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
)

// The handler gets what has come together: at most as many events as Batch says, and
// no later than its wait after the first of them.
func ExampleBatch() {
	type OrderPlaced struct{ ID string }

	ctx := context.Background()
	b := bus.New(bus.Config{Channel: memory.New()})
	bus.SubscribeBatch(b, "reports", func(ctx context.Context, all []OrderPlaced) error {
		fmt.Println("insert", all) // or a bus.BatchError, for those that failed
		return nil
	}, bus.Batch(500, 50*time.Millisecond)) // at most 500, or what has come 50 ms after the first
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := b.PublishAll(ctx, OrderPlaced{ID: "41"}, OrderPlaced{ID: "42"}); err != nil {
		log.Fatal(err)
	}
	if err := b.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: insert [{41} {42}]
}
