package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// quick is the backoff of the examples: they can't wait.
var quick = bus.Backoff{First: time.Millisecond}

// A handler's error is a failure: the event comes again.
func ExampleRetry() {
	type OrderPlaced struct{ ID string }

	ctx := context.Background()
	b := bus.New(bus.Config{Channel: memory.New()})
	bus.Subscribe(b, "mailer", func(ctx context.Context, e OrderPlaced) error {
		info, _ := event.FromContext(ctx)
		fmt.Println("attempt", info.Attempt)
		if info.Failures < 2 {
			return errors.New("mail server busy")
		}
		fmt.Println("mail for order", e.ID)
		return nil
	}, bus.Retry(bus.Backoff{First: time.Millisecond, Max: time.Minute, Attempts: 8}))
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := b.Publish(ctx, OrderPlaced{ID: "42"}); err != nil {
		log.Fatal(err)
	}
	if err := b.Drain(ctx); err != nil { // waits for the retries
		log.Fatal(err)
	}
	// Output:
	// attempt 1
	// attempt 2
	// attempt 3
	// mail for order 42
}
