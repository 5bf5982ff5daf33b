package bus_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// What waits for others of its batch, and a batch that no worker has begun, goes back at
// once when the Bus shuts down, in order, and is handled by whoever comes next. The one
// that runs comes to its end.
func TestBatchesThatWereNotBegunGoBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ch := memory.New()
		var first, second batches
		b := bus.New(bus.Config{Channel: ch, KeepChannel: true})
		bus.SubscribeBatch(b, "g", func(_ context.Context, rows []Row) error {
			first.add(rows)
			time.Sleep(time.Minute) // virtual
			return nil
		}, bus.Batch(3, time.Hour))
		start(t, b)
		for n := range 8 {
			publish(t, b, Row{[]string{"a", "a", "b", "", "b", "c", "c", ""}[n], n})
		}
		synctest.Wait()
		if err := b.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("the shutdown took %v, want that of the batch that ran", took)
		}
		if left := bus.LeftInHand(b); left != "" {
			t.Errorf("left in hand: %s", left)
		}
		b = bus.New(bus.Config{Channel: ch})
		bus.SubscribeBatch(b, "g", func(_ context.Context, rows []Row) error {
			second.add(rows)
			return nil
		}, bus.Batch(10, time.Second))
		start(t, b)
		drain(t, b)
		if got, want := fmt.Sprint(first.got, second.got), "[[{a 0} {a 1} {b 2}]] [[{ 3} {b 4} {c 5} {c 6} { 7}]]"; got != want {
			t.Errorf("batches %s, want %s", got, want)
		}
	})
}

// A batch that its cancelled handler gives up goes back uncounted, and is handled once
// by the next member.
func TestBatchThatIsCancelledGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		var seen batches
		w := &witness{}
		b := bus.New(bus.Config{Channel: ch, KeepChannel: true})
		bus.SubscribeBatch(b, "g", func(ctx context.Context, _ []Row) error { <-ctx.Done(); return ctx.Err() }, bus.Batch(3, time.Second))
		start(t, b)
		for n := range 3 {
			publish(t, b, Row{"a", n})
		}
		synctest.Wait()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.Shutdown(ended); err != nil {
			t.Error(err)
		}
		b = bus.New(bus.Config{Channel: ch, Hooks: []any{w}})
		bus.SubscribeBatch(b, "g", func(_ context.Context, rows []Row) error { seen.add(rows); return nil }, bus.Batch(3, time.Second))
		start(t, b)
		drain(t, b)
		if got := fmt.Sprint(seen.got); got != "[[{a 0} {a 1} {a 2}]]" {
			t.Errorf("batches %s, want all at once", got)
		}
		for _, a := range w.attempts {
			if a.Info.Failures != 0 {
				t.Errorf("%d failures of %v, want none", a.Info.Failures, a.Info.Event.ID())
			}
		}
	})
}

// Under the contexts of a batch and of its events a shutdown would wait for itself, as
// long as the handler runs; later they are those of a publisher outside.
func TestShutdownUnderTheContextOfABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late []context.Context
		b := bus.New(bus.Config{Channel: memory.New()})
		bus.SubscribeBatch(b, "g", func(ctx context.Context, rows []Row) error {
			for _, ctx := range []context.Context{ctx, event.Elements(ctx, []int{0}), event.Element(ctx, 0)} {
				if b.Shutdown(ctx) == nil || b.Drain(ctx) == nil {
					t.Error("no error of a shutdown under the handler's context")
				}
			}
			late = append(late, event.Element(ctx, 0), event.Element(ctx, 1), ctx)
			return bus.BatchError{0: event.Reject(errBoom)}
		}, bus.Batch(2, time.Second))
		start(t, b)
		publish(t, b, Row{"a", 0})
		publish(t, b, Row{"a", 1})
		synctest.Wait()
		drain(t, b)
		for i, ctx := range late {
			if err := b.Shutdown(ctx); err != nil {
				t.Errorf("under what is left of context %d: %v", i, err)
			}
		}
	})
}
