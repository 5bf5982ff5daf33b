package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// What a crashed member had in hand goes to others when its lease has run out. The
// handler's error is no failure then, and nothing is settled by it.
func TestLostLease(t *testing.T) {
	for name, answer := range map[string]error{"nil": nil, "error": errBoom, "permanent": event.Permanent(errBoom), "reject": event.Reject(errBoom)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w witness
				a := &altered{Channel: memory.New(memory.Lease(time.Minute))}
				first := bus.New(bus.Config{Channel: a, KeepChannel: true, Hooks: []any{&w}})
				bus.Subscribe(first, "g", func(ctx context.Context, _ Job) error {
					<-ctx.Done()
					if !errors.Is(context.Cause(ctx), event.ErrLeaseLost) {
						t.Errorf("the context ended with %v", context.Cause(ctx))
					}
					return answer
				})
				start(t, first)
				began := time.Now()
				publish(t, first, Job{1})
				synctest.Wait()
				a.Crash(a.consumers[0])
				if got := next(t, a.Channel, began); fmt.Sprint(got) != "[1 failures 0 at 1m0s]" {
					t.Errorf("the other member got %v", got)
				}
				if len(w.attempts) > 0 {
					t.Errorf("attempts %+v: a lost delivery has no outcome", w.attempts)
				}
				for _, s := range w.settled {
					if s.Err == nil {
						t.Errorf("settled %+v", s)
					}
				}
				if err := first.Ready(); !errors.Is(err, event.ErrClosed) {
					t.Errorf("ready: %v", err)
				}
			})
		})
	}
}

// A held delivery that went to another member leaves the window, and its key goes
// on here when more of it comes.
func TestLostWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tokens []event.Token
		var runs tally
		var lost func([]event.Token)
		a := &altered{Channel: memory.New(), promise: func(g *event.Guarantees) { g.GivesBack = false }}
		a.asked = func(s *event.Subscription) { lost, s.InFlight = s.OnLost, 0 }
		a.consumer = func(_ event.Subscription, c event.Consumer) (event.Consumer, error) {
			return receiver{c, func(d *event.Delivery) { tokens = append(tokens, d.Token) }}, nil
		}
		b := bus.New(bus.Config{Channel: a})
		bus.Subscribe(b, "g", func(_ context.Context, s Step) error {
			runs.add(fmt.Sprint(s.N))
			return event.RetryAfter(time.Hour, errBoom)
		}, bus.InFlight(2))
		start(t, b)
		for n := range 3 {
			publish(t, b, Step{"k", n})
		}
		synctest.Wait()
		if fmt.Sprint(runs.names()) != "[0]" || len(tokens) != 2 {
			t.Fatalf("runs %v, %d deliveries", runs.names(), len(tokens))
		}
		lost(tokens[:1])
		synctest.Wait()
		if fmt.Sprint(runs.names()) != "[0 1]" || len(tokens) != 3 {
			t.Errorf("runs %v, %d deliveries", runs.names(), len(tokens))
		}
	})
}

// Where the channel takes nothing back, a shutdown leaves what waits for retries to
// the consumer; failures are counted.
func TestShutdownWithoutGiveBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w witness
		ch := memory.New()
		a := &altered{Channel: ch, promise: func(g *event.Guarantees) { g.GivesBack = false }}
		b := bus.New(bus.Config{Channel: a, KeepChannel: true, Hooks: []any{&w}})
		bus.Subscribe(b, "g", func(_ context.Context, j Job) error {
			if j.N == 2 {
				time.Sleep(time.Minute) // virtual
			}
			return event.RetryAfter(time.Hour, errBoom)
		})
		start(t, b)
		began := time.Now()
		for n := range 4 {
			publish(t, b, Job{n})
			synctest.Wait()
		}
		if err := b.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if len(w.settled) > 0 {
			t.Errorf("settled %s", w.kinds())
		}
		got := next(t, ch, began)
		slices.Sort(got)
		want := "[0 failures 1 at 1m0s 1 failures 1 at 1m0s 2 failures 1 at 1m0s 3 failures 0 at 1m0s]"
		if fmt.Sprint(got) != want {
			t.Errorf("left %v, want %s", got, want)
		}
	})
}

// Retries that can't be given back at the end go back with the consumer.
func TestShutdownWithoutSettlements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		a := &altered{Channel: ch, consumer: func(_ event.Subscription, c event.Consumer) (event.Consumer, error) {
			return settler{c, func(context.Context, []event.Settlement) error { return errBoom }}, nil
		}}
		var w witness
		b := bus.New(bus.Config{Channel: a, KeepChannel: true, Hooks: []any{&w}})
		bus.Subscribe(b, "g", func(context.Context, Job) error { return event.RetryAfter(time.Hour, errBoom) })
		start(t, b)
		began := time.Now()
		publish(t, b, Job{1})
		synctest.Wait()
		if err := b.Shutdown(t.Context()); err != nil || time.Since(began) > 0 {
			t.Errorf("shutdown: %v after %v", err, time.Since(began))
		}
		if len(w.settled) > 0 {
			t.Errorf("the hook was told of settlements: %s", w.kinds())
		}
		if got := fmt.Sprint(next(t, ch, began)); got != "[1 failures 1 at 0s]" {
			t.Errorf("left %s", got)
		}
	})
}

// A give-back that doesn't reach the channel is tried again; the retries stay in
// hand meanwhile.
func TestGiveBackIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := 3
		var runs tally
		a := &altered{Channel: memory.New()}
		a.consumer = func(_ event.Subscription, c event.Consumer) (event.Consumer, error) {
			return settler{c, func(ctx context.Context, s []event.Settlement) error {
				if s[0].Kind == event.SettleRetry && away > 0 {
					away--
					return errBoom
				}
				return c.Settle(ctx, s)
			}}, nil
		}
		b := bus.New(bus.Config{Channel: a})
		bus.Subscribe(b, "g", func(_ context.Context, s Step) error {
			if runs.add(s.K) == 1 && s.K != "good" {
				return event.RetryAfter(time.Hour, errBoom)
			}
			return nil
		}, bus.InFlight(4))
		start(t, b)
		for k := range 4 {
			publish(t, b, Step{K: fmt.Sprint(k)})
		}
		publish(t, b, Step{K: "good"})
		pass(30 * time.Minute)
		if away > 0 || runs.count["good"] != 1 {
			t.Errorf("the good event was handled %d times; %d give-backs to fail", runs.count["good"], away)
		}
		quiet(t, a)
		if runs.total() != 9 {
			t.Errorf("runs %v", runs.names())
		}
	})
}
