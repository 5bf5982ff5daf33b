package bus_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// A batch handler that ends its goroutine has failed, as a whole; a function of an
// outcome that does ends only what it belongs to. The group goes on with its worker.
func TestBatchHandlerThatExits(t *testing.T) {
	for place, c := range map[string]struct {
		exit   func(ctx context.Context) error // with the context of the second event
		want   string
		kinds  string
		failed int
	}{
		"handler": {
			func(context.Context) error { runtime.Goexit(); return nil },
			"[3 3]", "ack ack ack", 2,
		},
		"after": {
			func(ctx context.Context) error {
				return event.OnOutcome(ctx, nil, func(context.Context, event.Outcome) { runtime.Goexit() })
			},
			"[3]", "ack ack ack", 0,
		},
		"before": { // it never gets better
			func(ctx context.Context) error {
				return event.OnOutcome(ctx, func(context.Context, event.Outcome) error { runtime.Goexit(); return nil }, nil)
			},
			"[3]", "ack ack", 0,
		},
		"before, behind a failed one": {
			func(ctx context.Context) error {
				if err := event.OnOutcome(ctx, func(context.Context, event.Outcome) error { runtime.Goexit(); return nil }, nil); err != nil {
					return err
				}
				return bus.BatchError{0: errBoom}
			},
			"[3 1]", "ack ack", 1,
		},
	} {
		t.Run(place, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen batches
				w := &witness{}
				b := bus.New(bus.Config{Channel: memory.New(), Hooks: []any{w}})
				bus.SubscribeBatch(b, "g", func(ctx context.Context, rows []Row) error {
					if seen.add(rows) == 1 {
						return c.exit(event.Element(ctx, 1))
					}
					return nil
				}, bus.Batch(3, time.Second), bus.Retry(bus.Backoff{First: 1, Max: 1}))
				start(t, b)
				for n, key := range []string{"a", "a", "b"} {
					publish(t, b, Row{key, n})
				}
				pass(time.Hour)
				if got := seen.sizes(); got != c.want {
					t.Errorf("batches of %s, want %s", got, c.want)
				}
				failed := 0
				for _, a := range w.attempts {
					if a.Outcome == event.OutcomeRetried && !errors.Is(a.Err, event.ErrBehind) {
						failed++
					}
				}
				if w.kinds() != c.kinds || failed != c.failed {
					t.Errorf("settled as %q with %d failures, want %q with %d", w.kinds(), failed, c.kinds, c.failed)
				}
			})
		})
	}
}

// A function after an outcome that panics ends neither the process nor the batch, also
// for an event that comes again behind another.
func TestBatchAfterThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen batches
		var ran tally
		b := bus.New(bus.Config{Channel: memory.New()})
		bus.SubscribeBatch(b, "g", func(ctx context.Context, rows []Row) error {
			for i := range rows {
				err := event.OnOutcome(event.Element(ctx, i), nil, func(context.Context, event.Outcome) { ran.add("after"); panic("boom") })
				if err != nil {
					return err
				}
			}
			if seen.add(rows) == 1 {
				return bus.BatchError{0: errBoom}
			}
			return nil
		}, bus.Batch(2, time.Second), retryInAMinute)
		start(t, b)
		publish(t, b, Row{"a", 0})
		publish(t, b, Row{"a", 1})
		drain(t, b)
		if got, want := fmt.Sprint(seen.got), "[[{a 0} {a 1}] [{a 0} {a 1}]]"; got != want || ran.total() != 4 {
			t.Errorf("batches %s, %d functions, want %s and one for each attempt", got, ran.total(), want)
		}
	})
}

// A function before the settlement that keeps failing is told, also for an event that
// comes again behind another.
func TestBatchBeforeThatFailsIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &witness{}
		b := bus.New(bus.Config{Channel: memory.New(), Hooks: []any{w}})
		bus.SubscribeBatch(b, "g", func(ctx context.Context, _ []Row) error {
			err := event.OnOutcome(event.Element(ctx, 1), func(context.Context, event.Outcome) error { return errBoom }, nil)
			return errors.Join(err, bus.BatchError{0: errBoom})
		}, bus.Batch(2, time.Second), bus.BlockKey(), retryInAMinute)
		start(t, b)
		publish(t, b, Row{"a", 0})
		publish(t, b, Row{"a", 1})
		pass(time.Minute)
		if w.stalled(bus.StallBefore) == 0 {
			t.Errorf("told %+v, want the reason", w.stalls)
		}
	})
}

// An event of a batch that fails for good parks its key: those behind it in the batch
// wait with it, and come after it when it is driven again.
func TestBatchParksAKey(t *testing.T) {
	var seen batches
	inBubble(t, bus.Config{}, func(b *bus.Bus) {
		bus.SubscribeBatch(b, "g", func(_ context.Context, rows []Row) error {
			if seen.add(rows) == 1 {
				return bus.BatchError{1: event.Permanent(errBoom)}
			}
			return nil
		}, bus.Batch(4, time.Second), bus.ParkKey())
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		for n, key := range []string{"a", "a", "a", "b"} {
			publish(t, b, Row{key, n})
		}
		pass(time.Hour)
		if got, want := fmt.Sprint(seen.got), "[[{a 0} {a 1} {a 2} {b 3}]]"; got != want {
			t.Errorf("batches %s while the key is parked, want %s", got, want)
		}
		if _, err := b.RedriveKey(t.Context(), "g", "a"); err != nil {
			t.Error(err)
		}
		pass(time.Hour)
		if got, want := fmt.Sprint(seen.got[1:]), "[[{a 1} {a 2}]]"; got != want {
			t.Errorf("batches %s when the key is driven again, want %s", got, want)
		}
		if left := bus.LeftInHand(b); left != "" {
			t.Errorf("left in hand: %s", left)
		}
	})
}
