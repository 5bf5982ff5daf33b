package memory

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"

	"github.com/leat-go/leat/event"
)

// deadStore is the dead letters of a group on a topic, oldest first.
type deadStore struct {
	letters []deadLetter
	last    uint64 // number of the newest ever
}

type deadLetter struct {
	number uint64
	e      event.Event
	at     int64 // when the event was accepted
	failed int64
	offset int64
	cause  event.Cause
}

func (d *deadStore) find(number uint64) (int, bool) {
	return slices.BinarySearchFunc(d.letters, number, func(l deadLetter, n uint64) int {
		switch {
		case l.number < n:
			return -1
		case l.number > n:
			return 1
		}
		return 0
	})
}

func (d *deadStore) remove(i int) {
	d.letters = slices.Delete(d.letters, i, i+1)
	if len(d.letters) == 0 {
		d.letters = nil
	}
}

// bury records the event of a slot as a dead letter. An ephemeral group has none.
func (g *group) bury(q *queue, s *slot, cause *event.Cause) error {
	if g.ephemeral {
		return nil
	}
	if len(q.dead.letters) >= g.c.cfg.dead {
		return fmt.Errorf("memory: %d dead letters of group %q on topic %q: %w", len(q.dead.letters), g.name, q.t.name, event.ErrFull)
	}
	q.dead.last++
	l := deadLetter{number: q.dead.last, e: s.e, at: s.at, failed: g.c.now(), offset: s.offset}
	if cause != nil {
		l.cause = cause.Bounded()
	}
	q.dead.letters = append(q.dead.letters, l)
	return nil
}

// DeadLetters implements [event.DeadLetters]. It yields those that are there when
// the iteration begins; the loop may redrive and discard them. A group that doesn't
// exist has none.
func (c *Channel) DeadLetters(ctx context.Context, topic, group string) iter.Seq2[event.DeadLetter, error] {
	return func(yield func(event.DeadLetter, error) bool) {
		q, unlock, err := c.lockQueue(ctx, topic, group)
		if errors.Is(err, event.ErrNotFound) {
			return
		}
		if err != nil {
			yield(event.DeadLetter{}, err)
			return
		}
		letters := slices.Clone(q.dead.letters)
		unlock()
		for i := range letters {
			if err := ctx.Err(); err != nil {
				yield(event.DeadLetter{}, err)
				return
			}
			if !yield(c.describe(topic, group, &letters[i]), nil) {
				return
			}
		}
	}
}

func (c *Channel) describe(topic, group string, l *deadLetter) event.DeadLetter {
	return event.DeadLetter{
		Handle:   strconv.FormatUint(l.number, 10),
		Topic:    topic,
		Group:    group,
		Event:    l.e,
		Position: event.Position{Offset: l.offset},
		Cause:    l.cause,
		FailedAt: c.wall(l.failed),
	}
}

// lockQueue returns the queue of a group on a topic with topic and group locked.
func (c *Channel) lockQueue(ctx context.Context, topic, group string) (q *queue, unlock func(), err error) {
	if err := c.usable(ctx); err != nil {
		return nil, nil, err
	}
	c.mu.RLock()
	t, g := c.topics[topic], c.byName[group]
	c.mu.RUnlock()
	if t != nil && g != nil {
		t.mu.Lock()
		g.mu.Lock()
		unlock = func() {
			g.mu.Unlock()
			t.mu.Unlock()
		}
		for _, q := range g.queues {
			if q != nil && q.t == t {
				return q, unlock, nil
			}
		}
		unlock()
	}
	return nil, nil, fmt.Errorf("memory: group %q on topic %q: %w", group, topic, event.ErrNotFound)
}

// lockLetter returns where a dead letter stands, with topic and group locked.
func (c *Channel) lockLetter(ctx context.Context, d event.DeadLetter) (q *queue, i int, unlock func(), err error) {
	q, unlock, err = c.lockQueue(ctx, d.Topic, d.Group)
	if err != nil {
		return nil, 0, nil, err
	}
	if number, bad := strconv.ParseUint(d.Handle, 10, 64); bad == nil {
		if i, ok := q.dead.find(number); ok {
			return q, i, unlock, nil
		}
	}
	unlock()
	return nil, 0, nil, fmt.Errorf("memory: dead letter %q of group %q on topic %q: %w", d.Handle, d.Group, d.Topic, event.ErrNotFound)
}

// Discard implements [event.DeadLetters].
func (c *Channel) Discard(ctx context.Context, d event.DeadLetter) error {
	q, i, unlock, err := c.lockLetter(ctx, d)
	if err != nil {
		return err
	}
	q.dead.remove(i)
	unlock()
	return nil
}

// Redrive implements [event.DeadLetters]. The event takes its old place: it comes
// before newer ones of its key that were not delivered yet. It needs no room, since
// the channel has it already. A repaired event gets the id of the failed one as its
// causation id, whatever it had.
func (c *Channel) Redrive(ctx context.Context, d event.DeadLetter, repaired ...event.Event) error {
	if len(repaired) > 1 {
		return errors.New("memory: one repaired event goes in the place of a dead letter, not more")
	}
	q, i, unlock, err := c.lockLetter(ctx, d)
	if err != nil {
		return err
	}
	defer unlock()
	l := q.dead.letters[i]
	if len(repaired) == 1 {
		if l.e, err = c.repair(l.e, repaired[0]); err != nil {
			return err
		}
	}
	q.dead.remove(i)
	q.redrive(&l)
	return nil
}

func (c *Channel) repair(failed, repaired event.Event) (event.Event, error) {
	if repaired.ID() == failed.ID() {
		return repaired, fmt.Errorf("memory: the repaired event has the id %q of the failed one; give it one of its own", failed.ID())
	}
	if repaired.Extension(event.ExtCausationID) != failed.ID() {
		repaired = repaired.WithExtension(event.ExtCausationID, failed.ID())
	}
	return c.checkOne(repaired)
}

// redrive puts a dead letter back among what the group is owed. Topic and group are
// locked.
func (q *queue) redrive(l *deadLetter) {
	g := q.g
	q.t.room = 0
	q.redriven++
	q.settled.Add(-1)
	si := g.slots.add()
	s := &g.slots.all[si]
	s.e, s.at, s.offset, s.queue, s.mark = l.e, l.at, l.offset, q.index, event.MarkRedriven
	if nb := l.e.NotBefore(); !nb.IsZero() {
		if after := until(nb); after > 0 {
			g.delay(si, stateDelayed, after)
			return
		}
	}
	g.giveReady(si, false)
}

// RedriveKey implements [event.DeadLetters].
func (c *Channel) RedriveKey(ctx context.Context, topic, group, key string) (int, error) {
	q, unlock, err := c.lockQueue(ctx, topic, group)
	if err != nil {
		return 0, err
	}
	defer unlock()
	n := 0
	q.dead.letters = slices.DeleteFunc(q.dead.letters, func(l deadLetter) bool {
		if l.e.Key() != key {
			return false
		}
		q.redrive(&l)
		n++
		return true
	})
	return n, nil
}
