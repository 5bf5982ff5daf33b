package bridgeredis

import (
	"context"
	"sync"

	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/leat-go/leat/bus/watermillbridge"
)

// private is a subscriber of no group. Each subscription of the library gets all messages
// then: all of a topic that are begun here share one.
type private struct {
	*subscriber

	mu    sync.Mutex
	flows map[string]*flow
}

// flow is what comes of a topic.
type flow struct {
	life  context.Context
	fresh chan *message.Message
	again chan *message.Message // what a subscription had in hand when it ended
}

func newPrivate(s *server, m watermillbridge.Member) *private {
	return &private{subscriber: newSubscriber(s, m), flows: make(map[string]*flow)}
}

// Subscribe implements [message.Subscriber].
func (p *private) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	f, err := p.flow(ctx, topic)
	if err != nil {
		p.running.Done()
		return nil, err
	}
	ctx, end := context.WithCancel(ctx)
	context.AfterFunc(p.life, end) //nolint:contextcheck // of the subscriber, or its subscription
	out := make(chan *message.Message)
	go func() {
		defer p.running.Done()
		defer close(out)
		defer end()
		for f.pass(ctx, out) {
		}
	}()
	return out, nil
}

// pass lets a message be handled. It returns false when ctx has ended: what isn't
// acknowledged then comes again in another subscription.
func (f *flow) pass(ctx context.Context, out chan<- *message.Message) bool {
	var m *message.Message
	select {
	case m = <-f.fresh:
	case m = <-f.again:
	case <-ctx.Done():
		return false
	}
	m.SetContext(ctx)
	select {
	case out <- m:
		select {
		case <-m.Acked():
			return true
		case <-m.Nacked():
		case <-ctx.Done():
		}
	case <-ctx.Done():
	}
	select {
	case f.again <- m.Copy():
	case <-f.life.Done():
	}
	return ctx.Err() == nil
}

// flow returns what comes of a topic from now on.
func (p *private) flow(ctx context.Context, topic string) (*flow, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.flows[topic]; f != nil {
		return f, nil
	}
	last, err := p.last(ctx, topic)
	if err != nil {
		return nil, err
	}
	lib, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{
		Client: kept{p.s.client}, Unmarshaller: marshaler{}, FanOutOldestId: last,
		BlockTime: blockTime, DisableIndefiniteInitialBlock: true,
	}, p.member.Logger)
	if err != nil {
		return nil, err
	}
	in, err := lib.Subscribe(p.life, topic) //nolint:contextcheck // others share it
	if err != nil {
		return nil, err
	}
	f := &flow{life: p.life, fresh: make(chan *message.Message), again: make(chan *message.Message, p.s.cfg.Subscriptions)}
	p.flows[topic] = f
	p.running.Go(func() { f.run(in) })
	return f, nil
}

// last returns the id of the last entry of a stream. The library would ask for what comes
// after "$" again and again until something did, and miss what came in between.
func (p *private) last(ctx context.Context, topic string) (string, error) {
	info, err := p.s.client.XInfoStream(ctx, topic).Result()
	if redis.HasErrorPrefix(err, "no such key") {
		return "0", nil
	}
	if err != nil {
		return "", err
	}
	return info.LastGeneratedID, nil
}

// run takes messages in. The library gets its Ack at once: of no group, it has nobody to
// tell.
func (f *flow) run(in <-chan *message.Message) {
	for m := range in {
		select {
		case f.fresh <- m.Copy():
			m.Ack()
		case <-f.life.Done():
		}
	}
}
