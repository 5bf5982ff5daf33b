package memory

import (
	"context"

	"github.com/leat-go/leat/event"
)

var _ event.Scheduler = (*Channel)(nil)

// Cancel implements [event.Scheduler]. All events of the topic that have this id and
// are not due are removed: for all groups, and from what [Retain] keeps for groups
// that come later.
func (c *Channel) Cancel(ctx context.Context, topic, id string) (bool, error) {
	if err := c.usable(ctx); err != nil {
		return false, err
	}
	c.mu.RLock()
	t := c.topics[topic]
	c.mu.RUnlock()
	if t == nil {
		return false, nil
	}
	var ends []ending
	t.mu.Lock()
	found := t.ring.cancel(id)
	for _, q := range t.queues {
		q.g.mu.Lock()
		end, n := q.cancel(id)
		q.g.mu.Unlock()
		found = found || n > 0
		ends = append(ends, end)
	}
	t.mu.Unlock()
	for i := range ends {
		ends[i].run()
	}
	return found, nil
}

// isDelayed reports whether an event has this id and is not due.
func isDelayed(e *event.Event, id string) bool {
	nb := e.NotBefore()
	return e.ID() == id && !nb.IsZero() && until(nb) > 0
}

// cancel removes events that are not due and returns how many. Topic and group are
// locked.
func (q *queue) cancel(id string) (end ending, n int) {
	g := q.g
	inside := false
	q.in.each(func(en *entry) { inside = inside || isDelayed(&en.e, id) })
	if inside {
		g.unloadAll(q) // nothing is taken out of the middle of an inbox
	}
	for i := range g.slots.all {
		s := &g.slots.all[i]
		if s.state != stateDelayed || s.queue != q.index || !isDelayed(&s.e, id) {
			continue
		}
		g.undelay(int32(i))
		g.slots.remove(int32(i))
		g.progress++
		end.moved.add(q)
		n++
	}
	end.moved.flush()
	end.c = g.c
	return end, n
}

// cancel removes events that are not due.
func (r *ring) cancel(id string) bool {
	var kept []entry
	r.each(func(en entry) {
		if !isDelayed(&en.e, id) {
			kept = append(kept, en)
		}
	})
	if len(kept) == len(r.entries) {
		return false
	}
	r.entries, r.next = kept, 0
	return true
}
