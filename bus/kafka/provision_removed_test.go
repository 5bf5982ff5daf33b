package kafka_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
)

// A broker may know topics for a moment after they were removed: a group is removed when
// it doesn't any more, so that who joins next has topics of its own.
func TestRemoveGroupWaitsForTheBroker(t *testing.T) {
	c := fake(t)
	ch := on(t, c, kafka.Config{})
	require.NoError(t, ch.EnsureTopic(t.Context(), event.TopicSpec{Name: "orders", Partitions: 1}))
	require.NoError(t, ch.EnsureGroup(t.Context(), "mailer", event.Start{}, "orders"))
	var removed atomic.Bool
	var late atomic.Int32
	late.Store(3)
	c.ControlKey(int16(kmsg.DeleteTopics), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		removed.Store(true)
		return nil, nil, false
	})
	c.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		r := req.(*kmsg.MetadataRequest)
		if !removed.Load() || len(r.Topics) != 1 || r.Topics[0].Topic == nil || !strings.HasSuffix(*r.Topics[0].Topic, ".dead") || late.Add(-1) < 0 {
			return nil, nil, false
		}
		res := r.ResponseKind().(*kmsg.MetadataResponse)
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic = r.Topics[0].Topic
		topic.Partitions = append(topic.Partitions, kmsg.NewMetadataResponseTopicPartition())
		res.Topics = append(res.Topics, topic)
		return res, nil, true
	})
	require.NoError(t, ch.RemoveGroup(t.Context(), "mailer", "orders"))
	assert.Negative(t, late.Load(), "it was known for three more questions")
}
