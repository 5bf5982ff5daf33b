package bridgeredis_test

import (
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/servicetest"
)

// order is an event with all that has to survive.
func order(id string) event.Event {
	return event.Attributes{
		ID: id, Source: "/shop", Type: "order-placed", Subject: " örder ", Key: "customer-7", Time: time.Unix(1e9, 5).UTC(),
		ContentType: "application/json", Data: []byte(`{"n":1}`),
		Extensions: []event.Extension{{Name: event.ExtCorrelationID, Value: "c-1"}, {Name: event.ExtTenant, Value: "t"}},
	}.Event()
}

// A service on plain Watermill reads what leat writes, and leat what it publishes: events
// with Encode, and what knows nothing of events.
func TestPlainWatermill(t *testing.T) {
	ch, topic := open(t), name(t, "wire")
	p, err := ch.Producer(t.Context(), topic)
	require.NoError(t, err)
	require.NoError(t, p.Produce(t.Context(), order("1")))
	sub, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{
		Client: redis.NewClient(&redis.Options{Addr: servicetest.Addr(t, "redis")}), ConsumerGroup: "plain",
		BlockTime: 100 * time.Millisecond, DisableIndefiniteInitialBlock: true,
	}, watermill.NopLogger{})
	require.NoError(t, err)
	messages, err := sub.Subscribe(t.Context(), topic)
	require.NoError(t, err)
	m := <-messages
	require.Equal(t, "order-placed", m.Metadata["ce_type"])
	require.JSONEq(t, `{"n":1}`, string(m.Payload))
	e, err := watermillbridge.Decode(topic, m)
	require.NoError(t, err)
	require.True(t, e.Equal(order("1")), "%v", e)
	m.Ack()
	require.NoError(t, sub.Close())

	pub, err := redisstream.NewPublisher(redisstream.PublisherConfig{
		Client: redis.NewClient(&redis.Options{Addr: servicetest.Addr(t, "redis")}),
	}, watermill.NopLogger{})
	require.NoError(t, err)
	encoded, err := watermillbridge.Encode(order("2"))
	require.NoError(t, err)
	other := message.NewMessage("u-1", []byte(`{"n":2}`))
	other.Metadata["name"] = "shop.OrderPlaced"
	require.NoError(t, pub.Publish(topic, encoded, other))
	require.NoError(t, pub.Close())
	c, err := ch.Consumer(t.Context(), event.Subscription{Group: "g", Topics: []string{topic}})
	require.NoError(t, err)
	got := make(map[string]event.Event)
	buf := make([]event.Delivery, 1)
	for range 3 {
		_, err := c.Receive(t.Context(), buf)
		require.NoError(t, err)
		require.NoError(t, buf[0].Err)
		got[buf[0].Event.ID()] = buf[0].Event
		require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Ack(buf[0].Token)}))
	}
	require.True(t, got["2"].Equal(order("2")), "%v", got["2"])
	require.Equal(t, "shop.OrderPlaced", got["u-1"].Type())
	shut(t, ch, c)
}
