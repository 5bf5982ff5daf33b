package cloudevents

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	sdkkafka "github.com/cloudevents/sdk-go/protocol/kafka_sarama/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	sdk "github.com/cloudevents/sdk-go/v2/event"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/kafkatest"
)

// onKafka is a topic of one partition, with leat and the SDK's client on it.
type onKafka struct {
	seeds   []string
	topic   string
	channel *kafka.Channel
	admin   sarama.ClusterAdmin
}

func newTopic(t *testing.T) *onKafka {
	t.Helper()
	k := &onKafka{seeds: kafkatest.Brokers(t), topic: "cloudevents-" + strings.ToLower(rand.Text()[:10])}
	admin, err := sarama.NewClusterAdmin(k.seeds, saramaConfig())
	require.NoError(t, err)
	k.admin = admin
	k.channel = kafka.New(kafka.Config{Brokers: k.seeds, Topics: kafka.TopicDefaults{Partitions: 1}})
	require.NoError(t, k.channel.EnsureTopic(t.Context(), event.TopicSpec{Name: k.topic}))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		assert.NoError(t, k.channel.RemoveGroup(ctx, "sdk", k.topic))
		assert.NoError(t, k.channel.Close(ctx))
		assert.NoError(t, k.admin.DeleteTopic(k.topic))
		assert.NoError(t, k.admin.Close())
	})
	return k
}

func saramaConfig() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V3_6_0_0
	c.Producer.Return.Successes = true
	return c
}

// produce lets leat write events.
func (k *onKafka) produce(t *testing.T, events ...event.Event) {
	t.Helper()
	p, err := k.channel.Producer(t.Context(), k.topic)
	require.NoError(t, err)
	require.NoError(t, p.Produce(t.Context(), events...))
}

// read returns the first n records as the SDK's client sees them.
func (k *onKafka) read(t *testing.T, n int) []*sarama.ConsumerMessage {
	t.Helper()
	c, err := sarama.NewConsumer(k.seeds, saramaConfig())
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	p, err := c.ConsumePartition(k.topic, 0, sarama.OffsetOldest)
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	all := make([]*sarama.ConsumerMessage, n)
	for i := range all {
		select {
		case all[i] = <-p.Messages():
		case <-time.After(30 * time.Second):
			t.Fatalf("%d of %d records came", i, n)
		}
	}
	return all
}

// toSDK returns the event of a record. Where the SDK adds the place of the record, it
// is left out.
func toSDK(t *testing.T, m *sarama.ConsumerMessage) sdk.Event {
	t.Helper()
	e, err := binding.ToEvent(t.Context(), sdkkafka.NewMessageFromConsumerMessage(m))
	require.NoError(t, err)
	for _, name := range []string{"kafkaoffset", "kafkapartition", "kafkatopic"} {
		e.SetExtension(name, nil)
	}
	return *e
}

// send lets the SDK write events.
func (k *onKafka) send(ctx context.Context, t *testing.T, events ...sdk.Event) {
	t.Helper()
	s, err := sdkkafka.NewSender(k.seeds, saramaConfig(), k.topic)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(ctx)) }()
	for i := range events {
		require.NoError(t, s.Send(ctx, (*binding.EventMessage)(&events[i])))
	}
}

// receive returns the first n deliveries to a group of leat.
func (k *onKafka) receive(t *testing.T, n int) []event.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := k.channel.Consumer(t.Context(), event.Subscription{Group: "sdk", Topics: []string{k.topic}})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close(ctx)) }()
	var all []event.Delivery
	buf := make([]event.Delivery, 64)
	for len(all) < n {
		got, err := c.Receive(ctx, buf)
		require.NoError(t, err, "%d of %d came", len(all), n)
		acks := make([]event.Settlement, got)
		for i := range buf[:got] {
			_, ours := c.Begin(buf[i].Token)
			require.True(t, ours)
			acks[i] = event.Settlement{Token: buf[i].Token, Kind: event.SettleAck}
		}
		all = append(all, buf[:got]...)
		require.NoError(t, c.Settle(ctx, acks))
	}
	return all
}

// past are the events that nobody has to wait for.
func past(events map[string]event.Event) map[string]event.Event {
	for name, e := range events {
		if !e.NotBefore().IsZero() {
			events[name] = e.WithNotBefore(time.Date(2020, 1, 2, 3, 4, 5, 6, time.UTC))
		}
	}
	return events
}

