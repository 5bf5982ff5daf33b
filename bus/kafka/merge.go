package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
)

// merge is scan in the order of the records' times, as far as the order within each
// partition allows. What is read ahead of one partition for want of another is
// bounded.
func (ch *Channel) merge(ctx context.Context, topic string, of map[int32]stretch, f func(*kgo.Record) bool) error {
	s, err := ch.scanner(topic, of)
	if err != nil {
		return err
	}
	defer s.close()
	m := &merger{scanner: s, ahead: make(map[int32][]*kgo.Record), paused: make(map[int32]bool)}
	for {
		r, err := m.next(ctx)
		if err != nil {
			return err
		}
		if r == nil || !f(r) {
			return nil
		}
	}
}

type merger struct {
	*scanner

	ahead  map[int32][]*kgo.Record // read and not returned
	paused map[int32]bool
}

// mergeAhead is how much is read of one partition while another has nothing.
const mergeAhead = 1000

// next returns the oldest of the next records of all partitions, or nil at the end.
func (m *merger) next(ctx context.Context) (*kgo.Record, error) {
	for !m.complete() {
		if err := m.read(ctx); err != nil {
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

func (m *merger) read(ctx context.Context) error {
	for n := range m.paused {
		if m.open[n] && len(m.ahead[n]) < mergeAhead/2 {
			m.resume(n)
			delete(m.paused, n)
		}
	}
	err := m.poll(ctx, mergeAhead, func(r *kgo.Record) {
		m.ahead[r.Partition] = append(m.ahead[r.Partition], r)
	})
	for n := range m.open {
		if len(m.ahead[n]) >= mergeAhead && !m.paused[n] {
			m.paused[n] = true
			m.pause(n)
		}
	}
	return err
}
