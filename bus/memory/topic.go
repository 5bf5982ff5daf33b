package memory

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/leat-go/leat/event"
)

// topic is a named stream. Its mutex makes the order in which events are accepted;
// it is held for list work only. Where a topic and a group are locked together, the
// topic is locked first.
type topic struct {
	c    *Channel
	name string

	blocked atomic.Int32 // publishers in line

	mu     sync.Mutex
	closed bool
	queues []*queue // one for each group; the slice is never changed, only replaced
	offset int64    // of the event accepted last
	end    int64    // of the last one that was accepted for every group
	room   int      // events that may come before the bounds are looked at again; 0 while publishers are in line
	line   []*blockedPublisher
	ring   ring
}

// ring keeps the last events of a topic for groups that come later.
type ring struct {
	entries []entry
	next    int
}

func (r *ring) add(n int, en entry) {
	if len(r.entries) < n {
		r.entries = append(r.entries, en)
		return
	}
	r.entries[r.next] = en
	r.next = (r.next + 1) % n
}

// each calls f for all entries, oldest first.
func (r *ring) each(f func(entry)) {
	for i := range r.entries {
		f(r.entries[(r.next+i)%len(r.entries)])
	}
}

// batch is what one call appends.
type batch struct {
	events    []event.Event
	positions []event.Position // to be filled, or nil
	only      *group           // nil: for every group
	mark      event.Mark
	told      []func(event.Event) // who is told once it is accepted
}

// cut returns a part of the batch.
func (b *batch) cut(from, n int) batch {
	p := *b
	p.told = nil
	p.events = b.events[from : from+n]
	if b.positions != nil {
		p.positions = b.positions[from : from+n]
	}
	return p
}

// targets returns the queues that a batch is for. The topic is locked.
func (t *topic) targets(b *batch) []*queue {
	if b.only == nil {
		return t.queues
	}
	for i, q := range t.queues {
		if q.g == b.only {
			return t.queues[i : i+1]
		}
	}
	return nil
}

// accept appends events that there is room for, and wakes nobody. The topic is locked.
func (t *topic) accept(b *batch, queues []*queue) {
	at := t.c.now()
	first := t.offset + 1
	t.offset += int64(len(b.events))
	if b.only == nil {
		t.end = t.offset
	}
	for _, q := range queues {
		if at < q.since {
			continue
		}
		tell, n := q.tell.Load(), 0
		if tell != nil {
			b.told = append(b.told, *tell)
		}
		for i, e := range b.events {
			if tell != nil && atOnce(e) {
				continue
			}
			q.in.put(entry{e, at, marked(first+int64(i), b.mark)})
			n++
		}
		q.in.publish(n)
	}
	if keep := t.c.cfg.retain; keep > 0 && b.only == nil {
		for i, e := range b.events {
			t.ring.add(keep, entry{e, at, marked(first+int64(i), b.mark)})
		}
	}
	for i := range b.positions {
		b.positions[i] = event.Position{Offset: first + int64(i)}
	}
}

// atOnce reports whether an event can be told: it isn't to come later.
func atOnce(e event.Event) bool { return e.NotBefore().IsZero() }

// tell tells those who are told what was accepted. Nothing is locked.
func (b *batch) tell() {
	for _, tell := range b.told {
		for _, e := range b.events {
			if atOnce(e) {
				tell(e)
			}
		}
	}
}

// wake wakes a consumer of each queue, unless it was told of all that came. Nothing is
// locked.
func wake(queues []*queue) {
	for _, q := range queues {
		g := q.g
		if g.idle.Load() == 0 {
			continue
		}
		g.mu.Lock()
		if q.tell.Load() == nil || q.in.len() > 0 {
			g.wakeAny(q)
		}
		g.mu.Unlock()
	}
}

// produce appends events in order and returns how many were accepted; the error
// is the reason for the rest. The events are valid.
func (t *topic) produce(ctx context.Context, b *batch) (int, error) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return 0, event.ErrClosed
	}
	if len(b.events) > t.room || b.only != nil {
		return t.produceTight(ctx, b) // unlocks
	}
	t.room -= len(b.events)
	queues := t.queues
	t.accept(b, queues)
	t.mu.Unlock()
	wake(queues)
	b.tell()
	if t.c.waits.Load() > 0 {
		t.c.wentOut(ctx)
	}
	return len(b.events), nil
}

// fullest returns the group of queues that is furthest behind.
func fullest(queues []*queue) (q *queue, unsettled int) {
	for _, other := range queues {
		if n := other.unsettled(); q == nil || n > unsettled {
			q, unsettled = other, n
		}
	}
	return q, unsettled
}

// look returns how many events may come until the fullest group is at the bound.
func (t *topic) look(queues []*queue) int {
	q, unsettled := fullest(queues)
	if q == nil {
		return math.MaxInt
	}
	return max(t.c.cfg.capacity-unsettled, 0)
}

// attach makes the queue of a group on the topic and hands it what the topic has
// kept. Topic and group are locked.
func (t *topic) attach(g *group, index int32, from event.Start) *queue {
	q := &queue{t: t, g: g, index: index}
	q.in.init()
	switch from.Kind {
	case event.StartNewest:
		q.since = 0
	case event.StartSince:
		q.since = t.c.clock(from.Time)
		fallthrough
	default:
		n := 0
		t.ring.each(func(en entry) {
			if en.at >= q.since {
				q.in.put(en)
				n++
			}
		})
		q.in.publish(n)
	}
	t.queues = append(slices.Clip(t.queues), q)
	t.room = 0
	return q
}

// detach takes a queue off the topic, with all that is in it. Topic and group are
// locked.
func (t *topic) detach(q *queue) {
	t.queues = slices.DeleteFunc(slices.Clone(t.queues), func(o *queue) bool { return o == q })
	t.room = 0
	q.g.drop(q)
}
