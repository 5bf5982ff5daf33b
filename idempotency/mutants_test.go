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

// broken makes a middleware of what is wrong in it.
func broken(wrap func(s idempotency.Store, next event.Handler) event.Handler) func() event.Middleware {
	return func() event.Middleware {
		s := idempotency.NewMemory(idempotency.MemoryConfig{})
		return event.MiddlewareFunc(func(next event.Handler) event.Handler { return wrap(s, next) })
	}
}

func keyIn(ctx context.Context, e event.Event) idempotency.Key {
	in, _ := event.FromContext(ctx)
	return idempotency.KeyOf(in.Group, e)
}

// What others do, or did, is found out.
func TestMutants(t *testing.T) {
	for name, with := range map[string]func() event.Middleware{
		"marks before it runs": broken(func(s idempotency.Store, next event.Handler) event.Handler {
			return func(ctx context.Context, e event.Event) error {
				g, err := s.Claim(ctx, keyIn(ctx, e), idempotency.Claim{Lease: time.Minute})
				if err != nil || g.State != idempotency.Claimed {
					return err
				}
				if err := s.Complete(ctx, keyIn(ctx, e), g.Fence, idempotency.Record{}); err != nil {
					return err
				}
				return next(ctx, e)
			}
		}),
		"acknowledges before it records": broken(func(s idempotency.Store, next event.Handler) event.Handler {
			return func(ctx context.Context, e event.Event) error {
				key := keyIn(ctx, e)
				g, err := s.Claim(ctx, key, idempotency.Claim{Lease: time.Minute})
				switch {
				case err != nil || g.State == idempotency.Completed:
					return err
				case g.State == idempotency.Busy:
					return event.Postpone(g.Left, idempotency.ErrBusy)
				}
				_ = event.OnOutcome(ctx, nil, func(context.Context, event.Outcome) {
					_ = s.Complete(context.WithoutCancel(ctx), key, g.Fence, idempotency.Record{})
				})
				return next(ctx, e)
			}
		}),
		"claims nothing": broken(func(s idempotency.Store, next event.Handler) event.Handler {
			return func(ctx context.Context, e event.Event) error {
				g, err := s.Claim(ctx, keyIn(ctx, e), idempotency.Claim{Lease: time.Nanosecond})
				if err != nil || g.State == idempotency.Completed {
					return err
				}
				bustest.Step(ctx, "looked")
				if err := next(ctx, e); err != nil {
					return err
				}
				_ = s.Complete(context.WithoutCancel(ctx), keyIn(ctx, e), g.Fence, idempotency.Record{})
				return nil
			}
		}),
		"forgets what was published": broken(func(s idempotency.Store, next event.Handler) event.Handler {
			return func(ctx context.Context, e event.Event) error {
				g, err := s.Claim(ctx, keyIn(ctx, e), idempotency.Claim{Lease: time.Minute})
				switch {
				case err != nil || g.State == idempotency.Completed:
					return err
				case g.State == idempotency.Busy:
					return event.Postpone(g.Left, idempotency.ErrBusy)
				}
				if err := next(ctx, e); err != nil {
					return err
				}
				return s.Complete(context.WithoutCancel(ctx), keyIn(ctx, e), g.Fence, idempotency.Record{})
			}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			if bustest.Search(t, bank(with), bustest.Schedules(3000)).Failure == nil {
				t.Error("nothing that was tried shows it")
			}
		})
	}
}

// forgetful is a store whose claims all have the same number.
type forgetful struct{ idempotency.Store }

func (f forgetful) Claim(ctx context.Context, k idempotency.Key, c idempotency.Claim) (idempotency.Grant, error) {
	g, err := f.Store.Claim(ctx, k, c)
	g.Fence = min(g.Fence, 1)
	return g, err
}

// A handler that was overtaken while it was at work is told apart by its fence.
func TestFencesTellZombiesApart(t *testing.T) {
	app := func(store func() idempotency.Store) func(w *bustest.World) {
		return func(w *bustest.World) {
			last, wrong := map[string]uint64{}, 0
			guard := idempotency.Middleware(store(), idempotency.Lease(time.Minute))
			w.Handlers(func(b *bus.Bus) {
				bus.Subscribe(b, "bank", func(ctx context.Context, d deposit) error {
					before := idempotency.Fence(ctx)
					bustest.Step(ctx, "prepared")
					if before < last[d.Account] {
						return event.Postpone(0, idempotency.ErrFenced) // what it would write to says no
					}
					if before == last[d.Account] {
						wrong++ // two that can't be told apart
					}
					last[d.Account] = before
					return nil
				}, bus.With(guard))
			})
			w.Publish(deposit{"ada", 100})
			w.State(func() any { return wrong })
		}
	}
	bustest.Explore(t, app(func() idempotency.Store { return idempotency.NewMemory(idempotency.MemoryConfig{}) }), bustest.Schedules(3000))
	if bustest.Search(t, app(func() idempotency.Store {
		return forgetful{idempotency.NewMemory(idempotency.MemoryConfig{})}
	}), bustest.Schedules(3000)).Failure == nil {
		t.Error("nothing that was tried shows that fences are all the same")
	}
}
