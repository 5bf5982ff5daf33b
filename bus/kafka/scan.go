package kafka

import (
	"context"
	"fmt"

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
	for left := len(from); left > 0; {
		fetches := cl.PollRecords(ctx, readAhead)
		if err := firstError(fetches); err != nil {
			return fmt.Errorf("kafka: reading topic %q: %w", topic, err)
		}
		for _, r := range fetches.Records() {
			s := of[r.Partition]
			if r.Offset >= s.to {
				continue
			}
			if !r.Attrs.IsControl() && !f(r) {
				return nil
			}
			if r.Offset == s.to-1 {
				left--
				cl.PauseFetchPartitions(map[string][]int32{topic: {r.Partition}})
			}
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
