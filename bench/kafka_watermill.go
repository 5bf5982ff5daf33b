package bench

import (
	"context"

	wkafka "github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
)

// keyHeader is where Watermill's messages have their key.
const keyHeader = "key"

// marshaler keeps order by key, as leat does.
var marshaler = wkafka.NewWithPartitioningMarshaler(func(_ string, m *message.Message) (string, error) {
	return m.Metadata.Get(keyHeader), nil
})

// produceWatermill publishes as safely as leat does: acknowledged by all, idempotent.
func (k Kafka) produceWatermill() (*Stream, error) {
	topic, remove, err := k.topic()
	if err != nil {
		return nil, err
	}
	cfg := wkafka.DefaultSaramaSyncPublisherConfig()
	cfg.Version = sarama.V3_0_0_0
	cfg.Producer.RequiredAcks = sarama.WaitForAll
	cfg.Producer.Idempotent = true
	cfg.Producer.Compression = sarama.CompressionLZ4
	cfg.Net.MaxOpenRequests = 1
	p, err := wkafka.NewPublisher(wkafka.PublisherConfig{
		Brokers: k.Brokers, Marshaler: marshaler, OverwriteSaramaConfig: cfg,
	}, watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	data := make([]byte, k.Size)
	return &Stream{
		Run: func(n int) error {
			return each(n, func(i int) error {
				m := message.NewMessage(watermill.NewULID(), data)
				m.Metadata.Set(keyHeader, keys[i%len(keys)])
				return p.Publish(topic, m)
			})
		},
		Close: func() error { defer remove(); return p.Close() },
	}, nil
}

func (k Kafka) consumeWatermill() (*Stream, error) {
	topic, remove, err := k.topic()
	if err != nil {
		return nil, err
	}
	watch := new(stopwatch)
	return &Stream{
		Prepare: func(n int) error { return k.fill(topic, n) },
		Run: func(n int) error {
			if err := watch.watch(context.Background(), k.Brokers, topic); err != nil {
				return err
			}
			cfg := wkafka.DefaultSaramaSubscriberConfig()
			cfg.Version = sarama.V3_0_0_0
			cfg.Consumer.Offsets.Initial = sarama.OffsetOldest
			s, err := wkafka.NewSubscriber(wkafka.SubscriberConfig{
				Brokers: k.Brokers, Unmarshaler: marshaler, ConsumerGroup: topic, OverwriteSaramaConfig: cfg,
			}, watermill.NopLogger{})
			if err != nil {
				return err
			}
			messages, err := s.Subscribe(context.Background(), topic)
			if err != nil {
				return err
			}
			for range n {
				m := <-messages
				m.Ack()
			}
			watch.ended()
			return s.Close()
		},
		Measured: watch.measured,
		Close:    func() error { remove(); return nil },
	}, nil
}
