package bus_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// hurried promises that a delivery can be in hand for a minute.
func hurried(g *event.Guarantees) {
	g.MaxHold, g.GivesBack, g.KeepsFailures = time.Minute, false, false
}

// What asks for a delivery to be in hand for longer than the channel can is a mistake.
func TestMaxHold(t *testing.T) {
	handle := func(context.Context, Job) error { return nil }
	handleAll := func(context.Context, []Job) error { return nil }
	start := func(subscribe func(b *bus.Bus)) error {
		b := bus.New(bus.Config{Channel: &altered{Channel: memory.New(), promise: hurried}})
		subscribe(b)
		err := b.Start(t.Context())
		require.NoError(t, b.Shutdown(context.WithoutCancel(t.Context())))
		return err
	}
	for wrong, o := range map[string]bus.SubscribeOption{
		"Timeout is 1m1s":                    bus.Timeout(61 * time.Second),
		"Retry, whose longest wait is 2m0s":  bus.Retry(bus.Backoff{Max: 2 * time.Minute}),
		"Retry, whose longest wait is 1m30s": bus.Retry(bus.Backoff{First: 90 * time.Second, Attempts: 2}),
	} {
		err := start(func(b *bus.Bus) { bus.Subscribe(b, "g", handle, o) })
		require.ErrorContains(t, err, fmt.Sprintf(`handler "g/job": topic "job": %s: memory lets a delivery be in hand for 1m0s at most`, wrong))
	}
	require.ErrorContains(t, start(func(b *bus.Bus) { bus.SubscribeBatch(b, "g", handleAll, bus.Batch(10, time.Hour)) }), "Batch, whose wait is 1h0m0s")
	for _, fits := range []bus.SubscribeOption{
		bus.Timeout(time.Minute),
		bus.Retry(bus.Backoff{Attempts: 100}),
		bus.Retry(bus.Backoff{Max: time.Minute}),
		bus.Retry(bus.Backoff{First: time.Second, Max: time.Hour, Attempts: 5}), // never waits longer than 8 s
	} {
		require.NoError(t, start(func(b *bus.Bus) { bus.Subscribe(b, "g", handle, fits) }))
	}
}

// A wait that nobody asked for fits too.
func TestDefaultBackoffFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bus.New(bus.Config{Channel: &altered{Channel: memory.New(), promise: hurried}})
		var last time.Time
		longest := time.Duration(0)
		bus.Subscribe(b, "g", func(context.Context, Job) error {
			if !last.IsZero() {
				longest = max(longest, time.Since(last))
			}
			last = time.Now()
			return errBoom
		}, bus.Retry(bus.Backoff{Attempts: 60}))
		require.NoError(t, b.Start(t.Context()))
		publish(t, b, Job{1})
		require.NoError(t, b.Drain(t.Context()))
		require.LessOrEqual(t, longest, 30*time.Second)
		require.Greater(t, longest, 10*time.Second)
	})
}

// Failures that a channel tells count, also where it can't promise to keep them all.
func TestFailuresThatAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &altered{Channel: memory.New(), promise: hurried}
		var failures []int
		for member := range 2 {
			b := bus.New(bus.Config{Channel: a, KeepChannel: true})
			bus.Subscribe(b, "g", func(ctx context.Context, _ Job) error {
				in, _ := event.FromContext(ctx)
				failures = append(failures, in.Failures)
				return errBoom
			}, bus.Retry(bus.Backoff{First: time.Minute, Attempts: 9}))
			require.NoError(t, b.Start(t.Context()))
			if member == 0 {
				publish(t, b, Job{1})
			}
			synctest.Wait()
			require.NoError(t, b.Shutdown(t.Context()))
		}
		require.Equal(t, []int{0, 1}, failures)
	})
}
