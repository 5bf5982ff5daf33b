package kafka_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/kafkatest"
)

// Delayed events pass through the delay topic of their group on a real broker.
func TestDelayTopic(t *testing.T) {
	kafkatest.Long(t)
	t.Parallel()
	topic := fmt.Sprintf("delayed-%d", time.Now().UnixNano())
	ch := kafka.New(kafka.Config{
		Brokers: kafkatest.Brokers(t), SessionTimeout: session, DelayTopics: true, Topics: kafka.TopicDefaults{Partitions: 3},
	})
	defer func() { assert.NoError(t, ch.Close(context.WithoutCancel(t.Context()))) }()
	c, err := ch.Consumer(t.Context(), event.Subscription{Group: "g", Topics: []string{topic}})
	require.NoError(t, err)
	const n = 300
	due := make(map[string]time.Time)
	var es []event.Event
	for i := range n {
		d := time.Duration(i%10) * time.Second
		e := event.New("/test", "tested", nil).WithID(fmt.Sprint(i)).WithKey(fmt.Sprint(i % 7)).WithNotBefore(time.Now().Add(d))
		due[e.ID()] = e.NotBefore()
		es = append(es, e)
	}
	p, err := ch.Producer(t.Context(), topic)
	require.NoError(t, err)
	require.NoError(t, p.Produce(t.Context(), es...))

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for len(due) > 0 {
		buf := make([]event.Delivery, n)
		got, err := c.Receive(ctx, buf)
		require.NoError(t, err, "%d are missing", len(due))
		for _, d := range buf[:got] {
			at, left := due[d.Event.ID()]
			assert.True(t, left, "%s came twice", d.Event.ID())
			assert.False(t, time.Now().Before(at), "%s came too early", d.Event.ID())
			delete(due, d.Event.ID())
			require.NoError(t, c.Settle(ctx, []event.Settlement{event.Ack(d.Token)}))
		}
	}
	require.NoError(t, ch.Quiet(ctx, "g"))
	require.NoError(t, c.Close(ctx))

	cl, err := kgo.NewClient(kgo.SeedBrokers(kafkatest.Brokers(t)...))
	require.NoError(t, err)
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic+".g.delay")
	require.NoError(t, err)
	passed := int64(0)
	ends.Each(func(o kadm.ListedOffset) { passed += o.Offset })
	assert.Positive(t, passed, "none waited there")
}
