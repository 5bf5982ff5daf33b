package watermillbridge_test

import (
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/event/channeltest"
)

// onMemory is a Watermill pub/sub that is the memory channel behind.
func onMemory(mem event.Channel, subscriptions int) watermillbridge.PubSub {
	return watermillbridge.PubSub{
		Publisher: watermillbridge.NewPublisher(mem, watermillbridge.PublisherConfig{
			Key: func(_ string, m *message.Message) string { return watermillbridge.Key(m) },
		}),
		Subscriber: func(m watermillbridge.Member) (message.Subscriber, error) {
			return watermillbridge.NewSubscriber(mem, watermillbridge.SubscriberConfig{
				Group: m.Group, Logger: m.Logger, CloseTimeout: time.Millisecond, NackDelay: func(int) time.Duration { return 0 },
			}), nil
		},
		Guarantees:    event.Guarantees{Channel: "watermill", OrderPerKey: true, Lease: time.Second},
		Subscriptions: subscriptions, Envelope: true, InOrder: true, Returns: true,
	}
}

func TestConformance(t *testing.T) {
	mem := memory.New(memory.Capacity(1 << 17))
	channeltest.Run(t, channeltest.Harness{
		Open: func(tb testing.TB) event.Channel {
			tb.Helper()
			ch, err := watermillbridge.NewChannel(onMemory(mem, 8))
			require.NoError(tb, err)
			return ch
		},
		Declared: &channeltest.Declaration{
			Guarantees:   event.Guarantees{Channel: "watermill", OrderPerKey: true, Lease: time.Second, InHand: 8},
			Capabilities: channeltest.DeadLetters | channeltest.GroupProducer,
		},
		Crash:    watermillbridge.Crash,
		Parallel: true,
		PutRaw: func(tb testing.TB, _ event.Channel, topic string, raw []byte) {
			tb.Helper()
			p := onMemory(mem, 1).Publisher
			m := message.NewMessage("raw", raw)
			m.Metadata["content-type"] = "application/cloudevents+json"
			require.NoError(tb, p.Publish(topic, m))
		},
		Patience: 20 * time.Second, Silence: 300 * time.Millisecond, Events: 1000,
	})
}
