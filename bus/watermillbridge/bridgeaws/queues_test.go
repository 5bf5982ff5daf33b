package bridgeaws_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/bus/watermillbridge/bridgeaws"
	"github.com/leat-go/leat/event"
)

// member joins a group until the end of the test.
func member(tb testing.TB, ch *watermillbridge.Channel, group, topic string) event.Consumer {
	tb.Helper()
	c, err := ch.Consumer(tb.Context(), event.Subscription{Group: group, Topics: []string{topic}})
	require.NoError(tb, err)
	return c
}

// A member's queues are made with settings that lose nothing, and take what their topic
// sends and nobody else.
func TestQueuesAreMade(t *testing.T) {
	t.Parallel()
	cfg, topic := emulator(t), own("orders.v1")
	ch := open(t, bridgeaws.Config{Poll: time.Second, AWS: cfg, Lease: time.Minute})
	c := member(t, ch, "shop.mailer", topic)
	for _, of := range [][2]string{
		{topic, "shop.mailer"},
		{topic + ".shop.mailer.redrive", "shop.mailer"},
		{topic + ".shop.mailer.dead", "shop.mailer.letters"},
	} {
		a := queueOf(t, cfg, of[0], of[1]).attributes()
		require.Equal(t, "61", a["VisibilityTimeout"])
		require.Equal(t, "1209600", a["MessageRetentionPeriod"])
		require.Equal(t, "true", a["SqsManagedSseEnabled"])
		require.Empty(t, a["RedrivePolicy"], "the dead letters are leat's")
		topicARN, err := topics(t).ResolveTopic(t.Context(), bridgeaws.TopicName(of[0]))
		require.NoError(t, err)
		var policy struct {
			Statement []struct {
				Effect, Action, Resource string
				Principal                map[string]string
				Condition                map[string]map[string]string
			}
		}
		require.NoError(t, json.Unmarshal([]byte(a["Policy"]), &policy))
		require.Len(t, policy.Statement, 1)
		s := policy.Statement[0]
		require.Equal(t, []string{"Allow", "sqs:SendMessage", a["QueueArn"]}, []string{s.Effect, s.Action, s.Resource})
		require.Equal(t, map[string]string{"Service": "sns.amazonaws.com"}, s.Principal)
		require.Equal(t, map[string]map[string]string{"ArnEquals": {"aws:SourceArn": string(topicARN)}}, s.Condition)
		subs, err := sns.NewFromConfig(cfg).ListSubscriptionsByTopic(t.Context(), &sns.ListSubscriptionsByTopicInput{TopicArn: aws.String(string(topicARN))})
		require.NoError(t, err)
		require.Len(t, subs.Subscriptions, 1)
		require.Equal(t, a["QueueArn"], *subs.Subscriptions[0].Endpoint)
		sub, err := sns.NewFromConfig(cfg).GetSubscriptionAttributes(t.Context(), &sns.GetSubscriptionAttributesInput{SubscriptionArn: subs.Subscriptions[0].SubscriptionArn})
		require.NoError(t, err)
		require.Equal(t, "true", sub.Attributes["RawMessageDelivery"])
	}
	require.NoError(t, c.Close(t.Context()))
}

// A key of the user's encrypts queues and topics.
func TestKMSKey(t *testing.T) {
	t.Parallel()
	cfg, topic := emulator(t), own("orders")
	c := member(t, open(t, bridgeaws.Config{Poll: time.Second, AWS: cfg, KMSKey: "alias/ours"}), "g", topic)
	require.NoError(t, c.Close(t.Context()))
	require.Equal(t, "alias/ours", queueOf(t, cfg, topic, "g").attributes()["KmsMasterKeyId"])
	arn, err := topics(t).ResolveTopic(t.Context(), topic)
	require.NoError(t, err)
	out, err := sns.NewFromConfig(cfg).GetTopicAttributes(t.Context(), &sns.GetTopicAttributesInput{TopicArn: aws.String(string(arn))})
	require.NoError(t, err)
	require.Equal(t, "alias/ours", out.Attributes["KmsMasterKeyId"])
}

// A queue that exists is left as it is, but refused where nothing would arrive in it, or
// in the clear.
func TestQueuesThatExist(t *testing.T) {
	t.Parallel()
	cfg := emulator(t)
	topic, api := own("orders"), sqs.NewFromConfig(cfg)
	join := func(cfg bridgeaws.Config) error {
		c, err := open(t, cfg).Consumer(t.Context(), event.Subscription{Group: "g", Topics: []string{topic}})
		if err == nil {
			require.NoError(t, c.Close(t.Context()))
		}
		return err
	}
	require.NoError(t, join(bridgeaws.Config{Poll: time.Second, AWS: cfg, Lease: time.Minute}))
	q := queueOf(t, cfg, topic, "g")
	before := q.attributes()
	require.NoError(t, join(bridgeaws.Config{Poll: time.Second, AWS: cfg, Lease: time.Hour}))
	require.Equal(t, before, q.attributes())
	require.ErrorContains(t, join(bridgeaws.Config{Poll: time.Second, AWS: cfg, KMSKey: "alias/ours"}), "not encrypted")
	_, err := api.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: q.url, Attributes: map[string]string{
		"Policy": `{"Version":"2012-10-17","Statement":[]}`,
	}})
	require.NoError(t, err)
	require.ErrorContains(t, join(bridgeaws.Config{Poll: time.Second, AWS: cfg}), "nothing would arrive")
}

// With Existing nothing is made, and what is missing is named.
func TestExisting(t *testing.T) {
	t.Parallel()
	cfg, topic := emulator(t), own("orders.v1")
	const arns = "arn:aws:sns:" + region + ":" + accountID
	ch := open(t, bridgeaws.Config{Poll: time.Second, AWS: cfg, Existing: arns})
	_, err := ch.Consumer(t.Context(), event.Subscription{Group: "g", Topics: []string{topic}})
	var none *types.QueueDoesNotExist
	require.ErrorAs(t, err, &none)
	require.ErrorContains(t, err, bridgeaws.QueueName(topic+".g.redrive", "g"))
	p, err := ch.Producer(t.Context(), topic)
	require.NoError(t, err)
	err = p.Produce(t.Context(), event.New("/t", "t", nil))
	require.ErrorContains(t, err, arns+":"+bridgeaws.TopicName(topic))

	c := member(t, open(t, bridgeaws.Config{Poll: time.Second, AWS: cfg}), "g", topic) // somebody makes all
	require.NoError(t, c.Close(t.Context()))
	c = member(t, ch, "g", topic)
	require.NoError(t, p.Produce(t.Context(), event.New("/t", "t", nil).WithID("1")))
	require.Equal(t, "1", receive(t, c).Event.ID())
	require.NoError(t, c.Close(t.Context()))
}

// receive returns the next delivery.
func receive(tb testing.TB, c event.Consumer) event.Delivery {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 20*time.Second)
	defer cancel()
	buf := make([]event.Delivery, 1)
	_, err := c.Receive(ctx, buf)
	require.NoError(tb, err)
	require.NoError(tb, buf[0].Err)
	return buf[0]
}
