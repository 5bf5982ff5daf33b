package memory

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
)

// Nothing is left of keys that were parked, and of events that went behind.
func TestParkLeavesNothing(t *testing.T) {
	c := New(DeadCapacity(4))
	ctx := t.Context()
	p, err := c.Producer(ctx, "t")
	require.NoError(t, err)
	m, err := c.Consumer(ctx, event.Subscription{Group: "g", Topics: []string{"t"}})
	require.NoError(t, err)
	keyed := event.Attributes{Source: "/test", Type: "t", Key: "k"}.Event()
	buf := make([]event.Delivery, 9)
	for range 3 {
		require.NoError(t, p.Produce(ctx, keyed, keyed, keyed, keyed))
		n, err := m.Receive(ctx, buf[:2])
		require.NoError(t, err)
		require.Equal(t, 2, n)
		require.NoError(t, m.Settle(ctx, []event.Settlement{event.Park(buf[0].Token, event.Cause{})}))
		g := c.byName["g"]
		q := g.queues[0]
		require.Zero(t, q.parked, "no empty lane is walked")
		n, err = c.RedriveKey(ctx, "t", "g", "k")
		require.NoError(t, err)
		require.Equal(t, 4, n)
		require.Zero(t, g.parked)
		require.Zero(t, q.behind)
		require.Empty(t, q.dead.parked)
		for range 4 {
			_, err := m.Receive(ctx, buf[:1])
			require.NoError(t, err)
			require.NoError(t, m.Settle(ctx, []event.Settlement{event.Ack(buf[0].Token)}))
		}
		require.Zero(t, g.lanes.used)
		require.Zero(t, g.slots.used)
	}
}

// A key goes on with its last dead letter, also with what found no room behind it.
func TestUnparkInAFullStore(t *testing.T) {
	c := New(DeadCapacity(2))
	ctx := t.Context()
	p, err := c.Producer(ctx, "t")
	require.NoError(t, err)
	m, err := c.Consumer(ctx, event.Subscription{Group: "g", Topics: []string{"t"}})
	require.NoError(t, err)
	other := event.Attributes{Source: "/test", Type: "t"}.Event()
	keyed := event.Attributes{Source: "/test", Type: "t", Key: "k"}.Event()
	require.NoError(t, p.Produce(ctx, other, keyed, keyed, keyed))
	buf := make([]event.Delivery, 9)
	_, err = m.Receive(ctx, buf[:2])
	require.NoError(t, err)
	require.NoError(t, m.Settle(ctx, []event.Settlement{event.Dead(buf[0].Token, event.Cause{}), event.Park(buf[1].Token, event.Cause{})}))
	q := c.byName["g"].queues[0]
	for l, err := range c.DeadLetters(ctx, "t", "g") {
		require.NoError(t, err)
		require.Equal(t, 2, q.behind)
		if l.Event.Key() == "k" {
			require.NoError(t, c.Discard(ctx, l))
		}
	}
	require.Zero(t, q.behind)
	n, err := m.Receive(ctx, buf)
	require.NoError(t, err)
	require.Equal(t, 2, n)
}
