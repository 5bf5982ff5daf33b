package watermillbridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-go/leat/event"
)

// PublisherConfig says how messages become events. The zero value is usable.
type PublisherConfig struct {
	// Source is that of messages that name none; "": /watermill.
	Source string
	// Key returns what order is kept by, for messages without a partitionkey in their
	// metadata; "": no order. nil: all of a topic are kept in order.
	Key func(topic string, m *message.Message) string
	// Unordered leaves messages without a key where Key is nil.
	Unordered bool
	// Timeout bounds how long a Publish waits for the channel; 0: 30 s. The message's
	// context doesn't: Watermill's Router cancels it before its handlers have ended.
	Timeout time.Duration
}

// Publisher is a channel as a Watermill Publisher. Its methods may be called
// concurrently.
type Publisher struct {
	ch  event.Channel
	cfg PublisherConfig

	mu     sync.Mutex
	topics map[string]event.Producer
	closed bool
}

var _ message.Publisher = (*Publisher)(nil)

const (
	defaultSource  = "/watermill"
	defaultTimeout = 30 * time.Second
)

// NewPublisher returns a Publisher on ch, which stays open when it is closed.
func NewPublisher(ch event.Channel, cfg PublisherConfig) *Publisher {
	if cfg.Source == "" {
		cfg.Source = defaultSource
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Key == nil && !cfg.Unordered {
		cfg.Key = func(topic string, _ *message.Message) string { return topic }
	}
	return &Publisher{ch: ch, cfg: cfg, topics: make(map[string]event.Producer)}
}

// Publish implements [message.Publisher]: nil means that the channel has all messages.
// A *[event.ProduceError] names by index those that it has not, or may not have; any
// other error means that it has none.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	if len(messages) == 0 {
		return nil
	}
	events := make([]event.Event, len(messages))
	for i, m := range messages {
		e, err := p.event(topic, m)
		if err != nil {
			return err
		}
		events[i] = e
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(messages[0].Context()), p.cfg.Timeout)
	defer cancel()
	to, err := p.producer(ctx, topic)
	if err != nil {
		return err
	}
	if err := to.Produce(ctx, events...); err != nil {
		return fmt.Errorf("watermillbridge: publish to %q: %w", topic, err)
	}
	return nil
}

func (p *Publisher) event(topic string, m *message.Message) (event.Event, error) {
	typ := topic
	if name := m.Metadata[cqrsName]; name != "" {
		typ = name
	}
	e, err := fromMessage(m, p.cfg.Source, typ)
	if err != nil {
		return event.Event{}, err
	}
	if e.Key() == "" && p.cfg.Key != nil {
		if key := p.cfg.Key(topic, m); key != "" {
			e = e.WithKey(key)
		}
	}
	if err := e.Validate(); err != nil {
		return event.Event{}, invalid(m, topic, err)
	}
	return e, nil
}

// producer returns the one of a topic.
func (p *Publisher) producer(ctx context.Context, topic string) (event.Producer, error) {
	p.mu.Lock()
	to, closed := p.topics[topic], p.closed
	p.mu.Unlock()
	if closed {
		return nil, errClosedPublisher
	}
	if to != nil {
		return to, nil
	}
	to, err := p.ch.Producer(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("watermillbridge: publish to %q: %w", topic, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.topics[topic] = to
	return to, nil
}

var errClosedPublisher = errors.New("watermillbridge: the publisher is closed")

// Close implements [message.Publisher]. It may be called more than once.
func (p *Publisher) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return nil
}
