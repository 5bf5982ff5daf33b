package bridgekafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/IBM/sarama"

	"github.com/leat-go/leat/event"
)

// ensureGroup lets a group begin on a topic, unless it has begun: its place is committed
// before anybody joins, or events that are published before its first commit would be
// behind it, or in front of it, by chance.
func (k *cluster) ensureGroup(_ context.Context, group, topic string, from event.Start) error {
	begun, err := k.committed(group, topic)
	if err != nil {
		return err
	}
	starts := make(map[int32]int64)
	for n, is := range begun {
		if is {
			continue
		}
		if starts[n], err = k.start(topic, n, from); err != nil {
			return fmt.Errorf("partition %d: %w", n, err)
		}
	}
	if len(starts) == 0 {
		return nil
	}
	return k.commit(group, topic, starts)
}

// committed tells of each partition of a topic whether the group has a place there.
func (k *cluster) committed(group, topic string) (map[int32]bool, error) {
	partitions, err := k.client.Partitions(topic)
	if err != nil {
		return nil, err
	}
	ask := &sarama.OffsetFetchRequest{Version: 1, ConsumerGroup: group}
	for _, n := range partitions {
		ask.AddPartition(topic, n)
	}
	out := make(map[int32]bool)
	err = k.coordinate(group, func(b *sarama.Broker) error {
		answer, err := b.FetchOffset(ask)
		if err != nil {
			return err
		}
		for _, n := range partitions {
			block := answer.GetBlock(topic, n)
			if block == nil {
				return fmt.Errorf("no offset of partition %d", n)
			}
			if !errors.Is(block.Err, sarama.ErrNoError) {
				return block.Err
			}
			out[n] = block.Offset >= 0
		}
		return nil
	})
	return out, err
}

// start returns the offset where a group begins.
func (k *cluster) start(topic string, n int32, from event.Start) (int64, error) {
	at := sarama.OffsetOldest
	switch from.Kind {
	case event.StartDefault, event.StartOldest:
	case event.StartNewest:
		at = sarama.OffsetNewest
	case event.StartSince:
		at = from.Time.UnixMilli()
	}
	offset, err := k.client.GetOffset(topic, n, at)
	if err != nil || offset >= 0 {
		return offset, err
	}
	return k.client.GetOffset(topic, n, sarama.OffsetNewest) // nothing is as late as that
}

// commit writes where a group begins.
func (k *cluster) commit(group, topic string, starts map[int32]int64) error {
	say := &sarama.OffsetCommitRequest{Version: 2, ConsumerGroup: group, ConsumerGroupGeneration: sarama.GroupGenerationUndefined, RetentionTime: -1}
	for n, offset := range starts {
		say.AddBlock(topic, n, offset, sarama.ReceiveTime, "")
	}
	return k.coordinate(group, func(b *sarama.Broker) error {
		answer, err := b.CommitOffset(say)
		if err != nil {
			return err
		}
		for _, partitions := range answer.Errors {
			for _, err := range partitions {
				if errors.Is(err, sarama.ErrUnknownMemberId) || errors.Is(err, sarama.ErrIllegalGeneration) {
					return nil // it has members: they begin at the oldest
				}
				if !errors.Is(err, sarama.ErrNoError) {
					return err
				}
			}
		}
		return nil
	})
}

// coordinate asks the coordinator of a group, and the next one when it has moved.
func (k *cluster) coordinate(group string, ask func(*sarama.Broker) error) error {
	var err error
	for range k.settings.Metadata.Retry.Max + 1 {
		var b *sarama.Broker
		if b, err = k.client.Coordinator(group); err == nil {
			if err = ask(b); err == nil {
				return nil
			}
		}
		if !moved(err) {
			return err
		}
		if err := k.client.RefreshCoordinator(group); err != nil {
			return err
		}
	}
	return err
}

func moved(err error) bool {
	for _, is := range []error{
		sarama.ErrNotCoordinatorForConsumer, sarama.ErrConsumerCoordinatorNotAvailable, sarama.ErrOffsetsLoadInProgress, sarama.ErrNotConnected,
	} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}
