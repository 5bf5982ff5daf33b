package killtest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Read returns all records of a topic of Kafka, in the order of each partition.
func Read(ctx context.Context, brokers []string, topic string) ([]*kgo.Record, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	if err := ends.Error(); err != nil {
		return nil, err
	}
	open := make(map[int32]int64)
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			open[o.Partition] = o.Offset
		}
	})
	var all []*kgo.Record
	for len(open) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("%d partitions of %s are not read: %w", len(open), topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			all = append(all, r)
			if end, ok := open[r.Partition]; ok && r.Offset >= end-1 {
				delete(open, r.Partition)
			}
		})
	}
	return all, nil
}

// ID returns the id of the event that a record is.
func ID(r *kgo.Record) string {
	for _, h := range r.Headers {
		if h.Key == "ce_id" {
			return string(h.Value)
		}
	}
	return ""
}

// RemoveAtEnd removes from Kafka, at the end of the test, all topics and groups whose name
// begins with a prefix.
func RemoveAtEnd(tb testing.TB, brokers []string, prefix string) {
	tb.Helper()
	tb.Cleanup(func() {
		cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
		if err != nil {
			tb.Error(err)
			return
		}
		defer cl.Close()
		ctx, adm := context.WithoutCancel(tb.Context()), kadm.NewClient(cl)
		topics, err := adm.ListTopics(ctx)
		if err != nil {
			tb.Error(err)
			return
		}
		var names []string
		for _, name := range topics.Names() {
			if strings.HasPrefix(name, prefix) {
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			if _, err := adm.DeleteTopics(ctx, names...); err != nil {
				tb.Error(err)
			}
		}
		groups, err := adm.ListGroups(ctx)
		if err != nil {
			tb.Error(err)
			return
		}
		names = nil
		for _, name := range groups.Groups() {
			if strings.HasPrefix(name, prefix) {
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			if _, err := adm.DeleteGroups(ctx, names...); err != nil { // one whose members are not gone yet is forgotten in time
				tb.Log(err)
			}
		}
	})
}
