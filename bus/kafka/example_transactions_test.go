package kafka_test

import (
	"context"
	"fmt"
	"log"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/kafka"
)

// What a handler publishes, and that it handled what it got, are committed together.
func ExampleConfig_transactions() {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1)) // in place of yours
	if err != nil {
		log.Fatal(err)
	}

	type OrderPlaced struct{ ID string }
	type InvoiceSent struct{ Order string }

	ctx := context.Background()
	b := bus.New(bus.Config{App: "shop", Channel: kafka.New(kafka.Config{
		Brokers:      cluster.ListenAddrs(),
		Transactions: true,
	})})
	bus.Subscribe(b, "billing", func(ctx context.Context, e OrderPlaced) error {
		return b.Publish(ctx, InvoiceSent{Order: e.ID}) // exactly one for each order
	})
	bus.Subscribe(b, "archive", func(_ context.Context, e InvoiceSent) error {
		fmt.Println("invoice for order", e.Order)
		return nil
	})
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := b.Publish(ctx, OrderPlaced{ID: "42"}); err != nil {
		log.Fatal(err)
	}
	if err := b.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	cluster.Close()
	// Output: invoice for order 42
}
