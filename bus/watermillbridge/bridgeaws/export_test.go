package bridgeaws

import (
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge"
)

// NewQuick is New for a server whose queues can be used as soon as they are made.
func NewQuick(cfg Config) (*watermillbridge.Channel, error) {
	return newChannel(cfg, times{call: callTime, young: time.Millisecond})
}

// Patient returns a client that loses no answers.
func Patient(c aws.HTTPClient) aws.HTTPClient { return patient{c} }

// NewQueues returns a client of SQS as the bridge has it.
func NewQueues(tb testing.TB, cfg Config) *sqs.Client {
	tb.Helper()
	p, err := newPubSub(cfg, usual)
	require.NoError(tb, err)
	return p.queues
}

// NewSubscriber returns a subscriber as the bridge has them.
func NewSubscriber(tb testing.TB, cfg Config, group string) message.Subscriber {
	tb.Helper()
	p, err := newPubSub(cfg, usual)
	require.NoError(tb, err)
	return newSubscriber(p, watermillbridge.Member{Group: group, Logger: watermill.NopLogger{}})
}

// NewPublisher returns a publisher as the bridge has it, whose calls may take so long.
func NewPublisher(tb testing.TB, cfg Config, most time.Duration) message.Publisher {
	tb.Helper()
	p, err := newPubSub(cfg, times{call: most})
	require.NoError(tb, err)
	publisher, err := p.publisher()
	require.NoError(tb, err)
	return publisher
}
