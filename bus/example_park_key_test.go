package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
)

// When an event of an account can't be booked, the later ones of that account must not
// be booked without it. Those of other accounts can.
func ExampleParkKey() {
	type Booked struct {
		Account string
		Amount  int
	}

	ctx := context.Background()
	channel := memory.New()
	b := bus.New(bus.Config{Channel: channel})
	closed := map[string]bool{"alice": true}
	balance := map[string]int{}
	bus.Subscribe(b, "ledger", func(ctx context.Context, e Booked) error {
		if closed[e.Account] {
			return errors.New("the books are closed")
		}
		balance[e.Account] += e.Amount
		fmt.Println(e.Account, balance[e.Account])
		return nil
	}, bus.ParkKey(), bus.Retry(bus.Backoff{First: quick.First, Attempts: 3}))
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	for _, e := range []Booked{{"alice", 10}, {"alice", -5}, {"bob", 7}} {
		if err := b.Publish(ctx, e, bus.Key(e.Account)); err != nil {
			log.Fatal(err)
		}
	}
	if err := channel.Quiet(ctx); err != nil { // everything is settled
		log.Fatal(err)
	}
	for dead, err := range b.DeadLetters(ctx, "ledger", "alice") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(dead.Event.Key(), dead.Cause.Code)
	}

	closed["alice"] = false
	n, err := b.RedriveKey(ctx, "ledger", "alice")
	if err != nil {
		log.Fatal(err)
	}
	if err := b.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("again:", n)
	// Output:
	// bob 7
	// alice handler
	// alice parked-behind
	// alice 10
	// alice 5
	// again: 2
}
