package bridgeredis_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

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
		require.NoError(t, p.Produce(t.Context(), event.New("/t", "e", nil).WithID(itoa(i))))
	}
}

func join(t *testing.T, ch event.Channel, group, topic string) event.Consumer {
	t.Helper()
	c, err := ch.Consumer(t.Context(), event.Subscription{Group: group, Topics: []string{topic}})
	require.NoError(t, err)
	return c
}

// pending returns what a group has in hand.
func pending(t *testing.T, rdb *redis.Client, group, topic string, idle time.Duration) []redis.XPendingExt {
	t.Helper()
	ps, err := rdb.XPendingExt(t.Context(), &redis.XPendingExtArgs{Stream: topic, Group: group, Idle: idle, Start: "-", End: "+", Count: 1000}).Result()
	require.NoError(t, err)
	return ps
}

// The library reads ahead. A member has no more in hand than it has subscriptions all the
// same, and Close gives it all back: others need not wait until it is idle for long.
func TestHandsAreSmallAndGivenBack(t *testing.T) {
	rdb, ch := client(t), open(t)
	topic, group := name(t, "orders"), "g"
	produce(t, ch, topic, 50)
	c := join(t, ch, group, topic)
	require.Eventually(t, func() bool { return len(pending(t, rdb, group, topic, 0)) == 8 }, 10*time.Second, 10*time.Millisecond)
	require.NoError(t, c.Close(t.Context()))
	all := pending(t, rdb, group, topic, 0)
	require.LessOrEqual(t, len(all), 8)
	require.Len(t, pending(t, rdb, group, topic, hold), len(all), "%v", all)
	require.NoError(t, ch.Close(context.Background()))
}

func itoa(i int) string { return strconv.Itoa(i) }
