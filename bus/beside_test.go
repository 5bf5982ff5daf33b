package bus_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// A Start and a Shutdown at the same time: one of them comes first.
func TestStartBesideShutdown(t *testing.T) {
	for range 300 {
		ch := memory.New()
		b := bus.New(bus.Config{Channel: ch})
		bus.Subscribe(b, "g", handle[Job])
		var both sync.WaitGroup
		var started, ended error
		both.Go(func() { started = b.Start(t.Context()) })
		both.Go(func() { ended = b.Shutdown(t.Context()) })
		both.Wait()
		if started != nil && !errors.Is(started, event.ErrClosed) {
			t.Errorf("start: %v", started)
		}
		if ended != nil && ended.Error() != "bus: Start still runs" {
			t.Errorf("shutdown: %v", ended)
		}
		if err := b.Publish(t.Context(), Job{1}); !errors.Is(err, event.ErrClosed) {
			t.Errorf("publish: %v", err)
		}
	}
}

// A Drain that waits ends when somebody else shuts the Bus down, or drains it again.
func TestDrainEndsWithAShutdown(t *testing.T) {
	for name, end := range map[string]func(*bus.Bus, context.Context) error{"shutdown": (*bus.Bus).Shutdown, "drain": (*bus.Bus).Drain} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ch := memory.New()
				b := bus.New(bus.Config{Channel: ch, KeepChannel: true})
				bus.Subscribe(b, "g", func(context.Context, Job) error { return event.RetryAfter(time.Hour, errBoom) })
				start(t, b)
				publish(t, b, Job{1})
				drained := make(chan error, 1)
				go func() { drained <- b.Drain(t.Context()) }()
				synctest.Wait()
				if err := end(b, t.Context()); err != nil {
					t.Errorf("the second: %v", err)
				}
				synctest.Wait()
				select {
				case err := <-drained:
					var left *bus.LeftError
					if !errors.As(err, &left) || !errors.Is(err, event.ErrClosed) || len(left.Groups) != 1 || left.Groups[0].Lag.Unsettled() != 1 {
						t.Errorf("drain: %v", err)
					}
				default:
					t.Error("Drain still waits")
				}
			})
		})
	}
}

// What a handler left behind is outside, also when a function ran before its settlement.
func TestContextsLeftBehind(t *testing.T) {
	for name, register := range map[string]func(context.Context) error{
		"nothing": func(context.Context) error { return nil },
		"before": func(ctx context.Context) error {
			return event.OnOutcome(ctx, func(context.Context, event.Outcome) error { return nil }, nil)
		},
		"after": func(ctx context.Context) error {
			return event.OnOutcome(ctx, nil, func(context.Context, event.Outcome) {})
		},
		"both": func(ctx context.Context) error {
			return event.OnOutcome(ctx, func(context.Context, event.Outcome) error { return nil }, func(context.Context, event.Outcome) {})
		},
	} {
		for _, answer := range []error{nil, event.RetryAfter(time.Hour, errBoom), event.Permanent(errBoom)} {
			t.Run(name, func(t *testing.T) {
				var late context.Context
				inBubble(t, bus.Config{}, func(b *bus.Bus) {
					bus.Subscribe(b, "g", func(ctx context.Context, _ Job) error {
						late = ctx //nolint:fatcontext // one event
						return errors.Join(register(ctx), answer)
					})
				}, func(t *testing.T, b *bus.Bus, _ *memory.Channel) {
					publish(t, b, Job{1})
					synctest.Wait()
					if err := b.Shutdown(late); err != nil {
						t.Errorf("shutdown under a context that was left behind: %v", err)
					}
				})
			})
		}
	}
}

// A Bus doesn't keep the contexts that were published under.
func TestPublishersContextsAreLetGo(t *testing.T) {
	ch := memory.New()
	b := bus.New(bus.Config{Channel: ch})
	start(t, b)
	var gone atomic.Int32
	const publishers = 40
	for range publishers {
		big := new([1 << 10]byte)
		runtime.AddCleanup(big, func(n *atomic.Int32) { n.Add(1) }, &gone)
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), bigKey{}, big))
		publish := func() {
			if err := b.Publish(ctx, Job{1}); err != nil {
				t.Fatal(err)
			}
		}
		publish()
		cancel()
	}
	for range 100 {
		runtime.GC()
		if gone.Load() == publishers {
			break
		}
		runtime.Gosched()
	}
	if n := gone.Load(); n < publishers-1 { // the last may still be on the stack
		t.Errorf("%d of %d contexts were let go", n, publishers)
	}
	runtime.KeepAlive(b)
}

type bigKey struct{}
