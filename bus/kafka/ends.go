package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

var _ event.Ends = (*Channel)(nil)

// Ends implements [event.Ends]. It is the last record below the last stable offset that
// a consumer gets: what an open transaction has written, and all behind it, isn't
// accepted yet. The markers of transactions and what was aborted are passed over. A
// partition of which nothing is left has no end.
func (ch *Channel) Ends(ctx context.Context, topic string) ([]event.Position, error) {
	left, err := ch.stretches(ctx, topic)
	if err != nil {
		return nil, err
	}
	var ends []event.Position
	for width := int64(2); len(left) > 0; width *= 16 {
		last, err := ch.lastOf(ctx, topic, tails(left, width))
		if err != nil {
			return nil, err
		}
		for n, s := range left {
			at, found := last[n]
			switch s.to = s.to - width; {
			case found:
				ends = append(ends, event.Position{Lane: n, Offset: at + 1})
				delete(left, n)
			case s.to <= s.from:
				delete(left, n)
			default:
				left[n] = s
			}
		}
	}
	return ends, nil
}

// tails returns the last few offsets of stretches.
func tails(of map[int32]stretch, width int64) map[int32]stretch {
	out := make(map[int32]stretch, len(of))
	for n, s := range of {
		out[n] = stretch{max(s.from, s.to-width), s.to}
	}
	return out
}

// lastOf returns the offset of the last event of each stretch that has one.
func (ch *Channel) lastOf(ctx context.Context, topic string, of map[int32]stretch) (map[int32]int64, error) {
	last := make(map[int32]int64)
	err := ch.scan(ctx, topic, of, func(r *kgo.Record) bool {
		last[r.Partition] = r.Offset
		return true
	})
	return last, err
}
