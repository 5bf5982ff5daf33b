package bridgeaws_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge/bridgeaws"
)

var allowed = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// All that SNS takes stays as it is, all else becomes what it takes.
func TestTopicName(t *testing.T) {
	for _, same := range []string{"orders", "orders-v1_x", "A9", strings.Repeat("x", 256), "orders_00112233445566778899x"} {
		require.Equal(t, same, bridgeaws.TopicName(same))
	}
	require.Equal(t, "orders-v1_2c443d9ac404233a3be9", bridgeaws.TopicName("orders.v1"))
	for _, other := range []string{
		"", "orders.v1", "orders:v1", "ünïcode-ключ", "a b", strings.Repeat("x", 257), strings.Repeat("🌊", 300), "\xff",
		"orders_00112233445566778899",
	} {
		name := bridgeaws.TopicName(other)
		require.NotEqual(t, other, name)
		require.Regexp(t, allowed, name)
		require.LessOrEqual(t, len(name), 256)
	}
}

// Who reads the names of queues sees whose they are.
func TestQueueName(t *testing.T) {
	name := bridgeaws.QueueName("orders", "shop.mailer")
	require.Regexp(t, `^orders-shop-mailer_[0-9a-f]{20}$`, name)
	long := bridgeaws.QueueName(strings.Repeat("orders.", 30), "shop.mailer")
	require.Len(t, long, 80)
	require.Regexp(t, allowed, long)
}

// No two topics, and no two pairs of topic and group, have the same name; not even a
// topic that is called as another one's is at SNS.
func TestNamesDontCollide(t *testing.T) {
	var names []string
	for _, part := range []string{"a", "a.b", "a-b", "a_b", "a:b", "A", "a.", ".a", "-", "", "a.b.c", "b", "c", "b.c", strings.Repeat("a", 300), strings.Repeat("a", 299) + "b"} {
		names = append(names, part, bridgeaws.TopicName(part), bridgeaws.TopicName(bridgeaws.TopicName(part)))
	}
	topics, queues := map[string]string{}, map[string]string{}
	for _, topic := range names {
		name := bridgeaws.TopicName(topic)
		if was, ok := topics[name]; ok {
			require.Equal(t, was, topic, "both are called %s", name)
		}
		topics[name] = topic
		for _, group := range names {
			name, pair := bridgeaws.QueueName(topic, group), fmt.Sprintf("%q %q", topic, group)
			if was, ok := queues[name]; ok {
				require.Equal(t, was, pair, "both are called %s", name)
			}
			queues[name] = pair
		}
	}
}

func FuzzTopicName(f *testing.F) {
	f.Add("orders.v1", "orders-v1")
	f.Add("orders.v1", bridgeaws.TopicName("orders.v1"))
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := bridgeaws.TopicName(a), bridgeaws.TopicName(b)
		require.Equal(t, a == b, x == y)
		require.Regexp(t, allowed, x)
		require.LessOrEqual(t, len(x), 256)
	})
}
