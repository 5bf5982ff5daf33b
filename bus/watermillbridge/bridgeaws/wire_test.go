package bridgeaws_test

import (
	"context"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wmsns "github.com/ThreeDotsLabs/watermill-aws/sns"
	wmsqs "github.com/ThreeDotsLabs/watermill-aws/sqs"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/bus/watermillbridge/bridgeaws"
	"github.com/leat-go/leat/event"
)

// A service on plain Watermill, with the settings that watermill-aws has by itself, reads
// what a channel produces.
func TestPlainWatermillReads(t *testing.T) {
	t.Parallel()
	cfg, topic := emulator(t), own("orders.v1")
	ch := open(t, bridgeaws.Config{Poll: time.Second, AWS: cfg})
	p, err := ch.Producer(t.Context(), topic) // makes the topic, which a plain subscriber doesn't
	require.NoError(t, err)
	plain := own("plain")
	sub, err := wmsns.NewSubscriber(wmsns.SubscriberConfig{
		AWSConfig: cfg, TopicResolver: topics(t),
		GenerateSqsQueueName: func(context.Context, wmsns.TopicArn) (string, error) { return plain, nil },
	}, wmsqs.SubscriberConfig{AWSConfig: cfg}, watermill.NopLogger{})
	require.NoError(t, err)
	messages, err := sub.Subscribe(t.Context(), bridgeaws.TopicName(topic))
	require.NoError(t, err)
	sent := []event.Event{
		event.New("/shop", "placed", nil).WithData("application/json", []byte(`{"n":1}`)).WithKey("k").WithExtension("tenant", "ü"),
		event.New("/shop", "placed", []byte("\x00\xff")),
		event.New("/shop", "placed", nil).WithSubject("s"),
	}
	require.NoError(t, p.Produce(t.Context(), sent...))
	want := make(map[string]event.Event)
	for _, e := range sent {
		want[e.ID()] = e
	}
	timeout := time.After(20 * time.Second)
	for len(want) > 0 {
		select {
		case m := <-messages:
			require.Equal(t, "placed", m.Metadata[watermillbridge.MetadataType], "to filter by")
			got, err := watermillbridge.Decode(topic, m)
			require.NoError(t, err)
			if e, ok := want[got.ID()]; ok { // it may come twice
				require.True(t, got.Equal(e), "%v became %v", e, got)
			}
			delete(want, got.ID())
			m.Ack()
		case <-timeout:
			require.Failf(t, "not all have come", "%d are missing", len(want))
		}
	}
	require.NoError(t, sub.Close())
}

// What a service on plain Watermill publishes, as an event or not, comes to a Bus.
func TestPlainWatermillPublishes(t *testing.T) {
	t.Parallel()
	cfg, topic := emulator(t), own("orders")
	b := bus.New(bus.Config{App: "shop", Channel: open(t, bridgeaws.Config{Poll: time.Second, AWS: cfg}), KeepChannel: true})
	got := make(chan event.Event, 10)
	bus.SubscribeRaw(b, "mailer", nil, func(_ context.Context, e event.Event) error {
		got <- e
		return nil
	}, bus.Topic(topic))
	require.NoError(t, b.Start(t.Context()))
	pub, err := wmsns.NewPublisher(wmsns.PublisherConfig{AWSConfig: cfg, TopicResolver: topics(t)}, watermill.NopLogger{})
	require.NoError(t, err)
	encoded := event.New("/old", "placed", nil).WithData("application/json", []byte(`{"n":1}`)).WithKey("k")
	first, err := watermillbridge.Encode(encoded)
	require.NoError(t, err)
	plain := message.NewMessage(own("plain"), []byte("plain text"))
	plain.Metadata.Set("name", "order.shipped")
	plain.Metadata.Set("correlation_id", "c")
	plain.Metadata.Set("Some-Name", "v")
	require.NoError(t, pub.Publish(topic, first, plain))
	events := make(map[string]event.Event)
	for len(events) < 2 {
		select {
		case e := <-got:
			events[e.ID()] = e
		case <-time.After(20 * time.Second):
			require.Failf(t, "not all have come", "only %v", events)
		}
	}
	require.True(t, events[encoded.ID()].Equal(encoded))
	e := events[plain.UUID]
	require.Equal(t, "order.shipped", e.Type())
	require.Equal(t, "plain text", string(e.Data()))
	require.Equal(t, "c", e.Extension(event.ExtCorrelationID))
	require.NoError(t, b.Shutdown(t.Context()))
}
