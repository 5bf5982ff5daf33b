package watermillbridge

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-go/leat/event"
)

// Channel is a Watermill pub/sub as an [event.Channel]. Besides it is an
// [event.DeadLetters] and an [event.GroupProducer].
type Channel struct {
	ps     PubSub
	sends  chan struct{} // a slot for each message that is being published
	looks  chan struct{} // who looks at dead letters
	closed chan struct{}

	mu        sync.Mutex
	isClosed  bool
	topics    map[string]bool // that are made
	owns      map[string]bool // topics of groups that are made
	consumers map[*consumer]bool
}

var (
	_ event.Channel       = (*Channel)(nil)
	_ event.DeadLetters   = (*Channel)(nil)
	_ event.GroupProducer = (*Channel)(nil)
)

// mostSends is how many messages are published at once. Publishers can't be stopped:
// so many goroutines wait at most for a broker that is away.
const mostSends = 64

// NewChannel returns a channel on a pub/sub. Its error names every mistake in p.
func NewChannel(p PubSub) (*Channel, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	p.Subscriptions, p.Unacked = max(p.Subscriptions, 1), max(p.Unacked, 1)
	return &Channel{
		ps: p, sends: make(chan struct{}, mostSends), looks: make(chan struct{}, 1), closed: make(chan struct{}),
		topics: make(map[string]bool), owns: make(map[string]bool), consumers: make(map[*consumer]bool),
	}, nil
}

// Guarantees implements [event.Channel]: they are those that the pub/sub was declared
// with.
func (ch *Channel) Guarantees(context.Context, string, string) (event.Guarantees, error) {
	if ch.over() {
		return event.Guarantees{}, event.ErrClosed
	}
	return ch.ps.promised(), nil
}

// over reports whether the channel is closed.
func (ch *Channel) over() bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.isClosed
}

// Producer implements [event.Channel].
func (ch *Channel) Producer(ctx context.Context, topic string) (event.Producer, error) {
	if err := ch.ensureTopic(ctx, topic); err != nil {
		return nil, err
	}
	return &producer{ch: ch, topic: topic}, nil
}

// ensureTopic makes a topic, if that is needed.
func (ch *Channel) ensureTopic(ctx context.Context, topic string) error {
	ch.mu.Lock()
	done, closed := ch.topics[topic] || ch.ps.EnsureTopic == nil, ch.isClosed
	ch.mu.Unlock()
	switch {
	case closed:
		return event.ErrClosed
	case topic == "":
		return errors.New("watermillbridge: the name of a topic is empty")
	case done:
		return nil
	}
	if err := ch.ps.EnsureTopic(ctx, topic); err != nil {
		return fmt.Errorf("watermillbridge: %s: topic %q: %w", ch.ps.Guarantees.Channel, topic, err)
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.topics[topic] = true
	return nil
}

// ensureGroup makes a group on a topic. s is a subscriber of the group.
func (ch *Channel) ensureGroup(ctx context.Context, s message.Subscriber, group, topic string, from event.Start) error {
	if err := ch.ensureTopic(ctx, topic); err != nil {
		return err
	}
	var err error
	if ch.ps.EnsureGroup != nil {
		err = ch.ps.EnsureGroup(ctx, group, topic, from)
	} else if init, ok := s.(message.SubscribeInitializer); ok {
		err = within(ctx, "initialize the subscription", func() error { return init.SubscribeInitialize(topic) })
	}
	if err != nil {
		return fmt.Errorf("watermillbridge: %s: group %q on topic %q: %w", ch.ps.Guarantees.Channel, group, topic, err)
	}
	return nil
}

// register notes an open consumer, unless the channel is closed.
func (ch *Channel) register(c *consumer) error {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.isClosed {
		return event.ErrClosed
	}
	ch.consumers[c] = true
	return nil
}

func (ch *Channel) forget(c *consumer) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	delete(ch.consumers, c)
}

// Close implements [event.Channel]. Messages that are being published are waited for
// until ctx ends.
func (ch *Channel) Close(ctx context.Context) error {
	ch.mu.Lock()
	if ch.isClosed {
		ch.mu.Unlock()
		return nil
	}
	ch.isClosed = true
	var open []*consumer
	for c := range ch.consumers {
		open = append(open, c)
	}
	ch.mu.Unlock()
	close(ch.closed)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	errs := make([]error, len(open), len(open)+2)
	var closing sync.WaitGroup
	for i, c := range open {
		closing.Go(func() { errs[i] = c.close(ended, ctx) })
	}
	closing.Wait()
	for range cap(ch.sends) {
		select {
		case ch.sends <- struct{}{}:
		case <-ctx.Done():
			errs = append(errs, fmt.Errorf("watermillbridge: %s: messages are still being published: %w",
				ch.ps.Guarantees.Channel, ctx.Err()))
			return errors.Join(append(errs, ch.end(ctx))...)
		}
	}
	return errors.Join(append(errs, ch.end(ctx))...)
}

// end closes the pub/sub.
func (ch *Channel) end(ctx context.Context) error {
	return within(ctx, "close the publisher", func() error {
		err := ch.ps.Publisher.Close()
		if ch.ps.Close != nil {
			err = errors.Join(err, ch.ps.Close())
		}
		return err
	})
}

// within calls what knows no context, and waits for it until ctx ends.
func within(ctx context.Context, what string, call func() error) error {
	done := make(chan error, 1)
	go func() { done <- call() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select { // it may have been as fast
	case err := <-done:
		return err
	default:
		return fmt.Errorf("watermillbridge: %s: %w", what, ctx.Err())
	}
}
