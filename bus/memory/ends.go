package memory

import (
	"context"

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
