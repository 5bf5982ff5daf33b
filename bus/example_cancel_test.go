package bus_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
)

// An event can be published for later, and be taken back until it is due.
func ExampleBus_Cancel() {
	type PaymentDue struct{ Order string }

	ctx := context.Background()
	b := bus.New(bus.Config{Channel: memory.New()})
	bus.Subscribe(b, "dunning", func(ctx context.Context, e PaymentDue) error {
		fmt.Println("remind the customer of order", e.Order)
		return nil
	})
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := b.Publish(ctx, PaymentDue{"41"}, bus.Delay(10*time.Millisecond), bus.ID("due-41")); err != nil {
		log.Fatal(err)
	}
	inTwoWeeks := time.Now().AddDate(0, 0, 14)
	if err := b.Publish(ctx, PaymentDue{"42"}, bus.At(inTwoWeeks), bus.ID("due-42")); err != nil {
		log.Fatal(err)
	}
	found, err := b.Cancel(ctx, "payment-due", "due-42") // order 42 is paid
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("taken back:", found)
	if err := b.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// taken back: true
	// remind the customer of order 41
}
