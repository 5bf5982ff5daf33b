package memory

import (
	"context"
	"fmt"
	"slices"

	"github.com/leat-go/leat/event"
)

// EnsureTopic implements [event.Provisioner]. Only the name counts.
func (c *Channel) EnsureTopic(ctx context.Context, s event.TopicSpec) error {
	_, err := c.topicOf(ctx, s.Name)
	return err
}

// EnsureGroup implements [event.Provisioner].
func (c *Channel) EnsureGroup(ctx context.Context, group string, from event.Start, topics ...string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _, err := c.ensure(group, from, topics, false)
	return err
}

// RemoveGroup implements [event.Provisioner]. Topics that the group doesn't have
// are skipped. It removes all or, when the group has members on one, nothing.
func (c *Channel) RemoveGroup(ctx context.Context, group string, topics ...string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var end ending
	defer func() { end.run() }() // when nothing is locked any more
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return event.ErrClosed
	}
	g := c.byName[group]
	if g == nil {
		return nil
	}
	var queues []*queue
	g.mu.Lock()
	end = g.advance()
	left := 0
	var err error
	for _, q := range g.queues {
		switch {
		case q == nil:
		case !slices.Contains(topics, q.t.name):
			left++
		default:
			queues = append(queues, q)
			if err == nil {
				err = q.withoutMembers()
			}
		}
	}
	g.mu.Unlock()
	if err != nil {
		return err
	}
	for _, q := range queues {
		q.t.mu.Lock()
		g.mu.Lock()
		q.t.detach(q)
		q.unparkAll()
		g.queues[q.index] = nil
		g.mu.Unlock()
		q.t.offerLocked()
		q.t.mu.Unlock()
	}
	if left == 0 {
		delete(c.byName, group)
		c.forget(g)
	}
	c.quiet.wake()
	return nil
}

// withoutMembers returns an error when somebody receives from the queue.
func (q *queue) withoutMembers() error {
	if n := len(q.members); n > 0 {
		return fmt.Errorf("memory: group %q has %d members on topic %q", q.g.name, n, q.t.name)
	}
	return nil
}

// Seek implements [event.Seeker]. What the group was owed of the topic and has not
// settled is dropped; its dead letters stay, and with them its parked keys. It refuses
// a group that has members on the topic.
func (c *Channel) Seek(ctx context.Context, topic, group string, to event.Start) error {
	if c.cfg.retain == 0 && (to.Kind == event.StartOldest || to.Kind == event.StartSince) {
		return fmt.Errorf("memory: group %q: %w (memory.Retain keeps one)", group, event.ErrNoHistory)
	}
	q, unlock, err := c.lockQueue(ctx, topic, group)
	if err != nil {
		return err
	}
	end, err := q.seek(to)
	unlock()
	end.run()
	if err == nil {
		q.t.offer()
		c.quiet.wake()
	}
	return err
}

// seek replaces the queue by a new one. Topic and group are locked.
func (q *queue) seek(to event.Start) (ending, error) {
	end := q.g.advance()
	if err := q.withoutMembers(); err != nil {
		return end, err
	}
	q.t.detach(q)
	fresh := q.t.attach(q.g, q.index, to)
	fresh.dead = q.dead
	q.g.queues[q.index] = fresh
	return end, nil
}

// ProduceTo implements [event.GroupProducer].
func (c *Channel) ProduceTo(ctx context.Context, group, topic string, mark event.Mark, events ...event.Event) error {
	if err := c.usable(ctx); err != nil {
		return err
	}
	q, unlock, err := c.lockQueue(ctx, topic, group)
	if err != nil {
		return err
	}
	t, g := q.t, q.g
	unlock()
	return t.publish(ctx, &batch{events: events, only: g, mark: mark})
}
