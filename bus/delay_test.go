package bus_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

func TestDelayAboveTheLongest(t *testing.T) {
	type reminder struct{ N int }
	for name, longest := range map[string]time.Duration{"a limit": time.Hour, "none": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ch := &limited{Channel: memory.New(), limit: func(g *event.Guarantees) { g.MaxDelay = longest }}
				b := bus.New(bus.Config{Channel: ch})
				got := 0
				var inside error
				bus.Subscribe(b, "mailer", func(ctx context.Context, e reminder) error {
					if got++; e.N == 2 {
						inside = b.Publish(ctx, reminder{3}, bus.Delay(longest+time.Minute))
					}
					return nil
				})
				start(t, b)
				err := b.Publish(t.Context(), reminder{1}, bus.Delay(longest+time.Minute))
				require.ErrorIs(t, err, event.ErrDelayTooLong)
				require.ErrorContains(t, err, `publish reminder: a delay of `+(longest+time.Minute).String()+` on topic "reminder", memory has `+longest.String()+` at most`)
				late := event.Attributes{Source: "/x", Type: "reminder", NotBefore: time.Now().Add(longest + time.Second)}.Event()
				require.ErrorIs(t, b.PublishAll(t.Context(), reminder{1}, late), event.ErrDelayTooLong)
				publish(t, b, reminder{1}, bus.Delay(longest))
				publish(t, b, reminder{2}, bus.At(time.Now().Add(-time.Hour)))
				time.Sleep(2 * time.Hour) // virtual
				require.NoError(t, b.Shutdown(t.Context()))
				require.Equal(t, 2, got)
				require.ErrorIs(t, inside, event.ErrDelayTooLong, "the handler is told")
				require.Equal(t, 1, ch.asked)
			})
		})
	}
}

func TestCancel(t *testing.T) {
	type reminder struct{ N int }
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		b := bus.New(bus.Config{Channel: ch})
		var got []int
		bus.Subscribe(b, "mailer", func(_ context.Context, e reminder) error {
			got = append(got, e.N)
			return nil
		})
		start(t, b)
		publish(t, b, reminder{1}, bus.Delay(time.Hour), bus.ID("one"))
		publish(t, b, reminder{2}, bus.Delay(time.Hour), bus.ID("two"))
		for _, want := range []bool{true, false} {
			found, err := b.Cancel(t.Context(), "reminder", "one")
			require.NoError(t, err)
			require.Equal(t, want, found)
		}
		drain(t, b)
		require.Equal(t, []int{2}, got)
	})
	b := bus.New(bus.Config{Channel: &limited{Channel: memory.New()}})
	_, err := b.Cancel(t.Context(), "reminder", "one")
	require.ErrorIs(t, err, event.ErrNotSupported)
}
