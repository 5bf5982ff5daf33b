package bus_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// A group whose window is full isn't stuck while settlements that make room are on their
// way.
func TestSettlingIsNoStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w witness
		a := &altered{Channel: memory.New()}
		a.consumer = func(_ event.Subscription, c event.Consumer) (event.Consumer, error) {
			return settler{c, func(ctx context.Context, s []event.Settlement) error {
				time.Sleep(time.Minute) // virtual
				return c.Settle(ctx, s)
			}}, nil
		}
		b := bus.New(bus.Config{Channel: a, Hooks: []any{&w}})
		bus.Subscribe(b, "g", func(_ context.Context, s Step) error {
			if s.N == 1 {
				return event.RetryAfter(time.Second*30, errBoom)
			}
			return nil
		}, bus.InFlight(4), bus.Workers(4), bus.Retry(bus.Backoff{Attempts: 2}))
		start(t, b)
		for i, k := range []string{"a", "b", "c", "d", "e"} {
			publish(t, b, Step{k, i % 2})
		}
		quiet(t, a)
		if n := w.stalled(bus.StallWindow); n > 0 {
			t.Errorf("stalled %d times for want of window", n)
		}
	})
}