func TestKafkaFromLeatToSDK(t *testing.T) {
	k := newTopic(t)
	events := past(leatEvents())
	base := events["minimal"]
	events["no data"] = base.WithKey("k")
	events["empty data"] = base.WithData("text/plain", []byte{})
	events["unicode"] = base.WithKey("schlüssel-ключ-🔑").WithSubject("größe/größer ☃").WithExtension("note", "λόγος 50 % \"quoted\"").WithData("text/plain; charset=utf-8", []byte("grüße мир"))
	events["nanoseconds"] = base.WithTime(time.Date(2020, 2, 29, 23, 59, 59, 999999999, time.UTC))
	events["large"] = base.WithKey(strings.Repeat("k", 1000)).WithData("text/plain", []byte(strings.Repeat("large ", 100_000)))

	names, all := ordered(events)
	k.produce(t, all...)
	for i, m := range k.read(t, len(all)) {
		t.Run(names[i], func(t *testing.T) {
			assert.Equal(t, ofLeat(all[i]), ofSDK(t, toSDK(t, m)))
			assert.Equal(t, all[i].Key(), string(m.Key))
			assert.Equal(t, all[i].Key() == "", m.Key == nil, "no key is not an empty one")
		})
	}
}

// What the SDK writes leat delivers as the same event, in both modes, with the record's
// key or without.
func TestKafkaFromSDKToLeat(t *testing.T) {
	events := sdkEvents(t)
	add := func(name string, change func(*sdk.Event)) {
		e := events["minimal"].Clone()
		change(&e)
		require.NoError(t, e.Validate())
		events[name] = e
	}
	add("unicode", func(e *sdk.Event) {
		e.SetSubject("größe/größer ☃")
		e.SetExtension("note", "λόγος 50 % \"quoted\"")
		e.SetExtension("partitionkey", "schlüssel-ключ-🔑")
		require.NoError(t, e.SetData("text/plain; charset=utf-8", []byte("grüße мир")))
	})
	add("nanoseconds", func(e *sdk.Event) { e.SetTime(time.Date(2020, 2, 29, 23, 59, 59, 999999999, time.UTC)) })
	add("no content type", func(e *sdk.Event) { e.DataEncoded = []byte(`{"a":1}`) })
	add("content type and no data", func(e *sdk.Event) { e.SetDataContentType("application/json") })
	add("typed key", func(e *sdk.Event) { e.SetExtension("partitionkey", 7) })
	typed := events["typed extensions"]
	typed.SetExtension("notbefore", "2020-01-02T03:04:05.000000006Z") // nobody has to wait for it
	names, all := ordered(events)

	for mode, in := range map[string]func(context.Context) context.Context{
		"binary":     binding.WithForceBinary,
		"structured": binding.WithForceStructured,
		"binary without record key": func(ctx context.Context) context.Context {
			return sdkkafka.WithSkipKeyMapping(binding.WithForceBinary(ctx))
		},
		"structured without record key": func(ctx context.Context) context.Context {
			return sdkkafka.WithSkipKeyMapping(binding.WithForceStructured(ctx))
		},
	} {
		t.Run(mode, func(t *testing.T) {
			k := newTopic(t)
			k.send(in(t.Context()), t, all...)
			for i, d := range k.receive(t, len(all)) {
				t.Run(names[i], func(t *testing.T) {
					require.NoError(t, d.Err)
					assert.Equal(t, ofSDK(t, all[i]), ofLeat(d.Event))
					assert.Equal(t, fmt.Sprint(orNone(all[i].Extensions()["partitionkey"])), d.Event.Key())
				})
			}
		})
	}
}

// A dead letter is still an event for the SDK.
func TestKafkaDeadLetterToSDK(t *testing.T) {
	k := newTopic(t)
	e := past(leatEvents())["all attributes"]
	k.produce(t, e)
	c, err := k.channel.Consumer(t.Context(), event.Subscription{Group: "sdk", Topics: []string{k.topic}})
	require.NoError(t, err)
	buf := make([]event.Delivery, 1)
	_, err = c.Receive(t.Context(), buf)
	require.NoError(t, err)
	_, ours := c.Begin(buf[0].Token)
	require.True(t, ours)
	require.NoError(t, c.Settle(t.Context(), []event.Settlement{{Token: buf[0].Token, Kind: event.SettleDead, Cause: &event.Cause{Text: "no"}}}))
	require.NoError(t, c.Close(t.Context()))

	dead := *k
	dead.topic += ".sdk.dead"
	m := dead.read(t, 1)[0]
	assert.Equal(t, ofLeat(e), ofSDK(t, toSDK(t, m)))
	assert.Equal(t, e.Key(), string(m.Key))
}

func orNone(v any) any {
	if v == nil {
		return ""
	}
	return v
}

// ordered returns events by name, and their names.
func ordered[E any](events map[string]E) (names []string, all []E) {
	names = slices.Sorted(maps.Keys(events))
	for _, name := range names {
		all = append(all, events[name])
	}
	return names, all
}
