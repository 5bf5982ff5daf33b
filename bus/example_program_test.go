package bus_test

import (
	"context"
	"fmt"
	"log"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// What a publish and a subscription can say; everything has a safe default.
func Example_options() {
	type OrderPlaced struct{ ID string }
	type OrderPaid struct{ ID string }

	var mu sync.Mutex
	var did []string
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		did = append(did, fmt.Sprintf(format, args...))
	}
	charge := func(ctx context.Context, o OrderPlaced) error {
		if o.ID == "42" {
			return event.Permanent(fmt.Errorf("order %s has no customer", o.ID))
		}
		note("billing: charge order %s", o.ID)
		return nil
	}
	timed := event.MiddlewareFunc(func(next event.Handler) event.Handler {
		return func(ctx context.Context, e event.Event) error {
			began := time.Now()
			defer func() { _ = time.Since(began) }()
			return next(ctx, e)
		}
	})

	ctx := context.Background()
	channel := memory.New()
	b := bus.New(bus.Config{Channel: channel})
	bus.Subscribe(b, "billing", charge,
		bus.Workers(32), // at most 32 at once; order kept per key
		bus.Retry(bus.Backoff{First: time.Second, Max: time.Minute, Attempts: 8}),
		bus.With(timed),
		bus.Timeout(20*time.Second),
		bus.ParkKey(), // a failing key waits with its later events; others go on
	)
	bus.SubscribeBatch(b, "index", func(_ context.Context, es []OrderPlaced) error {
		note("index: %d orders at once", len(es))
		return nil
	}, bus.Batch(5, time.Minute))
	bus.SubscribeRaw(b, "audit", []string{"order-placed", "order-paid"}, func(_ context.Context, e event.Event) error {
		note("audit: %s of %q", e.Type(), e.Key())
		return nil
	})
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}

	err := b.Publish(ctx, OrderPlaced{ID: "42"}, bus.Key("customer-7"), bus.Delay(time.Millisecond), bus.ID("order-42"))
	if err == nil {
		err = channel.Quiet(ctx, "billing", "audit")
	}
	if err == nil {
		err = b.Publish(ctx, OrderPlaced{ID: "43"}, bus.Key("customer-7")) // goes behind 42
	}
	if err == nil {
		err = b.PublishAll(ctx, OrderPlaced{ID: "44"}, OrderPlaced{ID: "45"}, OrderPlaced{ID: "46"}, OrderPaid{ID: "45"})
	}
	if err == nil {
		err = b.Drain(ctx)
	}
	if err != nil {
		log.Fatal(err)
	}
	slices.Sort(did)
	fmt.Println(strings.Join(did, "\n"))
	// Output:
	// audit: order-paid of ""
	// audit: order-placed of ""
	// audit: order-placed of ""
	// audit: order-placed of ""
	// audit: order-placed of "customer-7"
	// audit: order-placed of "customer-7"
	// billing: charge order 44
	// billing: charge order 45
	// billing: charge order 46
	// index: 5 orders at once
}
