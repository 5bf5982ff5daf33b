package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// producing lets the producer of topic "out" behave as f says, n counting its calls
// from 1.
func producing(f func(n int, p event.Producer, ctx context.Context, es []event.Event) error) *altered {
	calls := 0
	return &altered{Channel: memory.New(), producer: func(topic string, p event.Producer) (event.Producer, error) {
		if topic != "out" {
			return p, nil
		}
		return produceFunc(func(ctx context.Context, es ...event.Event) error {
			calls++
			return f(calls, p, ctx, es)
		}), nil
	}}
}

// When producing fails the delivery is held, and only that is tried again: the
// handler ran once, its key waits, other keys go on.
func TestProducingIsTriedAgain(t *testing.T) {
	away := &event.ProduceError{Failed: []event.ProduceFailure{{Index: 1, ID: "x", Err: errBoom}, {Index: 2, ID: "y", Err: errBoom, Maybe: true}}}
	for name, c := range map[string]struct {
		fail func(n int, p event.Producer, ctx context.Context, es []event.Event) error
		want string
	}{
		"all": {func(n int, p event.Producer, ctx context.Context, es []event.Event) error {
			if n <= 3 {
				return errBoom
			}
			return p.Produce(ctx, es...)
		}, "[1 2 3]"},
		"some": {func(n int, p event.Producer, ctx context.Context, es []event.Event) error {
			if n == 1 { // the second was not accepted, and what became of the third is not known
				return errors.Join(p.Produce(ctx, es[0], es[2]), away)
			}
			if len(es) != 2 && n == 2 {
				return fmt.Errorf("%d events are produced again, want 2", len(es))
			}
			return p.Produce(ctx, es...)
		}, "[1 3 2 3]"},
		"late": {func(n int, p event.Producer, ctx context.Context, es []event.Event) error {
			if n == 1 {
				began := time.Now()
				<-ctx.Done()
				if took := time.Since(began); took != 30*time.Second {
					t.Errorf("the produce was ended after %v", took)
				}
				return ctx.Err()
			}
			return p.Produce(ctx, es...)
		}, "[1 2 3]"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var runs, settled tally
				var got []int
				var w witness
				a := producing(c.fail)
				b := bus.New(bus.Config{Channel: a, Hooks: []any{&w}})
				bus.Subscribe(b, "g", func(ctx context.Context, s Step) error {
					runs.add(fmt.Sprint(s))
					if s.K == "a" && s.N == 1 {
						return b.PublishAll(ctx, out{1}, out{2}, out{3})
					}
					return nil
				}, bus.Workers(2))
				bus.Subscribe(b, "out", func(_ context.Context, o out) error { got = append(got, o.N); settled.add("out"); return nil })
				start(t, b)
				publish(t, b, Step{"a", 1})
				publish(t, b, Step{"a", 2})
				publish(t, b, Step{"b", 1})
				synctest.Wait()
				if runs.count["{b 1}"] != 1 {
					t.Error("another key waited")
				}
				if runs.count["{a 2}"] != 0 {
					t.Error("the next of the key did not wait")
				}
				quiet(t, a)
				if fmt.Sprint(got) != c.want {
					t.Errorf("went out: %v, want %s", got, c.want)
				}
				if runs.total() != 3 || runs.count["{a 1}"] != 1 {
					t.Errorf("runs %v", runs.names())
				}
				if len(letters(t, b, "g")) > 0 || w.stalled(bus.StallProduce) == 0 {
					t.Errorf("%d dead letters, stalls %v", len(letters(t, b, "g")), w.stalls)
				}
			})
		})
	}
}

// An event that the channel refuses for good makes the handled one a dead letter;
// those before it may be out.
func TestRefusedForGood(t *testing.T) {
	for name, refusal := range map[string]error{
		"too large": event.ErrTooLarge, "too late": event.ErrDelayTooLong, "invalid": &event.AttributeError{Name: "subject"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				runs, after := 0, ""
				var got []int
				var w witness
				a := producing(func(_ int, p event.Producer, ctx context.Context, es []event.Event) error {
					return errors.Join(p.Produce(ctx, es[0]), &event.ProduceError{Failed: []event.ProduceFailure{{Index: 1, ID: es[1].ID(), Err: refusal}}})
				})
				b := bus.New(bus.Config{Channel: a, Hooks: []any{&w}})
				bus.Subscribe(b, "g", func(ctx context.Context, _ OrderPlaced) error {
					runs++
					return errors.Join(
						event.OnOutcome(ctx, nil, func(_ context.Context, o event.Outcome) { after = o.Kind.String() }),
						b.PublishAll(ctx, out{1}, out{2}, OrderV2{}))
				}, bus.BlockKey())
				bus.Subscribe(b, "out", func(_ context.Context, o out) error { got = append(got, o.N); return nil })
				bus.Subscribe(b, "out", func(context.Context, OrderV2) error { got = append(got, -1); return nil })
				start(t, b)
				publish(t, b, OrderPlaced{})
				quiet(t, a)
				c := letter(t, b, "g").Cause
				if c.Code != "publish" || !strings.Contains(c.Text, refusal.Error()) || c.Attempts != 1 || c.Failures != 1 || c.Handler != "g/order-placed" {
					t.Errorf("cause %+v", c)
				}
				if runs != 1 || fmt.Sprint(got) != "[1]" || after != "dead" {
					t.Errorf("%d runs, went out %v, outcome %q", runs, got, after)
				}
				for _, end := range w.attempts {
					if end.Handler == "g/order-placed" && (end.Outcome != event.OutcomeDead || !errors.Is(end.Err, refusal)) {
						t.Errorf("attempt ended as %v with %v", end.Outcome, end.Err)
					}
				}
			})
		})
	}
}

