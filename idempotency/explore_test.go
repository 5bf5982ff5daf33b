package idempotency_test

import (
	"context"
	"testing"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/bustest"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
)

type deposit struct {
	Account string
	Cents   int
}

func (d deposit) EventKey() string { return d.Account }

type booked struct{ Account string }

// bank is an application whose handler has an effect that can't be taken back, and
// publishes. What guards it is made by with.
func bank(with func() event.Middleware) func(w *bustest.World) {
	return func(w *bustest.World) {
		balance, told := map[string]int{}, map[string]int{}
		guard := with() // all processes share its store
		w.Handlers(func(b *bus.Bus) {
			bus.Subscribe(b, "bank", func(ctx context.Context, d deposit) error {
				balance[d.Account] += d.Cents
				return b.Publish(ctx, booked{d.Account})
			}, bus.With(guard))
			bus.Subscribe(b, "mailer", func(ctx context.Context, m booked) error {
				told[m.Account]++
				return nil
			}, bus.With(guard))
		})
		w.Publish(deposit{"ada", 100})
		w.Publish(deposit{"bob", 7})
		w.Publish(deposit{"ada", 20})
		w.State(func() any { return []any{balance, told} })
	}
}

func guarded() event.Middleware {
	return idempotency.Middleware(idempotency.NewMemory(idempotency.MemoryConfig{}), idempotency.Lease(time.Minute))
}

// A handler's effect is applied once under every crash, lost lease, duplicate and order
// that is tried, and so are those of what it publishes.
func TestExplore(t *testing.T) {
	bustest.Explore(t, bank(guarded), bustest.Schedules(3000))
}

// Without the middleware it isn't.
func TestExploreUnguarded(t *testing.T) {
	nothing := func() event.Middleware {
		return event.MiddlewareFunc(func(next event.Handler) event.Handler { return next })
	}
	if bustest.Search(t, bank(nothing)).Failure == nil {
		t.Error("no schedule doubles the effect of a handler that nothing guards")
	}
}
