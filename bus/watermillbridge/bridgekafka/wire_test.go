package bridgekafka_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	wkafka "github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/kafkatest"
)

// plain returns a publisher and a subscriber of a service that knows Watermill alone.
func plain(t *testing.T, brokers []string, group string) (message.Publisher, message.Subscriber) {
	t.Helper()
	pub, err := wkafka.NewPublisher(wkafka.PublisherConfig{Brokers: brokers, Marshaler: wkafka.DefaultMarshaler{}}, watermill.NopLogger{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pub.Close()) })
	cfg := wkafka.DefaultSaramaSubscriberConfig()
	cfg.Consumer.Offsets.Initial = sarama.OffsetOldest
	sub, err := wkafka.NewSubscriber(wkafka.SubscriberConfig{
		Brokers: brokers, Unmarshaler: wkafka.DefaultMarshaler{}, ConsumerGroup: group, OverwriteSaramaConfig: cfg,
	}, watermill.NopLogger{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sub.Close()) })
	return pub, sub
}

// order is an event with all that has to survive.
func order(id string) event.Event {
	return event.Attributes{
		ID: id, Source: "/shop", Type: "order-placed", Subject: "örder", Key: "customer-7", Time: time.Unix(1e9, 5).UTC(),
		ContentType: "application/json", Data: []byte(`{"n":1}`),
		Extensions: []event.Extension{{Name: event.ExtCorrelationID, Value: "c-1"}, {Name: event.ExtTenant, Value: "t"}},
	}.Event()
}

// What leat writes, by its own engine and through the bridge, a service on plain
// Watermill reads as messages, and Decode makes the same events of them.
func TestPlainWatermillReadsEvents(t *testing.T) {
	brokers := kafkatest.Brokers(t)
	for name, ch := range map[string]event.Channel{
		"bus/kafka":  kafka.New(kafka.Config{Brokers: brokers, Topics: kafka.TopicDefaults{Partitions: 1}}),
		"the bridge": open(t, brokers),
	} {
		t.Run(name, func(t *testing.T) {
			defer func() { require.NoError(t, ch.Close(context.WithoutCancel(t.Context()))) }()
			topic := "wire-" + strings.ToLower(event.NewID())
			p, err := ch.Producer(t.Context(), topic)
			require.NoError(t, err)
			require.NoError(t, p.Produce(t.Context(), order("1"), order("2")))
			_, sub := plain(t, brokers, topic)
			messages, err := sub.Subscribe(t.Context(), topic)
			require.NoError(t, err)
			for _, id := range []string{"1", "2"} {
				m := <-messages
				require.Equal(t, "order-placed", m.Metadata["ce_type"])
				require.Equal(t, "application/json", m.Metadata["content-type"])
				require.JSONEq(t, `{"n":1}`, string(m.Payload))
				e, err := watermillbridge.Decode(topic, m)
				require.NoError(t, err)
				require.True(t, e.Equal(order(id)), "%v", e)
				m.Ack()
			}
		})
	}
}

// What a service on plain Watermill publishes comes to leat as events: as they were with
// Encode, by either engine; through the bridge also what knows nothing of events.
func TestPlainWatermillPublishesEvents(t *testing.T) {
	brokers := kafkatest.Brokers(t)
	topic := "wire-" + strings.ToLower(event.NewID())
	native := kafka.New(kafka.Config{Brokers: brokers, Topics: kafka.TopicDefaults{Partitions: 1}})
	bridge := open(t, brokers)
	for _, ch := range []event.Channel{native, bridge} {
		t.Cleanup(func() { require.NoError(t, ch.Close(context.WithoutCancel(t.Context()))) })
	}
	// With one partition, whoever comes first: what is expected is in order.
	require.NoError(t, native.EnsureTopic(t.Context(), event.TopicSpec{Name: topic, Partitions: 1}))
	consumers := make(map[string]event.Consumer)
	for name, ch := range map[string]event.Channel{"native": native, "bridge": bridge} {
		c, err := ch.Consumer(t.Context(), event.Subscription{Group: topic + "." + name, Topics: []string{topic}})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, c.Close(context.WithoutCancel(t.Context()))) })
		consumers[name] = c
	}
	pub, _ := plain(t, brokers, topic)
	encoded, err := watermillbridge.Encode(order("1"))
	require.NoError(t, err)
	other := message.NewMessage("u-1", []byte(`{"n":2}`))
	other.Metadata["name"], other.Metadata["correlation_id"] = "shop.OrderPlaced", "c-2"
	require.NoError(t, pub.Publish(topic, encoded, other))
	next := func(name string) event.Delivery {
		buf := make([]event.Delivery, 1)
		_, err := consumers[name].Receive(t.Context(), buf)
		require.NoError(t, err)
		require.NoError(t, consumers[name].Settle(t.Context(), []event.Settlement{event.Ack(buf[0].Token)}))
		return buf[0]
	}
	for name := range consumers {
		d := next(name)
		require.NoError(t, d.Err)
		require.True(t, d.Event.Equal(order("1")), "%s: %v", name, d.Event)
	}
	d := next("bridge")
	require.NoError(t, d.Err)
	require.Equal(t, "u-1", d.Event.ID())
	require.Equal(t, "shop.OrderPlaced", d.Event.Type())
	require.Equal(t, "c-2", d.Event.Extension(event.ExtCorrelationID))
	require.JSONEq(t, `{"n":2}`, string(d.Event.Data()))
	d = next("native")
	require.Error(t, d.Err, "leat's own engine takes events alone: others are dead letters with their bytes")
	require.JSONEq(t, `{"n":2}`, string(d.Raw))
}
