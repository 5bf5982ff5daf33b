package memory

import (
	"context"
	"time"

	"github.com/leat-go/leat/event"
)

var _ event.Scheduler = (*Channel)(nil)

// Cancel implements [event.Scheduler]. All events of the topic that have this id and
// are not due are removed: for all groups, and from what [Retain] keeps for groups
// that come later. What is due is decided once, for all of them.
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
	found, ends := t.cancel(id)
	for i := range ends {
		ends[i].run()
	}
	return found, nil
}

// cancel removes events that are not due. The time is taken when all groups are
// locked: what was delivered by then was due, and nothing is delivered until the event
// is gone from all of them.
func (t *topic) cancel(id string) (found bool, ends []ending) {
	t.c.passing.Lock() // for more than one group
	defer t.c.passing.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, q := range t.queues {
		q.g.mu.Lock()
	}
	what := scheduled{id, time.Now()}
	found = t.ring.cancel(what)
	for _, q := range t.queues {
		end, n := q.cancel(what)
		q.g.mu.Unlock()
		found = found || n > 0
		ends = append(ends, end)
	}
	return found, ends
}

// scheduled is the events of an id that are not due at a time.
type scheduled struct {
	id  string
	now time.Time
}

func (s scheduled) has(e *event.Event) bool {
	return e.ID() == s.id && e.NotBefore().After(s.now)
}

// cancel removes events that are not due and returns how many. Topic and group are
// locked.
func (q *queue) cancel(what scheduled) (end ending, n int) {
	g := q.g
	inside := false
	q.in.each(func(en *entry) { inside = inside || what.has(&en.e) })
	if inside {
		n = q.unloadBut(what, &end)
	}
	for i := range g.slots.all {
		s := &g.slots.all[i]
		if s.state != stateDelayed || s.queue != q.index || !what.has(&s.e) {
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

// unloadBut empties the inbox and drops what is cancelled: nothing is taken out of the
// middle of an inbox.
func (q *queue) unloadBut(what scheduled, end *ending) (n int) {
	g := q.g
	for range q.in.len() {
		if what.has(&q.in.front().e) {
			q.in.take()
			g.progress++
			end.moved.add(q)
			n++
			continue
		}
		if si, due := g.unload(q); due {
			g.giveReady(si, false)
		}
	}
	return n
}

// cancel removes events that are not due.
func (r *ring) cancel(what scheduled) bool {
	var kept []entry
	r.each(func(en entry) {
		if !what.has(&en.e) {
			kept = append(kept, en)
		}
	})
	if len(kept) == len(r.entries) {
		return false
	}
	r.entries, r.next = kept, 0
	return true
}
