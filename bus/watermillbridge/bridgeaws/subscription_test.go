package bridgeaws_test

import (
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wmsns "github.com/ThreeDotsLabs/watermill-aws/sns"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge/bridgeaws"
	"github.com/leat-go/leat/event"
)

// publish publishes messages as they are.
func publish(tb testing.TB, topic string, ms ...*message.Message) {
	tb.Helper()
	pub, err := wmsns.NewPublisher(wmsns.PublisherConfig{AWSConfig: emulator(tb), TopicResolver: topics(tb)}, watermill.NopLogger{})
	require.NoError(tb, err)
	require.NoError(tb, pub.Publish(bridgeaws.TopicName(topic), ms...))
}

// What a member had in hand and did not begin is the next one's at once, although the
// lease is long.
func TestCloseGivesBack(t *testing.T) {
	t.Parallel()
	topic := own("orders")
	cfg := bridgeaws.Config{Poll: time.Second, AWS: emulator(t), Lease: time.Hour}
	first := member(t, open(t, cfg), "g", topic)
	publish(t, topic, message.NewMessage("1", []byte("x")))
	require.Equal(t, "1", receive(t, first).Event.ID())
	second := member(t, open(t, cfg), "g", topic)
	require.NoError(t, first.Close(t.Context()))
	require.Equal(t, "1", receive(t, second).Event.ID())
	require.NoError(t, second.Close(t.Context()))
}

// What was acknowledged just before a Close is deleted, however long that takes.
func TestCloseWaitsForAcks(t *testing.T) {
	t.Parallel()
	topic, cfg := own("orders"), emulator(t)
	slow := cfg
	slow.APIOptions = append(slow.APIOptions, slowly("DeleteMessage", time.Second))
	c := member(t, open(t, bridgeaws.Config{Poll: time.Second, AWS: slow, Lease: time.Hour}), "g", topic)
	publish(t, topic, message.NewMessage("1", []byte("x")))
	d := receive(t, c)
	_, ok := c.Begin(d.Token)
	require.True(t, ok)
	require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Ack(d.Token)}))
	require.NoError(t, c.Close(t.Context()))
	require.True(t, queueOf(t, cfg, topic, "g").isEmpty())
}

// A subscriber ends although nobody reads what it has, and gives that back. The library's
// waits for ever.
func TestSubscriberEndsUnread(t *testing.T) {
	t.Parallel()
	topic, cfg := own("orders"), bridgeaws.Config{Poll: time.Second, AWS: emulator(t), Lease: time.Hour}
	c := member(t, open(t, cfg), "g", topic)
	require.NoError(t, c.Close(t.Context()))
	for range 2 { // the second finds what the first has given back
		s := bridgeaws.NewSubscriber(t, cfg, "g")
		messages, err := s.Subscribe(t.Context(), topic)
		require.NoError(t, err)
		q := queueOf(t, cfg.AWS, topic, "g")
		if q.isEmpty() {
			publish(t, topic, message.NewMessage("1", []byte("x")))
		}
		require.Eventually(t, func() bool { return q.attributes()["ApproximateNumberOfMessagesNotVisible"] == "1" }, 20*time.Second, 50*time.Millisecond)
		began := time.Now()
		require.NoError(t, s.Close())
		require.Less(t, time.Since(began), 10*time.Second)
		_, open := <-messages
		require.False(t, open)
		require.Equal(t, "1", q.attributes()["ApproximateNumberOfMessages"])
		_, err = s.Subscribe(t.Context(), topic)
		require.ErrorContains(t, err, "closed")
	}
}
