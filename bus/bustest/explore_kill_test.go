package bustest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/bustest"
	"github.com/leat-go/leat/event"
)

// A handler whose process has died does nothing any more, whatever it recovers; its
// deferred functions run, up to their first Step.
func TestKilledHandlersStayDead(t *testing.T) {
	deaths, deferred := 0, 0
	bustest.Explore(t, func(w *bustest.World) {
		var after []string
		w.Config(func(c *bus.Config) {
			c.Middleware = append(c.Middleware, event.MiddlewareFunc(func(next event.Handler) event.Handler {
				return func(ctx context.Context, e event.Event) error {
					err := next(ctx, e)
					if err != nil {
						after = append(after, "a middleware goes on: "+err.Error())
					}
					return err
				}
			}))
		})
		w.Handlers(func(b *bus.Bus) {
			bus.Subscribe(b, "accounts", func(ctx context.Context, s Signup) error {
				alive := false
				defer func() {
					if alive {
						return
					}
					deaths++
					defer func() { deferred++ }()
					if v := recover(); v != nil {
						after = append(after, fmt.Sprint("recovered ", v))
					}
					if err := b.Publish(context.Background(), Welcome(s)); !errors.Is(err, event.ErrClosed) {
						after = append(after, fmt.Sprint("a dead process publishes: ", err))
					}
					bustest.Step(ctx, "in the deferred function")
					after = append(after, "went on after a Step")
				}()
				err := event.OnOutcome(ctx, func(_ context.Context, o event.Outcome) error {
					if o.Kind != event.OutcomeAcked {
						after = append(after, fmt.Sprint("before the settlement: ", o.Kind))
					}
					return nil
				}, nil)
				func() {
					defer func() { _ = recover() }()
					bustest.Step(ctx, "begun")
				}()
				alive = true
				return err
			})
			bus.Subscribe(b, "mailer", func(context.Context, Welcome) error { return nil })
		})
		w.Publish(Signup{"ada"})
		w.Invariant(func() error {
			if len(after) > 0 {
				return fmt.Errorf("after death: %q", after)
			}
			return nil
		})
	})
	if deaths == 0 || deaths != deferred {
		t.Errorf("%d deaths, %d deferred functions ended", deaths, deferred)
	}
}

// A panic of the handler's own is a failure, as on any bus.
func TestPanicsAreFailures(t *testing.T) {
	var outcomes []string
	bustest.Explore(t, func(w *bustest.World) {
		outcomes = nil
		w.Config(func(c *bus.Config) {
			c.Hooks = append(c.Hooks, onAttempt(func(a bus.AttemptEnd) {
				outcomes = append(outcomes, fmt.Sprint(a.Outcome, " ", a.Err))
				if p, ok := errors.AsType[*bus.PanicError](a.Err); a.Err != nil && (!ok || len(p.Stack) == 0) {
					t.Errorf("not a PanicError: %v", a.Err)
				}
			}))
		})
		w.Handlers(func(b *bus.Bus) {
			bus.Subscribe(b, "accounts", func(ctx context.Context, _ Signup) error {
				bustest.Step(ctx, "begun")
				if info, _ := event.FromContext(ctx); info.Failures == 0 {
					panic("boom")
				}
				return nil
			})
		})
		w.Publish(Signup{"ada"})
		w.State(func() any { return slices.Contains(outcomes, "retried panic: boom") || len(outcomes) == 1 })
	})
	if len(outcomes) == 0 {
		t.Error("no attempts")
	}
}

type onAttempt func(a bus.AttemptEnd)

func (f onAttempt) OnAttempt(_ context.Context, a bus.AttemptEnd) { f(a) }

// Order and affinity of keys hold in every schedule: an event is first handed to a
// handler after the one before it was handled, and of a key one handler runs at a time,
// but for one that has lost its lease.
func TestOrderOfKeysHoldsInEverySchedule(t *testing.T) {
	for _, workers := range []int{1, 8} {
		most := 0
		bustest.Explore(t, func(w *bustest.World) {
			var broken error
			handled := map[string]int{}
			running := map[string]context.Context{}
			alive := 0
			w.Handlers(func(b *bus.Bus) {
				bus.Subscribe(b, "stock", func(ctx context.Context, p ParcelShipped) error {
					if handled[p.Parcel] < at(p)-1 {
						broken = fmt.Errorf("%v comes before the one before it is handled", p)
					}
					if other := running[p.Parcel]; other != nil && other.Err() == nil {
						broken = fmt.Errorf("%v runs beside another of its key", p)
					}
					alive++
					most = max(most, alive)
					defer func() { alive-- }()
					running[p.Parcel] = ctx //nolint:fatcontext // it is looked at, not built on
					defer func() {
						if running[p.Parcel] == ctx {
							delete(running, p.Parcel)
						}
					}()
					bustest.Step(ctx, "begun")
					if info, _ := event.FromContext(ctx); info.Failures == 0 && at(p)%2 == 0 {
						return errors.New("once more")
					}
					handled[p.Parcel] = max(handled[p.Parcel], at(p))
					return nil
				}, bus.Workers(workers))
			})
			for i := range 3 {
				w.Publish(ParcelShipped{"a", fmt.Sprint(i + 1)})
				w.Publish(ParcelShipped{"b", fmt.Sprint(i + 1)})
			}
			w.Invariant(func() error { return broken })
		}, bustest.Schedules(schedules()/20), bustest.Deviations(5))
		if most < 2 { // with one worker: in two processes
			t.Errorf("%d workers: no two handlers ran at the same time", workers)
		}
	}
}

func at(p ParcelShipped) int {
	n := 0
	_, _ = fmt.Sscan(p.Order, &n)
	return n
}
