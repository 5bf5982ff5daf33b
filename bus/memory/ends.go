package memory

import (
	"cmp"
	"context"
	"slices"

	"github.com/leat-go/leat/event"
)

var _ event.Ends = (*Channel)(nil)

// Ends implements [event.Ends]. A topic has one lane.
func (c *Channel) Ends(ctx context.Context, topic string) ([]event.Position, error) {
	if err := c.usable(ctx); err != nil {
		return nil, err
	}
	c.mu.RLock()
	t := c.topics[topic]
	c.mu.RUnlock()
	if t == nil {
		return nil, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.end == 0 {
		return nil, nil
	}
	return []event.Position{{Offset: t.end}}, nil
}

// closeGaps makes one of all that is settled, for a first member: it never gets that.
// The group is locked.
func (q *queue) closeGaps() {
	var left []*slot
	for i := range q.g.slots.all {
		if s := &q.g.slots.all[i]; s.state != stateFree && s.queue == q.index {
			left = append(left, s)
		}
	}
	slices.SortFunc(left, func(a, b *slot) int { return cmp.Compare(a.offset, b.offset) })
	q.passed = 0
	for _, s := range left {
		s.gap, q.passed = max(s.offset-q.passed-1, 0), s.offset
	}
}
