package query_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/query"
)

type GetOrder struct{ ID string }

type Order struct{ ID, State string }

var ErrNoOrder = event.NewError("no_order", "there is no such order")

func Example() {
	ctx := context.Background()
	b := bus.New(bus.Config{Channel: memory.New()})
	query.Handle(b, func(_ context.Context, q GetOrder) (Order, error) {
		if q.ID != "42" {
			return Order{}, ErrNoOrder
		}
		return Order{ID: q.ID, State: "paid"}, nil
	})
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	o, err := query.Ask[Order](ctx, b, GetOrder{ID: "42"})
	fmt.Println(o.State, err)
	_, err = query.Ask[Order](ctx, b, GetOrder{ID: "7"})
	fmt.Println(errors.Is(err, ErrNoOrder), err)
	// Output:
	// paid <nil>
	// true there is no such order (no_order)
}

// Each application that handles the type answers; who has enough leaves the loop.
func ExampleAskAll() {
	ctx := context.Background()
	ch := memory.New()
	for _, app := range []string{"shop", "archive"} {
		b := bus.New(bus.Config{App: app, Channel: ch, KeepChannel: true})
		query.Handle(b, func(_ context.Context, q GetOrder) (Order, error) { return Order{q.ID, "known to " + app}, nil })
		if err := b.Start(ctx); err != nil {
			log.Fatal(err)
		}
	}
	asker := bus.New(bus.Config{App: "web", Channel: ch})
	if err := asker.Start(ctx); err != nil {
		log.Fatal(err)
	}
	for r, err := range query.AskAll[Order](ctx, asker, GetOrder{ID: "42"}) {
		fmt.Println(r.App, r.Value.State, err)
	}
	// Unordered output:
	// shop known to shop <nil>
	// archive known to archive <nil>
}

// A middleware around a handler is a function; those of package event ([bus.With]) are for
// what every message has.
func ExampleChain() {
	ctx := context.Background()
	b := bus.New(bus.Config{})
	shout := func(next query.Func[GetOrder, Order]) query.Func[GetOrder, Order] {
		return func(ctx context.Context, q GetOrder) (Order, error) {
			o, err := next(ctx, q)
			o.State += "!"
			return o, err
		}
	}
	find := func(_ context.Context, q GetOrder) (Order, error) { return Order{q.ID, "paid"}, nil }
	query.Handle(b, query.Chain(find, shout))
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	o, err := query.Ask[Order](ctx, b, GetOrder{ID: "42"})
	fmt.Println(o.State, err)
	// Output: paid! <nil>
}
