package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// peekBytes bounds what one request returns of a partition; a larger batch comes whole.
const peekBytes = 64 << 10

var decompressor = kgo.DefaultDecompressor()

// readTails reads what searches are at, uncommitted records and markers too. There is no
// waiting: that there is nothing is an answer.
func (ch *Channel) readTails(ctx context.Context, topic string, of map[int32]*search) error {
	for moved := true; moved; { // an answer has a batch at least, if there is one
		got, err := ch.peek(ctx, topic, of)
		if err != nil {
			return err
		}
		moved = false
		for i := range got {
			s, asked := of[got[i].Partition]
			if !asked {
				continue
			}
			part, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
				KeepControlRecords: true, Offset: s.next, Topic: topic, Partition: got[i].Partition,
			}, &got[i], decompressor, nil)
			if part.Err != nil {
				return fmt.Errorf("partition %d: %w", part.Partition, part.Err)
			}
			s.read = append(s.read, part.Records...)
			moved = moved || next > s.next
			s.next = next
		}
	}
	return nil
}

// peek asks the leaders for records.
func (ch *Channel) peek(ctx context.Context, topic string, of map[int32]*search) (got []kmsg.FetchResponseTopicPartition, err error) {
	cl, err := ch.use()
	if err != nil {
		return nil, err
	}
	reqs, err := peeks(ctx, cl, topic, of)
	if err != nil {
		return nil, err
	}
	for leader, req := range reqs {
		res, err := req.RequestWith(ctx, cl.Broker(int(leader)))
		if err == nil {
			err = kerr.ErrorForCode(res.ErrorCode)
		}
		if err != nil {
			return nil, err
		}
		for _, t := range res.Topics {
			got = append(got, t.Partitions...)
		}
	}
	return got, nil
}

// peeks returns what to ask each leader.
func peeks(ctx context.Context, cl *kgo.Client, topic string, of map[int32]*search) (map[int32]*kmsg.FetchRequest, error) {
	ask := kmsg.NewPtrMetadataRequest()
	name := kmsg.NewMetadataRequestTopic()
	name.Topic = &topic
	ask.Topics = append(ask.Topics, name)
	meta, err := cl.RequestCachedMetadata(ctx, ask, 0)
	if err != nil {
		return nil, err
	}
	if len(meta.Topics) != 1 {
		return nil, kerr.UnknownTopicOrPartition
	}
	t := meta.Topics[0]
	if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
		return nil, err
	}
	leaders := make(map[int32]int32)
	for _, p := range t.Partitions {
		leaders[p.Partition] = p.Leader
	}
	reqs := make(map[int32]*kmsg.FetchRequest)
	for n, s := range of {
		if s.next >= s.left.to {
			continue
		}
		leader, known := leaders[n]
		if !known || leader < 0 {
			return nil, kerr.LeaderNotAvailable
		}
		if reqs[leader] == nil {
			reqs[leader] = newPeek(topic, t.TopicID)
		}
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = n, s.next, peekBytes
		to := &reqs[leader].Topics[0]
		to.Partitions = append(to.Partitions, p)
	}
	return reqs, nil
}

func newPeek(topic string, id [16]byte) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = topic, id
	req.Topics = append(req.Topics, t)
	return req
}
