package bus_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
)

// Shutdown lets handlers finish that run, and leaves the rest to the channel.
func ExampleBus_Shutdown() {
	type OrderPlaced struct{ ID string }

	ctx := context.Background()
	channel := memory.New()
	started := make(chan struct{})
	first := bus.New(bus.Config{Channel: channel, KeepChannel: true})
	bus.Subscribe(first, "mailer", func(ctx context.Context, e OrderPlaced) error {
		close(started)
		time.Sleep(10 * time.Millisecond) // slow
		fmt.Println("first: mail for order", e.ID)
		return nil
	})
	if err := first.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := first.PublishAll(ctx, OrderPlaced{ID: "1"}, OrderPlaced{ID: "2"}); err != nil {
		log.Fatal(err)
	}
	<-started
	enough, cancel := context.WithTimeout(ctx, 10*time.Second) // then handlers are cancelled
	err := first.Shutdown(enough)
	cancel()
	if err != nil {
		log.Fatal(err)
	}

	second := bus.New(bus.Config{Channel: channel})
	bus.Subscribe(second, "mailer", func(ctx context.Context, e OrderPlaced) error {
		fmt.Println("second: mail for order", e.ID)
		return nil
	})
	if err := second.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := second.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// first: mail for order 1
	// second: mail for order 2
}
