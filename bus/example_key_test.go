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

// Events of one key are handled in order, one at a time, even when one of them has to
// be repeated. Events of other keys don't wait for it.
func ExampleKey() {
	type Step struct{ N int }

	ctx := context.Background()
	b := bus.New(bus.Config{Channel: memory.New()})
	bus.Subscribe(b, "orders", func(ctx context.Context, s Step) error {
		info, _ := event.FromContext(ctx)
		if s.N == 2 && info.Failures == 0 {
			fmt.Println(info.Event.Key(), "step", s.N, "fails")
			return errors.New("try again")
		}
		fmt.Println(info.Event.Key(), "step", s.N)
		return nil
	}, bus.Workers(8), bus.Retry(quick))
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	for n := range 4 {
		if err := b.Publish(ctx, Step{N: n + 1}, bus.Key("order-42")); err != nil {
			log.Fatal(err)
		}
	}
	if err := b.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// order-42 step 1
	// order-42 step 2 fails
	// order-42 step 2
	// order-42 step 3
	// order-42 step 4
}
