package bus_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// Drain refuses publishes from outside, not from handlers, and waits for retries,
// delayed events, and what is published meanwhile.
func TestDrainWaitsForAll(t *testing.T) {
	inBubble(t, bus.Config{}, func(b *bus.Bus) {
		bus.Subscribe(b, "g", func(ctx context.Context, j Job) error {
			if err := b.Publish(ctx, out(j)); err != nil {
				t.Error(err)
			}
			if info, _ := event.FromContext(ctx); info.Failures == 0 {
				return event.RetryAfter(time.Hour, errBoom)
			}
			return nil
		})
		bus.Subscribe(b, "out", handle[out])
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		began := time.Now()
		publish(t, b, Job{1})
		publish(t, b, Job{2}, bus.Delay(24*time.Hour))
		drained := make(chan error, 1)
		go func() { drained <- b.Drain(t.Context()) }()
		synctest.Wait()
		for _, err := range []error{b.Publish(t.Context(), Job{3}), b.PublishAll(t.Context(), Job{3})} {
			if !errors.Is(err, event.ErrClosed) {
				t.Errorf("publish from outside: %v", err)
			}
		}
		if err := <-drained; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 25*time.Hour {
			t.Errorf("drained after %v, want 25h", took)
		}
		if err := b.Publish(t.Context(), Job{3}); !errors.Is(err, event.ErrClosed) {
			t.Errorf("publish after the drain: %v", err)
		}
		if _, err := ch.Producer(t.Context(), "x"); !errors.Is(err, event.ErrClosed) {
			t.Errorf("the channel is open: %v", err)
		}
	})
}

// A Drain that is not done in time says what is left, by group and topic.
func TestDrainInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		b := bus.New(bus.Config{Channel: ch, App: "shop", KeepChannel: true})
		bus.Subscribe(b, "slow", func(context.Context, Job) error { return event.RetryAfter(time.Hour, errBoom) })
		bus.Subscribe(b, "slow", handle[out])
		bus.Subscribe(b, "quick", handle[Job])
		start(t, b)
		for n := range 3 {
			publish(t, b, Job{n})
		}
		publish(t, b, out{}, bus.Delay(time.Hour))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		err := b.Drain(ctx)
		var left *bus.LeftError
		if !errors.As(err, &left) || !errors.Is(err, context.DeadlineExceeded) || left.Unknown {
			t.Fatalf("drain: %v", err)
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("drain took %v", took)
		}
		if len(left.Groups) != 2 {
			t.Fatalf("left %+v", left.Groups)
		}
		for i, want := range []struct {
			topic string
			n     int
		}{{"job", 3}, {"out", 1}} {
			if l := left.Groups[i]; l.Group != "slow" || l.Topic != want.topic || l.Lag.Unsettled() != want.n {
				t.Errorf("left %+v, want %+v", l, want)
			}
		}
		if s := err.Error(); !strings.Contains(s, `group "slow" is owed 3 events of topic "job"; group "slow" is owed 1 events of topic "out"`) {
			t.Error(s)
		}
		lag, err := ch.Lag(t.Context(), "job", "shop.slow")
		if err != nil || lag.Unsettled() != 3 || lag.Dead != 0 || lag.InHand != 0 {
			t.Errorf("lag after the drain %+v, %v", lag, err)
		}
	})
}

// Where the channel can't tell what is owed, Drain shuts down at once and says so.
func TestDrainOnAChannelThatCantTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bus.New(bus.Config{Channel: plain{memory.New()}})
		bus.Subscribe(b, "g", func(context.Context, Job) error { return event.RetryAfter(time.Hour, errBoom) })
		start(t, b)
		publish(t, b, Job{1})
		began := time.Now()
		err := b.Drain(t.Context())
		var left *bus.LeftError
		if !errors.As(err, &left) || !left.Unknown || left.Unwrap() != nil || !strings.Contains(err.Error(), "can't tell") || time.Since(began) > 0 {
			t.Errorf("drain: %v after %v", err, time.Since(began))
		}
		if err := b.Ready(); !errors.Is(err, event.ErrClosed) {
			t.Errorf("ready: %v", err)
		}
	})
}

// quietOnly can wait for quiet and not count what is left.
type quietOnly struct {
	event.Channel
	quieter
}

func TestDrainOnAChannelThatCantCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		b := bus.New(bus.Config{Channel: quietOnly{ch, ch}})
		bus.Subscribe(b, "g", func(context.Context, Job) error { return event.RetryAfter(time.Hour, errBoom) })
		start(t, b)
		publish(t, b, Job{1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var left *bus.LeftError
		if err := b.Drain(ctx); !errors.As(err, &left) || left.Unknown || len(left.Groups) > 0 || !errors.Is(left.Err, context.DeadlineExceeded) {
			t.Errorf("drain: %v", err)
		}
	})
}

// A second Drain shuts down without waiting any longer, and the first says what was
// left.
func TestDrainTwice(t *testing.T) {
	inBubble(t, bus.Config{}, func(b *bus.Bus) {
		bus.Subscribe(b, "g", func(context.Context, Job) error { return event.RetryAfter(time.Hour, errBoom) })
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		publish(t, b, Job{1})
		first := make(chan error, 1)
		go func() { first <- b.Drain(t.Context()) }()
		synctest.Wait()
		began := time.Now()
		if err := b.Drain(t.Context()); err != nil {
			t.Errorf("second drain: %v", err)
		}
		var left *bus.LeftError
		if err := <-first; !errors.As(err, &left) || !errors.Is(err, event.ErrClosed) {
			t.Errorf("first drain: %v", err)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("took %v", took)
		}
		if err := b.Drain(t.Context()); err != nil {
			t.Errorf("third drain: %v", err)
		}
	})
}

// Without groups nothing is owed.
func TestDrainWithoutGroups(t *testing.T) {
	b := bus.New(bus.Config{Channel: plain{memory.New()}})
	start(t, b)
	if err := b.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}

// What waits for a retry goes back with its delay also when there is no time left.
func TestRetriesKeepTheirDelay(t *testing.T) {
	for range 50 { // it was a matter of scheduling
		synctest.Test(t, func(t *testing.T) {
			ch := memory.New()
			b := bus.New(bus.Config{Channel: ch, KeepChannel: true})
			bus.Subscribe(b, "g", func(context.Context, Job) error { return event.RetryAfter(time.Hour, errBoom) })
			start(t, b)
			began := time.Now()
			publish(t, b, Job{0})
			synctest.Wait()
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			if err := b.Shutdown(ended); err != nil {
				t.Error(err)
			}
			if got := next(t, ch, began); len(got) != 1 || got[0] != "0 failures 1 at 1h0m0s" {
				t.Errorf("left %v", got)
			}
		})
	}
}
