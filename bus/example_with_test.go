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

// A middleware sees each attempt. The first of With is the outermost.
func ExampleWith() {
	type OrderPlaced struct{ ID string }

	named := func(name string) event.Middleware {
		return event.MiddlewareFunc(func(next event.Handler) event.Handler {
			return func(ctx context.Context, e event.Event) error {
				fmt.Println(name, "before", e.Type())
				err := next(ctx, e)
				fmt.Println(name, "after", err)
				return err
			}
		})
	}
	ctx := context.Background()
	b := bus.New(bus.Config{Channel: memory.New()})
	bus.Subscribe(b, "mailer", func(ctx context.Context, e OrderPlaced) error {
		return event.Reject(errors.New("no address"))
	}, bus.With(named("outer"), named("inner")))
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := b.Publish(ctx, OrderPlaced{ID: "42"}); err != nil {
		log.Fatal(err)
	}
	if err := b.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// outer before order-placed
	// inner before order-placed
	// inner after rejected: no address
	// outer after rejected: no address
}
