package watermillbridge_test

import (
	"context"
	"fmt"
	"log"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

// A service moves over a handler at a time: one is still Watermill's, one is leat's
// already, and both share a channel.
func Example() {
	type Invoice struct{ Order string }
	channel := memory.New()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})

	b := bus.New(bus.Config{App: "shop", Channel: channel, KeepChannel: true})
	bus.Subscribe(b, "accounting", func(_ context.Context, i Invoice) error {
		fmt.Println("leat: invoice for", i.Order)
		close(done)
		return nil
	}, bus.Topic("invoices"))
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}

	publisher := watermillbridge.NewPublisher(channel, watermillbridge.PublisherConfig{})
	subscriber := watermillbridge.NewSubscriber(channel, watermillbridge.SubscriberConfig{Group: "shop.orders"})
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		log.Fatal(err)
	}
	router.AddHandler("orders", "orders", subscriber, "invoices", publisher, func(m *message.Message) ([]*message.Message, error) {
		fmt.Println("Watermill:", string(m.Payload))
		invoice := message.NewMessage("invoice-"+m.UUID, []byte(`{"Order":"42"}`))
		invoice.Metadata.Set(watermillbridge.MetadataType, "invoice")
		invoice.Metadata.Set(watermillbridge.MetadataContentType, "application/json")
		return []*message.Message{invoice}, nil
	})
	go func() { _ = router.Run(ctx) }()
	<-router.Running()

	orders, err := channel.Producer(ctx, "orders")
	if err != nil {
		log.Fatal(err)
	}
	if err := orders.Produce(ctx, event.New("/shop", "order-placed", []byte("order 42"))); err != nil {
		log.Fatal(err)
	}
	<-done
	cancel()
	if err := b.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// Watermill: order 42
	// leat: invoice for 42
}
