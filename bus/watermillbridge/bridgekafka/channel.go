package bridgekafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	wkafka "github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

// unacked is how many partitions of a subscription are handled at once.
const unacked = 256

// New returns a channel on a cluster. Brokers that can't be reached are an error.
func New(cfg Config) (*watermillbridge.Channel, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	settings, err := cfg.settings()
	if err != nil {
		return nil, err
	}
	client, err := sarama.NewClient(cfg.Brokers, settings)
	if err != nil {
		return nil, fmt.Errorf("bridgekafka: %q: %w", cfg.Brokers, err)
	}
	pub, err := wkafka.NewPublisher(wkafka.PublisherConfig{
		Brokers: cfg.Brokers, Marshaler: marshaler{}, OverwriteSaramaConfig: settings,
	}, watermill.NopLogger{})
	if err != nil {
		return nil, fmt.Errorf("bridgekafka: %q: %w", cfg.Brokers, errors.Join(err, client.Close()))
	}
	k := &cluster{cfg: cfg, settings: settings, client: client, sessions: newSessions()}
	return watermillbridge.NewChannel(watermillbridge.PubSub{
		Publisher: pub, Subscriber: k.subscriber, Private: k.private,
		EnsureTopic: k.ensureTopic, EnsureGroup: k.ensureGroup,
		Lost: k.sessions.lost, Close: client.Close,
		Guarantees: event.Guarantees{
			Channel: "watermill-kafka", OrderPerKey: true, Durable: true, History: true,
			MaxBytes: cfg.MaxBytes - letterRoom, Lease: cfg.SessionTimeout,
		},
		Subscriptions: cfg.Subscriptions, Unacked: unacked, InOrder: true,
	})
}

// cluster is what subscribers are made for.
type cluster struct {
	cfg      Config
	settings *sarama.Config
	client   sarama.Client
	sessions *sessions
}

func (k *cluster) subscriber(m watermillbridge.Member) (message.Subscriber, error) {
	of := func(group string) (message.Subscriber, error) {
		return wkafka.NewSubscriber(wkafka.SubscriberConfig{
			Brokers: k.cfg.Brokers, Unmarshaler: marshaler{}, OverwriteSaramaConfig: k.settings,
			ConsumerGroup: group, Tracer: k.sessions,
		}, m.Logger)
	}
	main, err := of(m.Group)
	if err != nil {
		return nil, err
	}
	redrives, err := of(redriveGroup(m.Group))
	if err != nil {
		return nil, errors.Join(err, main.Close())
	}
	return &subscriber{main, redrives, m.Group}, nil
}

// private returns a subscriber of all partitions, from their ends on.
func (k *cluster) private(m watermillbridge.Member) (message.Subscriber, error) {
	settings := *k.settings
	settings.Consumer.Offsets.Initial = sarama.OffsetNewest
	return wkafka.NewSubscriber(wkafka.SubscriberConfig{
		Brokers: k.cfg.Brokers, Unmarshaler: marshaler{}, OverwriteSaramaConfig: &settings,
	}, m.Logger)
}

// ensureTopic makes a topic, and waits until all its partitions have leaders.
func (k *cluster) ensureTopic(ctx context.Context, topic string) error {
	s, err := wkafka.NewSubscriber(wkafka.SubscriberConfig{
		Brokers: k.cfg.Brokers, Unmarshaler: marshaler{}, OverwriteSaramaConfig: k.settings,
		InitializeTopicDetails: &sarama.TopicDetail{
			NumPartitions: int32(orDefault(k.cfg.Partitions)), ReplicationFactor: int16(orDefault(k.cfg.Replicas)),
		},
	}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	if _, err := k.client.Partitions(topic); err == nil {
		return nil
	}
	if err := s.SubscribeInitializeWithContext(ctx, topic); err != nil {
		return err
	}
	return k.client.RefreshMetadata(topic)
}

// orDefault returns what stands for the broker's default on the wire.
func orDefault(n int) int {
	if n == 0 {
		return -1
	}
	return n
}
