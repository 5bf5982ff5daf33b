package bus_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// A publish that overlaps with a Drain is either waited for, or returns an error:
// nil, and then never handled, would be a lost event.
func TestPublishThatOverlapsWithDrain(t *testing.T) {
	type Ping struct{}
	for looks := range 4 { // the event is accepted after the Drain has looked so often
		synctest.Test(t, func(t *testing.T) {
			handled := 0
			late := &lateChannel{Channel: memory.New(), looks: looks, entered: make(chan struct{}), enter: make(chan struct{}), done: make(chan struct{})}
			b := bus.New(bus.Config{Channel: late})
			bus.Subscribe(b, "a", func(context.Context, Ping) error { handled++; return nil })
			if err := b.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			published := make(chan error, 1)
			go func() { published <- b.Publish(t.Context(), Ping{}) }()
			<-late.entered
			late.look()
			if err := b.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			late.open()
			err := <-published
			if err == nil && handled != 1 || err != nil && !errors.Is(err, event.ErrClosed) {
				t.Errorf("after %d looks: Publish returned %v, handled %d times", looks, err, handled)
			}
		})
	}
}

// lateChannel holds a Produce back until Quiet has been called some times.
type lateChannel struct {
	*memory.Channel

	looks                int
	entered, enter, done chan struct{}
	opened               bool
}

func (c *lateChannel) Quiet(ctx context.Context, groups ...string) error {
	err := c.Channel.Quiet(ctx, groups...)
	c.look()
	return err
}

func (c *lateChannel) look() {
	if c.looks == 0 {
		c.open()
	}
	c.looks--
}

func (c *lateChannel) open() {
	if !c.opened {
		c.opened = true
		close(c.enter)
		<-c.done
		synctest.Wait() // the publisher is let go, if nothing holds it
	}
}

// Consumer returns one that takes its time, so that a shutdown would come first.
func (c *lateChannel) Consumer(ctx context.Context, s event.Subscription) (event.Consumer, error) {
	mc, err := c.Channel.Consumer(ctx, s)
	return receiver{mc, func(*event.Delivery) { time.Sleep(time.Millisecond) }}, err // virtual
}

func (c *lateChannel) Producer(ctx context.Context, topic string) (event.Producer, error) {
	p, err := c.Channel.Producer(ctx, topic)
	return lateProducer{p, c}, err
}

type lateProducer struct {
	event.Producer

	c *lateChannel
}

func (p lateProducer) Produce(ctx context.Context, events ...event.Event) error {
	close(p.c.entered)
	<-p.c.enter
	defer close(p.c.done)
	return p.Producer.Produce(context.WithoutCancel(ctx), events...) // the end of the wait comes too late for the write
}
