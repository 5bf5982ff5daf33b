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
	parked  map[string]parkedKey
}

type deadLetter struct {
	number uint64
	e      event.Event
	at     int64 // when the event was accepted
	failed int64
	offset int64
	gap    int64 // of the slot: what goes behind a parked key was not delivered yet
	cause  event.Cause
	parked bool // its key is, as long as it is there
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

// add records the event of a slot. The pointer is stale with the next change.
func (d *deadStore) add(s *slot, now int64, cause event.Cause) *deadLetter {
	d.last++
	d.letters = append(d.letters, deadLetter{number: d.last, e: s.e, at: s.at, failed: now, offset: s.offset, gap: s.gap, cause: cause})
	return &d.letters[len(d.letters)-1]
}

// deadRoom returns how many more dead letters there is room for.
func (q *queue) deadRoom() int { return max(q.g.c.cfg.dead-len(q.dead.letters), 0) }

// bury records the event of a slot as a dead letter. An ephemeral group has none.
func (g *group) bury(q *queue, s *slot, e *event.Settlement) error {
	if g.ephemeral {
		return nil
	}
	if q.deadRoom() == 0 {
		return fmt.Errorf("memory: %d dead letters of group %q on topic %q: %w", len(q.dead.letters), g.name, q.t.name, event.ErrFull)
	}
	var cause event.Cause
	if e.Cause != nil {
		cause = e.Cause.Bounded()
	}
	q.joinParked(q.dead.add(s, g.c.now(), cause), e.Kind == event.SettlePark)
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
		end := q.upToDate()
		letters := slices.Clone(q.dead.letters)
		unlock()
		end.run()
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
	end := q.upToDate()
	l := q.dead.letters[i]
	q.dead.remove(i)
	if l.parked {
		q.leaveParked(&l)
	}
	q.g.moveBehind(&end)
	unlock()
	end.run()
	return nil
}

// Redrive implements [event.DeadLetters]. The event takes its old place: it comes
// before newer ones of its key that were not delivered yet. It needs no room, since
// the channel has it already. A repaired event gets the id of the failed one as its
// causation id, whatever it had. When the dead letter is the front of a parked key,
// all that is behind it follows, and the key goes on; one that is behind is refused.
func (c *Channel) Redrive(ctx context.Context, d event.DeadLetter, repaired ...event.Event) error {
	if len(repaired) > 1 {
		return errors.New("memory: one repaired event goes in the place of a dead letter, not more")
	}
	q, i, unlock, err := c.lockLetter(ctx, d)
	if err != nil {
		return err
	}
	end := q.upToDate()
	err = q.redriveOne(i, repaired)
	q.g.moveBehind(&end)
	unlock()
	end.run()
	return err
}

// redriveOne redrives a dead letter, and with the front of a parked key all that is
// behind it. Topic and group are locked.
func (q *queue) redriveOne(i int, repaired []event.Event) (err error) {
	l := q.dead.letters[i]
	if err := q.mayRedrive(&l); err != nil {
		return err
	}
	key := l.e.Key()
	if len(repaired) == 1 {
		if l.e, err = q.g.c.repair(l.e, repaired[0]); err != nil {
			return err
		}
	}
	q.dead.remove(i)
	if l.parked {
		q.unpark(key)
	}
	q.redrive(&l)
	if l.parked {
		q.redriveAll(func(l *deadLetter) bool { return l.parked && l.e.Key() == key })
	}
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
	s.e, s.at, s.offset, s.gap, s.queue, s.mark = l.e, l.at, l.offset, l.gap, q.index, event.MarkRedriven
	if nb := l.e.NotBefore(); !nb.IsZero() {
		if after := until(nb); after > 0 {
			g.delay(si, stateDelayed, after)
			return
		}
	}
	g.giveReady(si, false)
}

// RedriveKey implements [event.DeadLetters]. They are delivered in the order of
// acceptance, and a parked key goes on behind them.
func (c *Channel) RedriveKey(ctx context.Context, topic, group, key string) (int, error) {
	q, unlock, err := c.lockQueue(ctx, topic, group)
	if err != nil {
		return 0, err
	}
	end := q.upToDate()
	q.unpark(key)
	n := q.redriveAll(func(l *deadLetter) bool { return l.e.Key() == key })
	q.g.moveBehind(&end)
	unlock()
	end.run()
	return n, nil
}

// redriveAll redrives some of the dead letters and returns how many. Topic and group
// are locked.
func (q *queue) redriveAll(some func(*deadLetter) bool) (n int) {
	q.dead.letters = slices.DeleteFunc(q.dead.letters, func(l deadLetter) bool {
		if !some(&l) {
			return false
		}
		q.redrive(&l)
		n++
		return true
	})
	return n
}
