package bridgeamqp_test

import (
	"context"
	"fmt"
	"log"
	"os/signal"
	"syscall"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/watermillbridge/bridgeamqp"
)

// A service on RabbitMQ. With Ordered the events of an order would come in the order in
// which they were published, to one member at a time.
func ExampleNew() { //nolint:testableexamples // it needs a broker
	type OrderPlaced struct{ ID string }
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()

	channel, err := bridgeamqp.New(bridgeamqp.Config{
		URI:           "amqps://shop:password@rabbitmq.example.com/shop",
		Subscriptions: 20,
		Quorum:        true, // the broker is a cluster
	})
	if err != nil {
		log.Print(err)
		return
	}
	b := bus.New(bus.Config{App: "shop", Channel: channel})
	bus.Subscribe(b, "mailer", func(_ context.Context, e OrderPlaced) error {
		fmt.Println("mail for order", e.ID)
		return nil
	}, bus.Workers(20))
	if err := b.Run(ctx); err != nil {
		log.Print(err)
	}
}
