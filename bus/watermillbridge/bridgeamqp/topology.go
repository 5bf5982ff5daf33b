package bridgeamqp

import (
	"context"
	"fmt"
	"math"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/leat-go/leat/event"
)

// longest is how long a name can be. The client library cuts what is longer in silence:
// two groups would share a queue.
const longest = 255

// shared returns the library's settings for a group: a fanout exchange for each topic, and
// a queue for each group on it, by the names that services on watermill-amqp use.
func (s *settings) shared(group string) amqp.Config {
	cfg := amqp.NewDurablePubSubConfig(s.URI, amqp.GenerateQueueNameTopicNameWithSuffix(group))
	cfg.Queue.Arguments = make(amqp091.Table)
	if s.Ordered {
		cfg.Queue.Arguments["x-single-active-consumer"] = true
	}
	if s.Quorum {
		cfg.Queue.Arguments["x-queue-type"] = "quorum"
		// RabbitMQ 4 drops a message that came back 20 times, unless there is another
		// limit. Where there is none what comes back goes behind all others.
		cfg.Queue.Arguments["x-delivery-limit"] = int64(math.MaxInt32)
	}
	return cfg
}

// private returns the library's settings for a queue that ends with its connection. It is
// not auto-deleted besides: then it would be gone whenever its subscriptions are opened
// anew.
func (s *settings) private() amqp.Config {
	cfg := amqp.NewDurablePubSubConfig(s.URI, amqp.GenerateQueueNameTopicNameWithSuffix("private_"+event.NewID()))
	cfg.Queue.Durable, cfg.Queue.Exclusive = false, true
	return cfg
}

// topology makes exchanges and queues.
type topology struct {
	set  *settings
	link *link
}

func (t *topology) ensureTopic(ctx context.Context, topic string) error {
	if err := checkName("the exchange", topic); err != nil {
		return err
	}
	return t.link.use(ctx, func(ch *amqp091.Channel) error { return declare(ch, topic) })
}

func (t *topology) ensureGroup(ctx context.Context, group, topic string, _ event.Start) error {
	cfg := t.set.shared(group)
	names := amqp.BuildTopologyParams{Topic: topic, ExchangeName: topic, QueueName: cfg.Queue.GenerateName(topic)}
	if err := checkName("the queue", names.QueueName); err != nil {
		return err
	}
	return t.link.use(ctx, func(ch *amqp091.Channel) error {
		return cfg.TopologyBuilder.BuildTopology(ch, names, cfg, watermill.NopLogger{})
	})
}

// declare makes the exchange of a topic, as the library does.
func declare(ch *amqp091.Channel, topic string) error {
	if err := ch.ExchangeDeclare(topic, amqp091.ExchangeFanout, true, false, false, false, nil); err != nil {
		return fmt.Errorf("declare the exchange: %w", err)
	}
	return nil
}

func checkName(what, name string) error {
	if len(name) > longest {
		return fmt.Errorf("the name of %s is %d bytes, and can have %d: %q", what, len(name), longest, name)
	}
	return nil
}
