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

// Many rows cost little more than one: the handler gets them together. It says which
// of them failed; the others are done. What is published because of an event goes out
// with that event.
func ExampleSubscribeBatch() {
	type PageViewed struct{ Page string }
	type PageCounted struct{ Page string }

	ctx := context.Background()
	b := bus.New(bus.Config{Channel: memory.New()})
	locked := errors.New("row is locked")
	bus.SubscribeBatch(b, "counter", func(ctx context.Context, views []PageViewed) error {
		fmt.Println("insert", views)
		failed := make(bus.BatchError)
		for i, v := range views {
			info, _ := event.FromContext(event.Element(ctx, i))
			if v.Page == "/mill" && info.Attempt == 1 {
				failed[i] = locked
				continue
			}
			if err := b.Publish(event.Element(ctx, i), PageCounted(v)); err != nil {
				failed[i] = err
			}
		}
		if len(failed) > 0 {
			return failed
		}
		return nil
	}, bus.Batch(500, 100*time.Millisecond), bus.Retry(bus.Backoff{First: time.Millisecond, Max: time.Millisecond}))
	bus.Subscribe(b, "report", func(_ context.Context, e PageCounted) error {
		fmt.Println("counted", e.Page)
		return nil
	})
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := b.PublishAll(ctx, PageViewed{"/"}, PageViewed{"/mill"}, PageViewed{"/leat"}); err != nil {
		log.Fatal(err)
	}
	if err := b.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// insert [{/} {/mill} {/leat}]
	// counted /
	// counted /leat
	// insert [{/mill}]
	// counted /mill
}
