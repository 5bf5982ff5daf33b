package memory

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
)

// Who is told of an event isn't woken for it as well: its Receive has nothing to return.
func TestToldIsNotWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New()
		told := 0
		m, err := c.Consumer(t.Context(), event.Subscription{
			Group: "inbox", Topics: []string{"t"}, Ephemeral: true, OnEvent: func(event.Event) { told++ },
		})
		require.NoError(t, err)
		ctx, end := context.WithCancel(t.Context())
		go func() { _, _ = m.Receive(ctx, make([]event.Delivery, 1)) }()
		synctest.Wait()
		p, err := c.Producer(t.Context(), "t")
		require.NoError(t, err)
		for n := range 100 {
			require.NoError(t, p.Produce(t.Context(), event.New("/s", "t", nil)))
			require.EqualValues(t, 1, m.(*consumer).g.idle.Load(), "it still waits, after %d events", n)
		}
		require.Equal(t, 100, told)
		end()
		synctest.Wait()
	})
}
