package bridgenats_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

// name returns the name of a topic that nobody else has. It goes with the test.
func name(tb testing.TB, what string) string {
	tb.Helper()
	return newSweeper(tb).topic(what + "-" + strings.ToLower(event.NewID()))
}

// produce produces n events with the ids 0, 1, ….
func produce(t *testing.T, ch event.Channel, topic string, n int) {
	t.Helper()
	p, err := ch.Producer(t.Context(), topic)
	require.NoError(t, err)
	for i := range n {
		require.NoError(t, p.Produce(t.Context(), event.New("/t", "e", nil).WithID(strconv.Itoa(i)).WithKey("k")))
	}
}

func join(t *testing.T, ch event.Channel, group, topic string) event.Consumer {
	t.Helper()
	c, err := ch.Consumer(t.Context(), event.Subscription{Group: group, Topics: []string{topic}})
	require.NoError(t, err)
	return c
}

// collect receives and settles until all ids 0 to n-1 have come, and returns the order in
// which they did.
func collect(t *testing.T, c event.Consumer, n int) (order []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got := make(map[string]bool)
	buf := make([]event.Delivery, 8)
	for len(got) < n {
		k, err := c.Receive(ctx, buf)
		require.NoError(t, err, "got %d of %d", len(got), n)
		for _, d := range buf[:k] {
			got[d.Event.ID()] = true
			order = append(order, d.Event.ID())
			_, ok := c.Begin(d.Token)
			require.True(t, ok)
			require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Ack(d.Token)}))
		}
	}
	return order
}

func shut(t *testing.T, ch *watermillbridge.Channel, cs ...event.Consumer) {
	t.Helper()
	for _, c := range cs {
		require.NoError(t, c.Close(t.Context()))
	}
	require.NoError(t, ch.Close(t.Context()))
}
