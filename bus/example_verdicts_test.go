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

// An error can say that another attempt is useless, when it should be, that there
// was no failure, or that the answer is no.
func ExampleSubscribe_verdicts() {
	type OrderPlaced struct{ ID string }

	ctx := context.Background()
	b := bus.New(bus.Config{Channel: memory.New()})
	bus.Subscribe(b, "billing", func(ctx context.Context, e OrderPlaced) error {
		info, _ := event.FromContext(ctx)
		fmt.Printf("order %s, attempt %d, failures %d\n", e.ID, info.Attempt, info.Failures)
		switch {
		case info.Attempt > 1:
			return nil
		case e.ID == "1":
			return event.Permanent(errors.New("no such customer")) // a dead letter at once
		case e.ID == "2":
			return event.RetryAfter(2*time.Millisecond, errors.New("bank closed")) // a failure
		case e.ID == "3":
			return event.Postpone(4*time.Millisecond, errors.New("not delivered yet")) // none
		default:
			return event.Reject(errors.New("paid already")) // handled; nothing to repeat
		}
	})
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	for _, id := range []string{"1", "2", "3", "4"} {
		if err := b.Publish(ctx, OrderPlaced{ID: id}, bus.Key("customer-7")); err != nil {
			log.Fatal(err)
		}
	}
	if err := b.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// order 1, attempt 1, failures 0
	// order 2, attempt 1, failures 0
	// order 2, attempt 2, failures 1
	// order 3, attempt 1, failures 0
	// order 3, attempt 2, failures 0
	// order 4, attempt 1, failures 0
}
