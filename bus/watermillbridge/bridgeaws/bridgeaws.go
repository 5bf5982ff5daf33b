package bridgeaws

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wmsns "github.com/ThreeDotsLabs/watermill-aws/sns"
	"github.com/ThreeDotsLabs/watermill/message"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

const (
	// largest is the largest message that a topic of SNS takes by default, attributes
	// included; see the quotas of SNS.
	largest = 256 << 10
	// letterRoom is what of it is kept for what a dead letter says besides its event.
	letterRoom = 16 << 10
	// retention is how long a queue can keep a message at most.
	retention = 14 * 24 * time.Hour
	// margin is how much later than the bridge lets a message go SQS gives it to another
	// member: the answer that brought it took a while.
	margin = time.Second
	// callTime is how long a call of AWS may take, polls and repetitions included. The
	// library waits for ever for one whose connection is dead.
	callTime = 2 * longestPoll
)

// times is how long things take.
type times struct {
	call  time.Duration // at most
	young time.Duration // how long a queue can't be used after it was made
}

// usual is how long they take outside of tests; the reference of CreateQueue says how long
// a queue is young.
var usual = times{call: callTime, young: time.Second}

// New returns a channel. It calls nothing of AWS yet. Its error names every mistake in
// cfg.
func New(cfg Config) (*watermillbridge.Channel, error) { return newChannel(cfg, usual) }

func newChannel(cfg Config, take times) (*watermillbridge.Channel, error) {
	p, err := newPubSub(cfg, take)
	if err != nil {
		return nil, err
	}
	publisher, err := p.publisher()
	if err != nil {
		return nil, err
	}
	return watermillbridge.NewChannel(watermillbridge.PubSub{
		Publisher:   publisher,
		Subscriber:  func(m watermillbridge.Member) (message.Subscriber, error) { return newSubscriber(p, m), nil },
		EnsureTopic: p.ensureTopic,
		EnsureGroup: p.ensureGroup,
		Guarantees: event.Guarantees{
			Channel: "sns-sqs", Durable: true, MaxBytes: largest - letterRoom,
			RedeliveryHorizon: retention, Lease: p.cfg.Lease, MaxHold: p.cfg.Lease,
		},
		Subscriptions: p.cfg.Subscriptions, Envelope: true, Returns: true,
	})
}

// pubSub is SNS and SQS in an account.
type pubSub struct {
	cfg    Config
	take   times
	topics *sns.Client
	queues *sqs.Client

	mu   sync.Mutex
	arns map[string]string // of the topics that are made
	urls map[string]string // of queues, by name
}

func newPubSub(cfg Config, take times) (*pubSub, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if cfg.AWS.HTTPClient == nil { // one for all: each client would make its own
		cfg.AWS.HTTPClient = awshttp.NewBuildableClient()
	}
	cfg.AWS.HTTPClient = patient{cfg.AWS.HTTPClient}
	cfg.AWS.APIOptions = append(slices.Clip(cfg.AWS.APIOptions), bounded(take.call))
	return &pubSub{
		cfg: cfg, take: take, topics: sns.NewFromConfig(cfg.AWS), queues: sqs.NewFromConfig(cfg.AWS),
		arns: make(map[string]string), urls: make(map[string]string),
	}, nil
}

// publisher returns the library's, which panics without a logger, and would make a topic
// that was deleted anew, without those who had subscribed to it.
func (p *pubSub) publisher() (message.Publisher, error) {
	publisher, err := wmsns.NewPublisher(wmsns.PublisherConfig{
		AWSConfig: p.cfg.AWS, TopicResolver: p, Marshaler: marshaler{}, DoNotCreateTopicIfNotExists: true,
	}, watermill.NopLogger{})
	if err != nil {
		return nil, fmt.Errorf("bridgeaws: %w", err)
	}
	return publisher, nil
}
