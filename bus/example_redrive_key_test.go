package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// The events of a customer whose address was wrong are handed to the group again, in
// order; those of others stay where they are.
func ExampleBus_RedriveKey() {
	type Parcel struct{ Customer, ID string }

	ctx := context.Background()
	channel := memory.New()
	b := bus.New(bus.Config{Channel: channel})
	wrong := map[string]bool{"alice": true, "bob": true}
	bus.Subscribe(b, "shipping", func(ctx context.Context, p Parcel) error {
		if wrong[p.Customer] {
			return event.Permanent(errors.New("no such address"))
		}
		fmt.Println("sent", p.ID)
		return nil
	})
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	for _, p := range []Parcel{{"alice", "a1"}, {"bob", "b1"}, {"alice", "a2"}} {
		if err := b.Publish(ctx, p, bus.Key(p.Customer)); err != nil {
			log.Fatal(err)
		}
	}
	if err := channel.Quiet(ctx); err != nil { // everything is settled
		log.Fatal(err)
	}

	wrong["alice"] = false
	n, err := b.RedriveKey(ctx, "shipping", "alice")
	if err != nil {
		log.Fatal(err)
	}
	if err := b.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("again:", n)
	// Output:
	// sent a1
	// sent a2
	// again: 2
}
