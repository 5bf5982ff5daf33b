package bridgeaws

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-go/leat/bus/watermillbridge"
)

// subscriber is the subscriptions of a member. Unlike the library's, which runs each of
// them, it ends although nobody reads, waits for what was acknowledged, and gives back at
// once what was not.
type subscriber struct {
	p      *pubSub
	group  string
	logger watermill.LoggerAdapter

	life context.Context // ends with Close
	end  context.CancelFunc

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

func newSubscriber(p *pubSub, m watermillbridge.Member) *subscriber {
	s := &subscriber{p: p, group: m.Group, logger: m.Logger}
	s.life, s.end = context.WithCancel(context.Background())
	return s
}

var errClosed = errors.New("bridgeaws: the subscriber is closed")

// Subscribe implements [message.Subscriber]. The queue exists.
func (s *subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, errClosed
	}
	s.running.Add(1)
	s.mu.Unlock()
	u, err := s.subscribe(ctx, QueueName(topic, s.group))
	if err != nil {
		s.running.Done()
		return nil, fmt.Errorf("bridgeaws: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.life, cancel) //nolint:contextcheck // it is the subscriber's
	go func() {
		defer s.running.Done()
		defer stop()
		defer cancel()
		u.run(ctx)
	}()
	return u.out, nil
}

// Close implements [message.Subscriber].
func (s *subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end()
	s.running.Wait()
	return nil
}
