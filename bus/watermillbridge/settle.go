package watermillbridge

import (
	"context"
	"time"

	"github.com/leat-go/leat/event"
)

// Settle implements [event.Consumer]. Dead letters are published before anything of the
// call is recorded: when one isn't accepted, nothing is. Watermill doesn't tell whether
// an acknowledgement reached the broker: Close gives the last ones time.
func (c *consumer) Settle(ctx context.Context, ss []event.Settlement) error {
	for _, s := range ss {
		if s.Kind != event.SettleDead {
			continue
		}
		if err := c.bury(ctx, s); err != nil {
			return err
		}
	}
	var refused map[int]error
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, s := range ss {
		if err := c.record(s); err != nil {
			if refused == nil {
				refused = make(map[int]error)
			}
			refused[i] = err
		}
	}
	if refused != nil {
		return &event.SettleError{Failed: refused}
	}
	return nil
}

// bury publishes a dead letter.
func (c *consumer) bury(ctx context.Context, s event.Settlement) error {
	c.mu.Lock()
	in := c.find(s.Token)
	if in == nil || c.sub.Ephemeral { // nothing is kept of an ephemeral one
		c.mu.Unlock()
		return nil
	}
	if in.handle == "" { // a repetition is the same letter
		in.handle = event.NewID()
	}
	handle := in.handle
	c.mu.Unlock()
	var cause event.Cause
	if s.Cause != nil {
		cause = s.Cause.Bounded()
	}
	m, err := newLetter(handle, in.m, cause)
	if err != nil {
		return err
	}
	return c.ch.publish(ctx, deadTopic(in.from.origin, c.sub.Group), m)
}

// record records a settlement. The consumer is locked.
func (c *consumer) record(s event.Settlement) error {
	in := c.find(s.Token)
	if in == nil {
		return event.ErrLeaseLost
	}
	switch s.Kind {
	case event.SettleAck, event.SettleDead:
		c.remove(in)
		in.m.Ack()
		c.lastAck = time.Now()
		return nil
	case event.SettleRetry, event.SettleRelease:
		if c.closing { // it goes back with all the rest
			c.remove(in)
			in.giveBack()
			return nil
		}
	case event.SettlePark:
	}
	return event.ErrNotSupported
}
