package bridgekafka

import (
	"context"
	"errors"
	"strings"

	"github.com/ThreeDotsLabs/watermill/message"
)

// subscriber subscribes to the redrive topics of a group as another Kafka group: each of
// Watermill's subscriptions is a member, and one that joins takes from all others of its
// group what they have in hand.
type subscriber struct {
	main, redrives message.Subscriber
	group          string
}

// Subscribe implements [message.Subscriber].
func (s *subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if kafkaGroup(s.group, topic) != s.group {
		return s.redrives.Subscribe(ctx, topic)
	}
	return s.main.Subscribe(ctx, topic)
}

// Close implements [message.Subscriber].
func (s *subscriber) Close() error { return errors.Join(s.main.Close(), s.redrives.Close()) }

func redriveGroup(group string) string { return group + ".redrive" }

// kafkaGroup returns the Kafka group by which a group reads a topic.
func kafkaGroup(group, topic string) string {
	if strings.HasSuffix(topic, "."+group+".redrive") {
		return redriveGroup(group)
	}
	return group
}
