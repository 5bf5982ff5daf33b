package bridgekafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/leat-go/leat/event"
)

// ensureGroup lets a group begin on a topic, unless it has begun: its place is committed
// before anybody joins, or events that are published before its first commit would be
// behind it, or in front of it, by chance.
func (k *cluster) ensureGroup(ctx context.Context, group, topic string, from event.Start) error {
	group = kafkaGroup(group, topic)
	begun, err := k.committed(ctx, group, topic)
	if err != nil {
		return err
	}
	starts := make(map[int32]int64)
	for n, is := range begun {
		if is {
			continue
		}
		err := k.again(ctx, func() (err error) {
			starts[n], err = k.start(topic, n, from)
			return err
		}, func() error { return k.client.RefreshMetadata(topic) })
		if err != nil {
			return fmt.Errorf("partition %d: %w", n, err)
		}
	}
	if len(starts) == 0 {
		return nil
	}
	return k.commit(ctx, group, topic, starts)
}

// committed tells of each partition of a topic whether the group has a place there.
func (k *cluster) committed(ctx context.Context, group, topic string) (map[int32]bool, error) {
	partitions, err := k.client.Partitions(topic)
	if err != nil {
		return nil, err
	}
	ask := &sarama.OffsetFetchRequest{Version: 1, ConsumerGroup: group}
	for _, n := range partitions {
		ask.AddPartition(topic, n)
	}
	out := make(map[int32]bool)
	err = k.coordinate(ctx, group, func(b *sarama.Broker) error {
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
func (k *cluster) commit(ctx context.Context, group, topic string, starts map[int32]int64) error {
	say := &sarama.OffsetCommitRequest{
		Version: 2, ConsumerGroup: group, ConsumerGroupGeneration: sarama.GroupGenerationUndefined, RetentionTime: -1,
	}
	for n, offset := range starts {
		say.AddBlock(topic, n, offset, sarama.ReceiveTime, "")
	}
	return k.coordinate(ctx, group, func(b *sarama.Broker) error {
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

// coordinate asks the coordinator of a group.
func (k *cluster) coordinate(ctx context.Context, group string, ask func(*sarama.Broker) error) error {
	return k.again(ctx, func() error {
		b, err := k.client.Coordinator(group)
		if err != nil {
			return err
		}
		return ask(b)
	}, func() error { return k.client.RefreshCoordinator(group) })
}

const (
	settleTime  = 15 * time.Second // how long a leader or a coordinator may be on its way
	settlePause = 100 * time.Millisecond
)

// again asks until what is asked for has a leader that answers; look finds out who leads.
func (k *cluster) again(ctx context.Context, ask, look func() error) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for {
		err := ask()
		if !moves(err) {
			return err
		}
		pause := time.NewTimer(settlePause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return err
		}
		_ = look() // the next answer tells
	}
}

// moves reports whether an error is one of somebody who doesn't lead, or not yet.
func moves(err error) bool {
	for _, is := range []error{
		sarama.ErrNotLeaderForPartition, sarama.ErrLeaderNotAvailable, sarama.ErrUnknownTopicOrPartition,
		sarama.ErrNotCoordinatorForConsumer, sarama.ErrConsumerCoordinatorNotAvailable, sarama.ErrOffsetsLoadInProgress,
		sarama.ErrNotConnected, sarama.ErrBrokerNotAvailable,
	} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}
