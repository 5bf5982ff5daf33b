package bridgeamqp

import (
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

// maxBytes is the largest message that every RabbitMQ takes by default: 4.0 and newer
// take 16 MiB, those before 128 MiB (max_message_size, rabbitmq.com/docs/configure). The
// rest is for what a dead letter carries besides.
const maxBytes = 16<<20 - 16<<10

// New returns a channel on RabbitMQ. It doesn't connect yet: a broker that can't be
// reached is an error of the first call that needs it. Its own error names every mistake
// in cfg, and nothing of the URI.
func New(cfg Config) (*watermillbridge.Channel, error) {
	ps, err := pubSub(cfg)
	if err != nil {
		return nil, err
	}
	return watermillbridge.NewChannel(ps)
}

// pubSub returns the pub/sub that the channel is made of.
func pubSub(cfg Config) (watermillbridge.PubSub, error) {
	set, err := cfg.settings()
	if err != nil {
		return watermillbridge.PubSub{}, err
	}
	l := &link{set: &set, name: "leat: publishers"}
	t := &topology{set: &set, link: l}
	return watermillbridge.PubSub{
		Publisher: newPublisher(l),
		Subscriber: func(m watermillbridge.Member) (message.Subscriber, error) {
			return newSubscriber(&set, set.shared(m.Group), m)
		},
		Private: func(m watermillbridge.Member) (message.Subscriber, error) {
			return newSubscriber(&set, set.private(), m)
		},
		EnsureTopic: t.ensureTopic,
		EnsureGroup: t.ensureGroup,
		Guarantees: event.Guarantees{
			Channel: "rabbitmq", OrderPerKey: set.Ordered, Durable: true, MaxBytes: maxBytes,
			Lease: lease(&set), MaxHold: set.ConsumerTimeout,
		},
		Subscriptions: set.Subscriptions, InOrder: true, Returns: true,
	}, nil
}

// lease returns after what time a member whose machine vanished is noticed: the broker
// closes a connection between two and three heartbeats after the last sign of life
// (rabbitmq.com/docs/heartbeats). One whose process alone died is noticed at once.
func lease(set *settings) time.Duration { return 3 * set.heartbeat }
