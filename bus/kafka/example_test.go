package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
)

// broker starts one within the process, for examples to run anywhere. Yours are
// somewhere else, at 127.0.0.1:9092 for example.
func broker() (brokers []string, stop func()) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		log.Fatal(err)
	}
	return cluster.ListenAddrs(), cluster.Close
}

type OrderPlaced struct{ ID string }

// The program is that of any other channel, and so are its tests: one line names the
// brokers. On a channel that outlives the process the application needs a name.
func Example() {
	brokers, stop := broker()

	ctx := context.Background()
	b := bus.New(bus.Config{
		App:     "shop",
		Channel: kafka.New(kafka.Config{Brokers: brokers}),
	})
	bus.Subscribe(b, "mailer", func(ctx context.Context, e OrderPlaced) error {
		fmt.Println("mail for order", e.ID)
		return nil
	})
	if err := b.Start(ctx); err != nil { // makes the topics and the group
		log.Fatal(err)
	}
	if err := b.Publish(ctx, OrderPlaced{ID: "42"}); err != nil { // nil: the brokers have it
		log.Fatal(err)
	}
	if err := b.Drain(ctx); err != nil { // handles what was accepted, then stops
		log.Fatal(err)
	}
	stop()
	// Output:
	// mail for order 42
}

// What a group can't handle is kept for it in a topic of its own, order-placed.shop.mailer.dead
// here, from where it can be sent to that group again.
func ExampleChannel_Redrive() {
	brokers, stop := broker()

	ctx := context.Background()
	channel := kafka.New(kafka.Config{Brokers: brokers})
	b := bus.New(bus.Config{App: "shop", Channel: channel})
	full := true // the disk
	bus.Subscribe(b, "mailer", func(ctx context.Context, e OrderPlaced) error {
		if full {
			return event.Permanent(errors.New("disk full")) // to try again wouldn't help
		}
		fmt.Println("mail for order", e.ID)
		return nil
	})
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := b.Publish(ctx, OrderPlaced{ID: "42"}); err != nil {
		log.Fatal(err)
	}
	if err := channel.Quiet(ctx, "shop.mailer"); err != nil { // everything is settled
		log.Fatal(err)
	}
	full = false
	for dead, err := range channel.DeadLetters(ctx, "order-placed", "shop.mailer") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("dead: %s %s: %s\n", dead.Event.Type(), dead.Event.Data(), dead.Cause.Text)
		if err := channel.Redrive(ctx, dead); err != nil {
			log.Fatal(err)
		}
	}
	if err := b.Drain(ctx); err != nil { // the redriven one, too
		log.Fatal(err)
	}
	stop()
	// Output:
	// dead: order-placed {"ID":"42"}: permanent: disk full
	// mail for order 42
}

// Zero fields have defaults that are safe; some of the others say how topics are made.
func ExampleConfig() {
	brokers, stop := broker()

	ctx := context.Background()
	channel := kafka.New(kafka.Config{
		Brokers:  brokers,
		ClientID: "shop-eu-1",
		Topics: kafka.TopicDefaults{
			Partitions: 6, // at most so many members of a group have something to do
			Retention:  30 * 24 * time.Hour,
		},
		MaxDelay: time.Hour, // the longest bus.Delay
	})
	b := bus.New(bus.Config{App: "shop", Channel: channel})
	bus.Subscribe(b, "mailer", func(context.Context, OrderPlaced) error { return nil })
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	gives, err := channel.Guarantees(ctx, "order-placed", "shop.mailer")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("kept for", gives.RedeliveryHorizon)
	fmt.Println("longest delay", gives.MaxDelay)
	if err := b.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	stop()
	// Output:
	// kept for 720h0m0s
	// longest delay 1h0m0s
}

// Where applications may not make topics, Start says which one is missing.
func ExampleTopicDefaults() {
	brokers, stop := broker()

	b := bus.New(bus.Config{
		App:     "shop",
		Channel: kafka.New(kafka.Config{Brokers: brokers, Topics: kafka.TopicDefaults{Never: true}}),
	})
	bus.Subscribe(b, "mailer", func(context.Context, OrderPlaced) error { return nil })
	fmt.Println(b.Start(context.Background()))
	stop()
	// Output:
	// bus: start: group "mailer": kafka: topic "order-placed" doesn't exist, and Config.Topics.Never says that none is made
}
