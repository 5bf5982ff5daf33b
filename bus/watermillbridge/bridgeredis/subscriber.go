package bridgeredis

import (
	"context"
	"errors"
	"sync"

	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/bus/watermillbridge/internal/relay"
	"github.com/leat-go/leat/event"
)

// subscriber makes a subscriber of the library for each subscription, so that each has a
// consumer of its own in the Redis group.
type subscriber struct {
	s      *server
	member watermillbridge.Member
	life   context.Context
	stop   context.CancelFunc

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

func newSubscriber(s *server, m watermillbridge.Member) *subscriber {
	life, stop := context.WithCancel(context.Background())
	return &subscriber{s: s, member: m, life: life, stop: stop}
}

var errClosed = errors.New("bridgeredis: the subscriber is closed")

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
	ctx, end := context.WithCancel(ctx)
	context.AfterFunc(b.life, end) //nolint:contextcheck // of the subscriber, or its subscription
	h := &hand{
		kept: kept{b.s.client}, topic: topic, group: b.member.Group, consumer: event.NewID(), isOwn: b.s.isOwn(topic),
		idle: b.s.cfg.maxIdle(), relay: new(relay.Relay), slot: make(chan struct{}, 1),
	}
	in, err := b.begin(ctx, h)
	if err != nil {
		end()
		b.running.Done()
		return nil, err
	}
	out := make(chan *message.Message)
	go func() {
		defer b.running.Done()
		h.relay.Run(ctx, in, out)
		end()   // the library's goroutines go on otherwise
		h.end() //nolint:contextcheck // ctx has ended
	}()
	return out, nil
}

// begin subscribes at the library.
func (b *subscriber) begin(ctx context.Context, h *hand) (<-chan *message.Message, error) {
	cfg := b.s.cfg
	lib, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{
		Client: h, Unmarshaller: marshaler{}, Consumer: h.consumer, ConsumerGroup: h.group,
		BlockTime: blockTime, DisableIndefiniteInitialBlock: true,
		ClaimInterval: cfg.claimInterval(), MaxIdleTime: cfg.maxIdle(),
		OldestId:               "0", // of a group that somebody removed
		ShouldStopOnReadErrors: func(err error) bool { return redis.HasErrorPrefix(err, "NOGROUP") },
	}, b.member.Logger)
	if err != nil {
		return nil, err
	}
	return lib.Subscribe(ctx, h.topic)
}

// Close implements [message.Subscriber].
func (b *subscriber) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.stop()
	b.running.Wait()
	return nil
}
