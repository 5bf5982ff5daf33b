package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
)

// What a group can't handle becomes a dead letter of that group. Once the reason is
// gone it is driven again, to that group alone.
func ExampleBus_DeadLetters() {
	type OrderPlaced struct{ ID string }

	ctx := context.Background()
	channel := memory.New()
	b := bus.New(bus.Config{Channel: channel})
	configured := false
	bus.Subscribe(b, "mailer", func(ctx context.Context, e OrderPlaced) error {
		if !configured {
			return errors.New("no mail server")
		}
		fmt.Println("mail for order", e.ID)
		return nil
	}, bus.Retry(bus.Backoff{First: quick.First, Attempts: 3}))
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := b.Publish(ctx, OrderPlaced{ID: "42"}); err != nil {
		log.Fatal(err)
	}
	if err := channel.Quiet(ctx); err != nil { // everything is settled
		log.Fatal(err)
	}
	configured = true
	for dead, err := range b.DeadLetters(ctx, "mailer") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("dead: %s after %d failures: %s\n", dead.Event.Type(), dead.Cause.Failures, dead.Cause.Text)
		if err := b.Redrive(ctx, dead); err != nil {
			log.Fatal(err)
		}
	}
	if err := b.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// dead: order-placed after 3 failures: no mail server
	// mail for order 42
}
