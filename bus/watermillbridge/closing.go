package watermillbridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-go/leat/event"
)

const (
	// ackTime is how long a subscriber gets to pass an Ack on, which it does on its own
	// time: one that is told to end in between forgets it.
	ackTime = 100 * time.Millisecond
	// endTime is how long subscribers get to end.
	endTime = 10 * time.Second
)

// Close implements [event.Consumer].
func (c *consumer) Close(ctx context.Context) error {
	return c.close(ctx, context.WithoutCancel(ctx))
}

// close waits for what runs until ctx ends, and for the subscribers until end does.
func (c *consumer) close(ctx, end context.Context) error {
	if !c.stop() {
		return nil
	}
	c.until(ctx, c.isIdle)
	c.cancel()
	grace, cancel := context.WithTimeout(end, c.sub.CancelGrace)
	c.until(grace, c.isIdle)
	cancel()
	c.giveBackAll()
	c.flush() //nolint:contextcheck // it takes its time, whatever ctx says
	return c.drop(end)
}

// stop lets nothing more be received, and gives back what was not begun. It reports
// whether it was the first.
func (c *consumer) stop() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return false
	}
	c.closing = true
	signal(c.arrived)
	c.ready = nil
	for _, in := range c.hand {
		if in.state == isBegun {
			continue
		}
		c.remove(in)
		in.giveBack()
		if c.ch.ps.Unacked == 1 { // it got the message after the Ack of the last
			in.from.stop()
		}
	}
	return true
}

func (c *consumer) isIdle() bool { return c.begun == 0 }

// until waits until cond is true or ctx ends.
func (c *consumer) until(ctx context.Context, cond func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !cond() && ctx.Err() == nil {
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		c.mu.Lock()
	}
}

// cancel ends the contexts of what still runs.
func (c *consumer) cancel() {
	c.mu.Lock()
	var leases []*event.Lease
	for _, in := range c.hand {
		leases = append(leases, &in.lease)
	}
	c.mu.Unlock()
	for _, l := range leases {
		l.End(event.ErrClosed)
	}
}

func (c *consumer) giveBackAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, in := range c.hand {
		c.remove(in)
		in.giveBack()
	}
}

// flush gives the subscribers time for the last acknowledgements.
func (c *consumer) flush() {
	c.mu.Lock()
	left := ackTime - time.Since(c.lastAck)
	c.mu.Unlock()
	if left > 0 {
		_ = sleep(context.Background(), left)
	}
}

// drop ends the subscriptions.
func (c *consumer) drop(ctx context.Context) error {
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	for _, x := range c.sources {
		x.stop()
	}
	c.end()
	ctx, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	errs := make([]error, 0, len(c.subscribers)+1)
	for _, s := range c.subscribers {
		errs = append(errs, c.closeSubscriber(ctx, s))
	}
	errs = append(errs, within(ctx, "end the subscriptions", func() error { c.running.Wait(); return nil }))
	c.ch.forget(c)
	return errors.Join(errs...)
}

func (c *consumer) closeSubscriber(ctx context.Context, s message.Subscriber) error {
	if err := within(ctx, "close the subscriber", s.Close); err != nil {
		return fmt.Errorf("watermillbridge: %s: group %q: %w", c.ch.ps.Guarantees.Channel, c.sub.Group, err)
	}
	return nil
}
