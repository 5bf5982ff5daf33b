package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// stretch is offsets of a partition, from one up to before another.
type stretch struct{ from, to int64 }

// scan calls f with the records of stretches of a topic, those of a partition in
// order, until f returns false.
func (ch *Channel) scan(ctx context.Context, topic string, of map[int32]stretch, f func(*kgo.Record) bool) error {
	from := make(map[int32]kgo.Offset)
	for n, s := range of {
		if s.from < s.to {
			from[n] = kgo.NewOffset().At(s.from)
		}
	}
	if len(from) == 0 {
		return nil
	}
	cl, err := kgo.NewClient(ch.options(
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
	)...)
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	defer cl.Close()
	for len(from) > 0 {
		poll, cancel := context.WithTimeout(ctx, time.Second)
		fetches := cl.PollRecords(poll, readAhead)
		cancel()
		err := firstError(fetches)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			err = ch.passOver(ctx, topic, of, from)
		}
		if err != nil {
			return fmt.Errorf("kafka: reading topic %q: %w", topic, err)
		}
		for _, r := range fetches.Records() {
			to := of[r.Partition].to
			if r.Offset < to && !r.Attrs.IsControl() && !f(r) {
				return nil
			}
			if _, open := from[r.Partition]; open && r.Offset >= to-1 { // the last may be removed meanwhile
				delete(from, r.Partition)
				cl.PauseFetchPartitions(map[string][]int32{topic: {r.Partition}})
			}
		}
	}
	return nil
}

// passOver takes out the partitions of which all was removed that is to be read.
func (ch *Channel) passOver(ctx context.Context, topic string, of map[int32]stretch, from map[int32]kgo.Offset) error {
	adm, err := ch.admin()
	if err != nil {
		return err
	}
	starts, err := listed(ctx, adm.ListStartOffsets, topic)
	if unknown(err) { // so was the topic
		clear(from)
		return nil
	}
	if err != nil {
		return err
	}
	for n, start := range starts[topic] {
		if start.Offset >= of[n].to {
			delete(from, n)
		}
	}
	return nil
}

func firstError(fetches kgo.Fetches) error {
	for _, e := range fetches.Errors() {
		return e.Err
	}
	return nil
}
