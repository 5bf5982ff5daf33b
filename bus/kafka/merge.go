package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// merge is scan in the order of the records' times, as far as the order within each
// partition allows. What is read ahead of one partition for want of another is
// bounded.
func (ch *Channel) merge(ctx context.Context, topic string, of map[int32]stretch, f func(*kgo.Record) bool) error {
	m := &merger{topic: topic, of: of, ahead: make(map[int32][]*kgo.Record), paused: make(map[int32]bool), open: make(map[int32]bool)}
	from := make(map[int32]kgo.Offset)
	for n, s := range of {
		if s.from < s.to {
			from[n], m.open[n] = kgo.NewOffset().At(s.from), true
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
	m.cl = cl
	for {
		r, err := m.next(ctx)
		if err != nil {
			return fmt.Errorf("kafka: reading topic %q: %w", topic, err)
		}
		if r == nil || !f(r) {
			return nil
		}
	}
}

type merger struct {
	cl     *kgo.Client
	topic  string
	of     map[int32]stretch
	open   map[int32]bool          // more is to come
	ahead  map[int32][]*kgo.Record // read and not returned
	paused map[int32]bool
}

// mergeAhead is how much is read of one partition while another has nothing.
const mergeAhead = 1000

// next returns the oldest of the next records of all partitions, or nil at the end.
func (m *merger) next(ctx context.Context) (*kgo.Record, error) {
	for !m.complete() {
		if err := m.poll(ctx); err != nil {
			return nil, err
		}
	}
	var first *kgo.Record
	for _, rs := range m.ahead {
		if len(rs) > 0 && (first == nil || older(rs[0], first)) {
			first = rs[0]
		}
	}
	if first != nil {
		m.ahead[first.Partition] = m.ahead[first.Partition][1:]
	}
	return first, nil
}

func older(a, b *kgo.Record) bool {
	if c := a.Timestamp.Compare(b.Timestamp); c != 0 {
		return c < 0
	}
	return a.Partition < b.Partition
}

// complete reports whether the next record of every partition is known.
func (m *merger) complete() bool {
	for n := range m.open {
		if len(m.ahead[n]) == 0 {
			return false
		}
	}
	return true
}

func (m *merger) poll(ctx context.Context) error {
	for n := range m.paused {
		if len(m.ahead[n]) < mergeAhead/2 {
			m.cl.ResumeFetchPartitions(map[string][]int32{m.topic: {n}})
			delete(m.paused, n)
		}
	}
	fetches := m.cl.PollRecords(ctx, mergeAhead)
	if err := firstError(fetches); err != nil {
		return err
	}
	for _, r := range fetches.Records() {
		n := r.Partition
		if r.Offset < m.of[n].to && !r.Attrs.IsControl() {
			m.ahead[n] = append(m.ahead[n], r)
		}
		if r.Offset >= m.of[n].to-1 {
			delete(m.open, n)
		}
		if (!m.open[n] || len(m.ahead[n]) >= mergeAhead) && !m.paused[n] {
			m.paused[n] = true
			m.cl.PauseFetchPartitions(map[string][]int32{m.topic: {n}})
		}
	}
	return nil
}
