package bus_test

import (
	"context"
	"fmt"
	"log"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// Ids that follow from the content: what is published twice is the same event.
func ExampleConfig_newID() {
	type PaymentReceived struct{ Reference string }
	ctx := context.Background()
	b := bus.New(bus.Config{
		Channel: memory.New(),
		NewID:   func(e event.Event) string { return e.Type() + " " + string(e.Data()) },
	})
	bus.Subscribe(b, "books", func(ctx context.Context, _ PaymentReceived) error {
		info, _ := event.FromContext(ctx)
		fmt.Println(info.Event.ID())
		return nil
	})
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := b.Publish(ctx, PaymentReceived{"2026-11"}); err != nil {
		log.Fatal(err)
	}
	if err := b.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: payment-received {"Reference":"2026-11"}
}