// What finds no room waits for it without a failure; the handler is not run again.
func TestCollectedEventsWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w witness
		gate := make(chan struct{})
		runs := 0
		ch := memory.New(memory.Capacity(1), memory.Reserve(0))
		b := bus.New(bus.Config{Channel: ch, App: "shop", Hooks: []any{&w}})
		bus.Subscribe(b, "out", func(context.Context, out) error { <-gate; return nil })
		bus.Subscribe(b, "g", func(ctx context.Context, _ OrderPlaced) error { runs++; return b.Publish(ctx, out{}) }, bus.Retry(bus.Backoff{Attempts: 1}))
		start(t, b)
		publish(t, b, out{})
		publish(t, b, OrderPlaced{})
		pass(time.Hour)
		if runs != 1 || w.stalled(bus.StallRoom) != 1 {
			t.Errorf("%d runs, stalls %+v", runs, w.stalls)
		}
		var full *event.FullError
		if s := w.stalls[0]; s.Group != "g" || !errors.As(s.Err, &full) || full.Group != "shop.out" || full.Topic != "out" {
			t.Errorf("stall %+v", s)
		}
		close(gate)
		quiet(t, ch)
		if runs != 1 || len(letters(t, b, "g")) > 0 {
			t.Errorf("%d runs, dead letters %v", runs, letters(t, b, "g"))
		}
	})
}

// An ErrFull that a handler returns, of a publish that went out at once, is no
// failure.
func TestFullWithNowIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w witness
		gate := make(chan struct{})
		runs := 0
		ch := memory.New(memory.Capacity(1), memory.Reserve(0))
		b := bus.New(bus.Config{Channel: ch, Hooks: []any{&w}})
		bus.Subscribe(b, "out", func(context.Context, out) error { <-gate; return nil })
		bus.Subscribe(b, "g", func(ctx context.Context, _ OrderPlaced) error {
			runs++
			info, _ := event.FromContext(ctx)
			if info.Failures != 0 || info.Attempt != runs {
				t.Errorf("run %d is attempt %d after %d failures", runs, info.Attempt, info.Failures)
			}
			if err := b.Publish(ctx, out{}, bus.Now()); err != nil {
				return fmt.Errorf("handling %s: %w", canary, err)
			}
			return nil
		}, bus.Retry(bus.Backoff{Attempts: 1}))
		start(t, b)
		publish(t, b, out{})
		publish(t, b, OrderPlaced{})
		pass(time.Minute)
		before := runs
		if before < 10 || w.stalled(bus.StallRoom) != 1 {
			t.Errorf("%d runs, stalls %+v", runs, w.stalls)
		}
		close(gate)
		quiet(t, ch)
		if runs != before+1 || len(letters(t, b, "g")) > 0 {
			t.Errorf("%d runs after %d, dead letters %v", runs, before, letters(t, b, "g"))
		}
	})
}

// Nothing is produced for a delivery that is no longer ours.
func TestNothingIsProducedAfterALostLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w witness
		var a *altered
		ended := make(chan error, 2)
		a = &altered{Channel: memory.New(memory.Lease(time.Minute))}
		crash := true
		b := bus.New(bus.Config{Channel: a, Hooks: []any{&w}})
		bus.Subscribe(b, "g", func(ctx context.Context, _ OrderPlaced) error {
			if !crash {
				return nil
			}
			crash = false
			a.Crash(a.consumers[0])
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return b.Publish(ctx, out{})
		})
		start(t, b)
		if _, err := a.Producer(t.Context(), "out"); err != nil {
			t.Fatal(err)
		}
		publish(t, b, OrderPlaced{})
		synctest.Wait()
		second := bus.New(bus.Config{Channel: a, KeepChannel: true})
		bus.Subscribe(second, "g", func(ctx context.Context, _ OrderPlaced) error {
			info, _ := event.FromContext(ctx)
			if info.Failures != 0 || info.Attempt != 2 {
				t.Errorf("after the lost lease: %+v", info)
			}
			return nil
		})
		start(t, second)
		if err := <-ended; !errors.Is(err, event.ErrLeaseLost) {
			t.Errorf("the context ended with %v", err)
		}
		quiet(t, a)
		if len(ids(w.published, "out")) > 0 {
			t.Error("was produced")
		}
		if len(w.attempts) > 0 {
			t.Errorf("attempts %+v: a lost delivery has no outcome", w.attempts)
		}
	})
}
