package bridgeamqp

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

// subscriber is the subscriptions of a member, by the library, on a connection of their
// own.
type subscriber struct {
	cfg  amqp.Config
	line *line
	conn *amqp.ConnectionWrapper
	log  *orderly

	life context.Context
	die  context.CancelFunc

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup // subscriptions
}

func newSubscriber(set *settings, cfg amqp.Config, m watermillbridge.Member) (*subscriber, error) {
	s := &subscriber{cfg: cfg, line: new(line), log: &orderly{LoggerAdapter: m.Logger, turn: new(sync.Mutex)}}
	client := set.client("leat: group "+m.Group, s.line.dial)
	conn, err := amqp.NewConnection(amqp.ConnectionConfig{
		AmqpURI: set.URI, AmqpConfig: &client,
		// The library waits for up to a minute between its attempts, and half as long again.
		Reconnect: &amqp.ReconnectConfig{
			BackoffInitialInterval: 100 * time.Millisecond, BackoffMaxInterval: 5 * time.Second,
			BackoffMultiplier: 2, BackoffRandomizationFactor: 0.2,
		},
	}, s.log)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	s.conn = conn
	s.life, s.die = context.WithCancel(context.Background())
	return s, nil
}

// Subscribe implements [message.Subscriber]. A subscription lives as long as its channel
// of AMQP, once it has had a message: what it has in hand is another's then.
func (s *subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if !s.begin() {
		return nil, event.ErrClosed
	}
	ctx, end := context.WithCancel(ctx)
	lib, messages, err := s.subscribe(ctx, end, topic)
	if err != nil {
		end()
		s.running.Done()
		return nil, err
	}
	unlink := context.AfterFunc(s.life, end) //nolint:contextcheck // it has two lives
	// The library lets a message that nobody has answered outlive the context. Its Close
	// gives it back; without the end of the context it would wait for a broker that is
	// away.
	context.AfterFunc(ctx, func() {
		unlink()
		_ = lib.Close() // it is always nil
		s.running.Done()
	})
	return messages, nil
}

func (s *subscriber) subscribe(ctx context.Context, end func(), topic string) (*amqp.Subscriber, <-chan *message.Message, error) {
	cfg := s.cfg
	cfg.Marshaler = &reader{ctx: ctx, end: end}
	lib, err := amqp.NewSubscriberWithConnection(cfg, s.log, s.conn)
	if err != nil {
		return nil, nil, err
	}
	s.log.order()
	messages, err := lib.Subscribe(ctx, topic)
	return lib, messages, err
}

// begin reports whether a subscription may be opened, and counts it.
func (s *subscriber) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.running.Add(1)
	}
	return !s.closed
}

// Close implements [message.Subscriber]: what is not acknowledged goes back.
func (s *subscriber) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	s.die()
	s.running.Wait()
	err := s.conn.Close()
	s.line.end()
	return err
}
