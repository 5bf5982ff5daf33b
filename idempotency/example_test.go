package idempotency_test

import (
	"context"
	"fmt"
	"log"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
)

// An event that comes twice is charged once.
func Example() {
	type OrderPlaced struct{ Cents int }
	ctx := context.Background()
	store := idempotency.NewMemory(idempotency.MemoryConfig{}) // in production: redisstore.NewIdempotency
	balance := 0

	b := bus.New(bus.Config{Channel: memory.New()})
	bus.Subscribe(b, "billing", func(_ context.Context, e OrderPlaced) error {
		balance -= e.Cents
		return nil
	}, bus.With(idempotency.Middleware(store)))
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	placed := event.New("/shop", "order-placed", nil).WithData("application/json", []byte(`{"Cents":100}`))
	for range 3 {
		if err := b.Publish(ctx, placed); err != nil {
			log.Fatal(err)
		}
	}
	if err := b.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(balance)
	// Output: -100
}

// What is no event has a name.
func ExampleOnce_Do() {
	once := idempotency.Middleware(idempotency.NewMemory(idempotency.MemoryConfig{}))
	for range 2 {
		result, err := once.Do(context.Background(), idempotency.StringKey("invoice-2026-11"), "", func(context.Context) (event.Result, error) {
			fmt.Println("sending the invoice")
			return event.Result{ContentType: "text/plain", Data: []byte("invoice 4711")}, nil
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(result.Data))
	}
	// Output:
	// sending the invoice
	// invoice 4711
	// invoice 4711
}
