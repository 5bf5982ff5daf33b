package bridgenats_test

import (
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	watermillnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

// order is an event with all that has to survive, and that headers have no room for.
func order(id string) event.Event {
	return event.Attributes{
		ID: id, Source: "/shop", Type: "order-placed", Subject: " örder ", Key: "customer-7", Time: time.Unix(1e9, 5).UTC(),
		ContentType: "application/json", Data: []byte(`{"n":1}`),
		Extensions: []event.Extension{{Name: event.ExtCorrelationID, Value: "c-1"}, {Name: event.ExtTenant, Value: "t"}},
	}.Event()
}

// A service on plain Watermill reads what leat writes, and leat what it publishes: events
// with Encode, and what knows nothing of events. The subject is the topic.
func TestPlainWatermill(t *testing.T) {
	ch, topic := open(t), name(t, "shop")+".wire"
	p, err := ch.Producer(t.Context(), topic)
	require.NoError(t, err)
	require.NoError(t, p.Produce(t.Context(), order("1")))
	nc, _ := client(t)
	js, err := nc.JetStream()
	require.NoError(t, err)
	sub, err := js.SubscribeSync(topic)
	require.NoError(t, err)
	raw, err := sub.NextMsg(10 * time.Second)
	require.NoError(t, err)
	m, err := new(watermillnats.NATSMarshaler).Unmarshal(raw) // its subscriber does no more, and races with its own end
	require.NoError(t, err)
	require.Equal(t, "order-placed", m.Metadata["ce_type"])
	e, err := watermillbridge.Decode(topic, m)
	require.NoError(t, err)
	require.True(t, e.Equal(order("1")), "%v", e)

	pub, err := watermillnats.NewPublisherWithNatsConn(nc, watermillnats.PublisherPublishConfig{
		Marshaler: &watermillnats.NATSMarshaler{}, SubjectCalculator: watermillnats.DefaultSubjectCalculator,
	}, watermill.NopLogger{})
	require.NoError(t, err)
	plain := order("2").WithSubject("order")
	encoded, err := watermillbridge.Encode(plain)
	require.NoError(t, err)
	other := message.NewMessage("u-1", []byte(`{"n":2}`))
	other.Metadata["name"] = "shop.OrderPlaced"
	require.NoError(t, pub.Publish(topic, encoded, other))
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
	require.True(t, got["2"].Equal(plain), "%v", got["2"])
	require.Equal(t, "shop.OrderPlaced", got["u-1"].Type())
	shut(t, ch, c)
}
