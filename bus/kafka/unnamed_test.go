package kafka_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
)

// unnamed lets the next n questions for the names of topics fail. Brokers tell what groups
// have committed by the ids of topics, and the client may not know their names: it forgets
// them when they are a moment old.
func unnamed(c *kfake.Cluster, n int32) (asked *atomic.Int32) {
	asked = new(atomic.Int32)
	c.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		r := req.(*kmsg.MetadataRequest)
		if len(r.Topics) == 0 || r.Topics[0].Topic != nil || asked.Add(1) > n {
			return nil, nil, false
		}
		res := r.ResponseKind().(*kmsg.MetadataResponse)
		for _, t := range r.Topics {
			topic := kmsg.NewMetadataResponseTopic()
			topic.TopicID, topic.ErrorCode = t.TopicID, kerr.UnknownTopicID.Code
			res.Topics = append(res.Topics, topic)
		}
		return res, nil, true
	})
	return asked
}

// A group is not missed because the client has no name for its topic.
func TestGroupsOfTopicsWithoutAName(t *testing.T) {
	c := fake(t)
	require.NoError(t, on(t, c, kafka.Config{}).EnsureGroup(t.Context(), "mailer", event.Start{}, "orders"))
	ch := on(t, c, kafka.Config{}) // knows no ids
	asked := unnamed(c, 2)
	got, err := ch.Groups(t.Context(), "orders")
	require.NoError(t, err)
	require.Equal(t, []event.GroupInfo{{Group: "mailer"}}, got)
	require.Equal(t, int32(3), asked.Load())
}

// Nor is it quiet because of that.
func TestQuietOfTopicsWithoutAName(t *testing.T) {
	c := fake(t)
	other := on(t, c, kafka.Config{})
	require.NoError(t, other.EnsureGroup(t.Context(), "mailer", event.Start{}, "orders"))
	require.NoError(t, producerOf(t, other).Produce(t.Context(), event.New("/test", "placed", nil)))
	ch := on(t, c, kafka.Config{})
	asked := unnamed(c, 2)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.ErrorIs(t, ch.Quiet(ctx, "mailer"), context.DeadlineExceeded)
	require.Greater(t, asked.Load(), int32(2))
}

// It is an error when nobody ever has a name.
func TestGroupsWithoutAnAnswer(t *testing.T) {
	c := fake(t)
	require.NoError(t, on(t, c, kafka.Config{}).EnsureGroup(t.Context(), "mailer", event.Start{}, "orders"))
	ch := on(t, c, kafka.Config{})
	unnamed(c, 1<<30)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := ch.Groups(ctx, "orders")
	require.ErrorContains(t, err, `kafka: the groups of topic "orders": group "mailer"`)
}

// offsets answers the next question for what a group has committed.
func offsets(c *kfake.Cluster, answer kmsg.OffsetFetchResponseGroup) {
	c.ControlKey(int16(kmsg.OffsetFetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		res := req.ResponseKind().(*kmsg.OffsetFetchResponse)
		answer.Group = req.(*kmsg.OffsetFetchRequest).Groups[0].Group
		res.Groups = append(res.Groups, answer)
		return res, nil, true
	})
}

// What is left of a removed topic may have no id either, and is no topic.
func TestQuietOfRemovedTopics(t *testing.T) {
	c := fake(t)
	group, topic := kmsg.NewOffsetFetchResponseGroup(), kmsg.NewOffsetFetchResponseGroupTopic()
	topic.Partitions = append(topic.Partitions, kmsg.NewOffsetFetchResponseGroupTopicPartition())
	group.Topics = append(group.Topics, topic)
	offsets(c, group)
	require.NoError(t, on(t, c, kafka.Config{}).Quiet(t.Context(), "mailer"))
}

// A group that is removed between two questions is none.
func TestGroupsOfARemovedGroup(t *testing.T) {
	c := fake(t)
	ch := on(t, c, kafka.Config{})
	require.NoError(t, ch.EnsureGroup(t.Context(), "mailer", event.Start{}, "orders"))
	group := kmsg.NewOffsetFetchResponseGroup()
	group.ErrorCode = kerr.GroupIDNotFound.Code
	offsets(c, group)
	got, err := ch.Groups(t.Context(), "orders")
	require.NoError(t, err)
	require.Empty(t, got)
}

// Quiet returns the error of its context when that ends meanwhile.
func TestQuietTellsOfItsContext(t *testing.T) {
	c := fake(t)
	require.NoError(t, on(t, c, kafka.Config{}).EnsureGroup(t.Context(), "mailer", event.Start{}, "orders"))
	ch := on(t, c, kafka.Config{})
	unnamed(c, 1<<30)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, ch.Quiet(ctx, "mailer"), context.DeadlineExceeded)
}

// Brokers before Kafka 3.0 are asked for one group at a time: one that is refused is not missed.
func TestGroupsOfOlderBrokers(t *testing.T) {
	c := fake(t, kfake.MaxVersions(kversion.V2_8_0()))
	ch := on(t, c, kafka.Config{})
	require.NoError(t, ch.EnsureGroup(t.Context(), "mailer", event.Start{}, "orders"))
	require.NoError(t, ch.EnsureGroup(t.Context(), "other", event.Start{}, "others"))
	c.ControlKey(int16(kmsg.OffsetFetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if req.(*kmsg.OffsetFetchRequest).Group != "mailer" {
			return nil, nil, false
		}
		res := req.ResponseKind().(*kmsg.OffsetFetchResponse)
		res.ErrorCode = kerr.GroupAuthorizationFailed.Code
		return res, nil, true
	})
	got, err := ch.Groups(t.Context(), "orders")
	require.ErrorContains(t, err, `group "mailer": no answer`, "%v", got)
}
