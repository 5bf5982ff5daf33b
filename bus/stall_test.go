package bus_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// When the store of dead letters is full the delivery waits in hand and its key
// behind it; other keys go on. It goes on when there is room again.
func TestDeadLettersAreFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w witness
		var runs tally
		var log bytes.Buffer
		ch := memory.New(memory.DeadCapacity(1))
		b := bus.New(bus.Config{Channel: ch, Hooks: []any{&w}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		bus.Subscribe(b, "g", func(_ context.Context, s Step) error {
			runs.add(s.K)
			if s.N == 0 {
				return event.Permanent(errBoom)
			}
			return nil
		})
		start(t, b)
		publish(t, b, Step{"first", 0})
		quiet(t, ch)
		first := letter(t, b, "g")
		publish(t, b, Step{"bad", 0})
		publish(t, b, Step{"bad", 1})
		pass(10 * time.Minute)
		if runs.count["bad"] != 1 || len(letters(t, b, "g")) != 1 {
			t.Errorf("runs %v, %d dead letters", runs.names(), len(letters(t, b, "g")))
		}
		if n := w.stalled(bus.StallDead); n != 1 || !errors.Is(w.stalls[0].Err, event.ErrFull) {
			t.Errorf("%d stalls, want 1", n)
		}
		if n := strings.Count(log.String(), "reason=dead"); n != 1 {
			t.Errorf("%d lines in the log, want 1:\n%s", n, log.String())
		}
		if !strings.HasPrefix(w.kinds(), "dead dead! dead!") {
			t.Errorf("settled %s", w.kinds())
		}
		publish(t, b, Step{"good", 1})
		synctest.Wait()
		if runs.count["good"] != 1 {
			t.Error("another key waited")
		}
		pass(10 * time.Minute)
		if n := w.stalled(bus.StallDead); n != 2 {
			t.Errorf("%d stalls after something was settled, want 2", n)
		}
		if err := b.Discard(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		quiet(t, ch)
		if runs.count["bad"] != 2 || letter(t, b, "g").Event.Key() != "bad" {
			t.Errorf("runs %v", runs.names())
		}
	})
}

// Settlements that don't reach the channel are tried again, without another run.
func TestSettlementsAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w witness
		var runs tally
		calls := 0
		a := &altered{Channel: memory.New()}
		a.consumer = func(_ event.Subscription, c event.Consumer) (event.Consumer, error) {
			return settler{c, func(ctx context.Context, s []event.Settlement) error {
				if calls++; calls <= 5 {
					return errBoom
				}
				return c.Settle(ctx, s)
			}}, nil
		}
		b := bus.New(bus.Config{Channel: a, Hooks: []any{&w}})
		bus.Subscribe(b, "g", func(_ context.Context, s Step) error { runs.add(s.K); return nil })
		start(t, b)
		publish(t, b, Step{"k", 0})
		synctest.Wait()
		if err := b.Ready(); !errors.Is(err, errBoom) || !strings.Contains(err.Error(), `group "g"`) {
			t.Errorf("ready: %v", err)
		}
		publish(t, b, Step{"k", 1})
		synctest.Wait()
		if runs.total() != 1 {
			t.Errorf("%d runs before the settlement", runs.total())
		}
		quiet(t, a)
		if runs.total() != 2 || w.kinds() != "ack ack" || w.stalled(bus.StallSettle) != 1 || !errors.Is(w.stalls[0].Err, errBoom) {
			t.Errorf("%d runs, settled %s, stalls %+v", runs.total(), w.kinds(), w.stalls)
		}
		if err := b.Ready(); err != nil {
			t.Errorf("ready: %v", err)
		}
	})
}

// A refused settlement is told; nothing else is done about it.
func TestRefusedSettlement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w witness
		calls := 0
		a := &altered{Channel: memory.New()}
		a.consumer = func(_ event.Subscription, c event.Consumer) (event.Consumer, error) {
			return settler{c, func(ctx context.Context, s []event.Settlement) error {
				if calls++; calls == 1 {
					return &event.SettleError{Failed: map[int]error{0: event.ErrLeaseLost}}
				}
				return c.Settle(ctx, s)
			}}, nil
		}
		b := bus.New(bus.Config{Channel: a, Hooks: []any{&w}})
		bus.Subscribe(b, "g", handle[Step])
		start(t, b)
		publish(t, b, Step{"k", 0})
		publish(t, b, Step{"k", 1})
		synctest.Wait()
		if w.kinds() != "ack! ack" || !errors.Is(w.settled[0].Err, event.ErrLeaseLost) {
			t.Errorf("settled %s", w.kinds())
		}
	})
}
