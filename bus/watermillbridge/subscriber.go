package watermillbridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-go/leat/event"
)

// SubscriberConfig says who subscribes and how. The zero value is usable: then each
// Subscribe gets everything that is published while it lasts.
type SubscriberConfig struct {
	// Group is who subscribes: each message goes to one of its members. "" is nobody:
	// each Subscribe gets every message from now on, and nothing is kept for it.
	Group string
	// From is where a group starts that does not exist yet.
	From event.Start
	// NackDelay returns how long a message waits after a Nack, of which it has had so
	// many, from 1 on; nil: not at all after the first, then 10 ms and twice as long each
	// time, up to 10 s.
	NackDelay func(nacks int) time.Duration
	// CloseTimeout is how long Close, and the end of Subscribe's context, wait for the
	// Ack or Nack of the message in hand; 0: 10 s.
	CloseTimeout time.Duration
	// Logger is told of errors that are dealt with; nil: nobody.
	Logger watermill.LoggerAdapter
}

// Subscriber is a channel as a Watermill Subscriber. Its methods may be called
// concurrently.
type Subscriber struct {
	ch  event.Channel
	cfg SubscriberConfig

	stop context.Context // ends with Close
	end  context.CancelFunc
	runs sync.WaitGroup

	mu     sync.Mutex
	closed bool
}

var (
	_ message.Subscriber           = (*Subscriber)(nil)
	_ message.SubscribeInitializer = (*Subscriber)(nil)
)

const (
	defaultClose = 10 * time.Second
	firstDelay   = 10 * time.Millisecond
	longestDelay = 10 * time.Second
)

// NewSubscriber returns a Subscriber on ch, which stays open when it is closed.
func NewSubscriber(ch event.Channel, cfg SubscriberConfig) *Subscriber {
	if cfg.CloseTimeout == 0 {
		cfg.CloseTimeout = defaultClose
	}
	if cfg.NackDelay == nil {
		cfg.NackDelay = nackDelay
	}
	if cfg.Logger == nil {
		cfg.Logger = watermill.NopLogger{}
	}
	s := &Subscriber{ch: ch, cfg: cfg}
	s.stop, s.end = context.WithCancel(context.Background())
	return s
}

func nackDelay(nacks int) time.Duration {
	if nacks <= 1 {
		return 0
	}
	if nacks > 12 {
		return longestDelay
	}
	return min(firstDelay<<(nacks-2), longestDelay)
}

var errClosedSubscriber = errors.New("watermillbridge: the subscriber is closed")

// SubscribeInitialize implements [message.SubscribeInitializer]: it makes the group, so
// that what is published from now on is kept for it. Where the channel can't make one
// without a member, that is [event.ErrNotSupported]. Without a group there is nothing to
// make.
func (s *Subscriber) SubscribeInitialize(topic string) error {
	if s.cfg.Group == "" {
		return nil
	}
	err := event.ErrNotSupported
	switch ch := s.ch.(type) {
	case event.Provisioner:
		err = ch.EnsureGroup(s.stop, s.cfg.Group, s.cfg.From, topic)
	case groupMaker:
		err = ch.makeGroup(s.stop, s.cfg.Group, topic, s.cfg.From)
	}
	if err != nil {
		return fmt.Errorf("watermillbridge: group %q on topic %q is not made: %w", s.cfg.Group, topic, err)
	}
	return nil
}

// Subscribe implements [message.Subscriber]. The channel is closed when ctx has ended or
// the Subscriber is closed, and the message in hand is done with.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if !s.begin() {
		return nil, errClosedSubscriber
	}
	u := &subscription{
		s: s, out: make(chan *message.Message),
		log: s.cfg.Logger.With(watermill.LogFields{"topic": topic, "group": s.cfg.Group}),
	}
	u.ctx, u.cancel = context.WithCancel(ctx)
	u.late, u.cut = context.WithCancel(context.WithoutCancel(ctx))
	joins := context.AfterFunc(u.ctx, u.cut)       //nolint:contextcheck // it ends with ctx
	u.onStop = context.AfterFunc(s.stop, u.cancel) //nolint:contextcheck // it is the Subscriber's
	var err error
	u.c, err = s.ch.Consumer(u.late, event.Subscription{ //nolint:contextcheck // which ends with ctx
		Group: s.cfg.Group, Topics: []string{topic}, InFlight: 1, From: s.cfg.From, Ephemeral: s.cfg.Group == "",
		Grace:   s.cfg.CloseTimeout,
		OnError: func(err error) { u.log.Error("The channel has an error that it deals with", err, nil) },
	})
	if err != nil {
		u.onStop()
		u.cancel()
		u.cut()
		s.runs.Done()
		return nil, fmt.Errorf("watermillbridge: group %q on topic %q: %w", s.cfg.Group, topic, err)
	}
	joins()
	context.AfterFunc(u.ctx, func() { time.AfterFunc(s.cfg.CloseTimeout, u.cut) }) //nolint:contextcheck // as above
	go func() {                                                                    //nolint:contextcheck // it has that of the subscription
		defer s.runs.Done()
		u.run()
	}()
	return u.out, nil
}

// begin counts a subscription, unless the Subscriber is closed.
func (s *Subscriber) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.runs.Add(1)
	return true
}

// Close implements [message.Subscriber]. It waits for the messages in hand, up to
// CloseTimeout, and may be called more than once.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end()
	s.runs.Wait()
	return nil
}
