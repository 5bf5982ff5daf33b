package bridgenats

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wjetstream "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/jetstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

// subscriber makes a subscriber of the library for each subscription, and never closes
// one: that would drain the connection that all have in common.
type subscriber struct {
	s       *server
	member  watermillbridge.Member
	private string // the name of its consumers, if it is of no group
	life    context.Context
	stop    context.CancelFunc

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
	topics  map[string]bool // of private consumers
}

func newSubscriber(s *server, m watermillbridge.Member, private string) *subscriber {
	life, stop := context.WithCancel(context.Background())
	return &subscriber{s: s, member: m, private: private, life: life, stop: stop, topics: make(map[string]bool)}
}

var errClosed = errors.New("bridgenats: the subscriber is closed")

// enter notes that something runs until running is told that it is done.
func (b *subscriber) enter() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errClosed
	}
	b.running.Add(1)
	return nil
}

// Subscribe implements [message.Subscriber].
func (b *subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if err := b.enter(); err != nil {
		return nil, err
	}
	h := newHand(ctx, topic, b.member.Logger)
	context.AfterFunc(b.life, h.end) //nolint:contextcheck // of the subscriber, or its subscription
	in, err := b.begin(h)
	if err != nil {
		h.end()
		b.running.Done()
		return nil, err
	}
	out := make(chan *message.Message)
	go func() {
		defer b.running.Done()
		h.relay.Run(h.ctx, in, out)
		close(h.relayed)
		<-h.over
	}()
	return out, nil
}

// begin subscribes at the library.
func (b *subscriber) begin(h *hand) (<-chan *message.Message, error) {
	type goodbye = func(context.Context, watermill.LoggerAdapter)
	lib, err := wjetstream.NewSubscriber(wjetstream.SubscriberConfig{
		Conn: b.s.nc, Logger: b.member.Logger, Unmarshaler: unmarshaler{},
		AckWaitTimeout: b.s.cfg.ackWait(), // it gives up a message by then
		ResourceInitializer: func(context.Context, jetstream.JetStream, string) (jetstream.Consumer, goodbye, error) {
			c, err := b.consumer(h.ctx, h.topic) //nolint:contextcheck // the library's ends later
			if err != nil {
				return nil, nil, err
			}
			h.Consumer = c
			return h, nil, nil
		},
	})
	if err != nil {
		return nil, err
	}
	return lib.Subscribe(h.libCtx, h.topic)
}

// consumer returns the consumer to read from. What somebody removed is made again: the
// group begins at the earliest event then.
func (b *subscriber) consumer(ctx context.Context, topic string) (jetstream.Consumer, error) {
	stream, err := b.s.stream(ctx, topic)
	if err != nil {
		return nil, err
	}
	if b.private == "" {
		return b.s.group(ctx, stream, b.member.Group, topic, event.Start{})
	}
	b.mu.Lock()
	b.topics[topic] = true
	b.mu.Unlock()
	cfg := b.s.consumer(topic, event.Newest())
	cfg.Name, cfg.MemoryStorage, cfg.InactiveThreshold = b.private, true, b.s.cfg.ackWait()+time.Minute
	c, err := stream.Consumer(ctx, cfg.Name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		c, err = stream.CreateConsumer(ctx, cfg)
		if errors.Is(err, jetstream.ErrConsumerExists) {
			c, err = stream.Consumer(ctx, cfg.Name)
		}
	}
	return c, err
}

// endTime is how long the last calls of a subscriber may take.
const endTime = 5 * time.Second

// Close implements [message.Subscriber].
func (b *subscriber) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.stop()
	b.running.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	for topic := range b.topics {
		name, err := nameOf(topic)
		if err != nil {
			return err
		}
		_ = b.s.js.DeleteConsumer(ctx, name, b.private) // it goes by itself otherwise
	}
	return b.s.nc.FlushWithContext(ctx)
}
