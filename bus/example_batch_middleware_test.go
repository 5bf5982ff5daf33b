package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// skipping keeps events that are too old away from handlers: of single events, and of
// batches.
type skipping struct{ before time.Time }

func (s skipping) Wrap(next event.Handler) event.Handler {
	return func(ctx context.Context, e event.Event) error {
		if e.Time().Before(s.before) {
			return nil
		}
		return next(ctx, e)
	}
}

func (s skipping) WrapBatch(next event.BatchHandler) event.BatchHandler {
	return func(ctx context.Context, events []event.Event) error {
		var at []int // of the events that go on
		var young []event.Event
		for i, e := range events {
			if !e.Time().Before(s.before) {
				at, young = append(at, i), append(young, e)
			}
		}
		if len(young) == 0 {
			return nil
		}
		err := next(event.Elements(ctx, at), young)
		some, ok := errors.AsType[event.BatchError](err)
		if !ok && err != nil { // all of those
			some = make(event.BatchError)
			for i := range at {
				some[i] = err
			}
		}
		if len(some) == 0 {
			return nil
		}
		failed := make(event.BatchError) // by the index in the whole batch
		for i, err := range some {
			failed[at[i]] = err
		}
		return failed
	}
}

// A middleware wraps batch handlers when it has WrapBatch too.
func ExampleSubscribeBatch_middleware() {
	type PageViewed struct{ Page string }

	ctx := context.Background()
	b := bus.New(bus.Config{
		Channel:    memory.New(),
		Middleware: []event.Middleware{skipping{time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)}},
	})
	bus.SubscribeBatch(b, "counter", func(_ context.Context, views []PageViewed) error {
		fmt.Println("insert", views)
		return nil
	}, bus.Batch(500, 100*time.Millisecond))
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	old := event.Attributes{
		Source: "/shop", Type: "page-viewed", Data: []byte(`{"Page":"/old"}`),
		ContentType: "application/json", Time: time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	if err := b.PublishAll(ctx, old.Event(), PageViewed{"/mill"}, PageViewed{"/leat"}); err != nil {
		log.Fatal(err)
	}
	if err := b.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// insert [{/mill} {/leat}]
}
