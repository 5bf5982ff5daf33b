package bridgeamqp_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp091 "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/bus/watermillbridge/bridgeamqp"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/servicetest"
)

// uri returns where RabbitMQ is.
func uri(tb testing.TB) string {
	tb.Helper()
	return servicetest.Addr(tb, "rabbitmq")
}

// broker is a channel of AMQP for tests to look around.
func broker(tb testing.TB) *amqp091.Channel {
	tb.Helper()
	conn, err := amqp091.Dial(uri(tb))
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	require.NoError(tb, err)
	return ch
}

// traces is the exchanges and queues that tests have made.
type traces struct {
	mu     sync.Mutex
	topics map[string]bool
	queues map[string]bool
}

// follow notes what a pub/sub makes.
func (x *traces) follow(ps *watermillbridge.PubSub) {
	makeTopic, makeGroup := ps.EnsureTopic, ps.EnsureGroup
	ps.EnsureTopic = func(ctx context.Context, topic string) error {
		x.note(topic, "")
		return makeTopic(ctx, topic)
	}
	ps.EnsureGroup = func(ctx context.Context, group, topic string, from event.Start) error {
		x.note(topic, topic+"_"+group)
		return makeGroup(ctx, group, topic, from)
	}
}

func (x *traces) note(topic, queue string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.topics[topic] = true
	if queue != "" {
		x.queues[queue] = true
	}
}

// newTraces returns traces that are removed at the end of the test.
func newTraces(tb testing.TB) *traces {
	tb.Helper()
	x := &traces{topics: make(map[string]bool), queues: make(map[string]bool)}
	tb.Cleanup(func() {
		ch := broker(tb)
		for queue := range x.queues {
			_, err := ch.QueueDelete(queue, false, false, false)
			require.NoError(tb, err)
		}
		for topic := range x.topics {
			require.NoError(tb, ch.ExchangeDelete(topic, false, false))
		}
	})
	return x
}

// killable is a channel whose consumers can vanish.
type killable struct {
	*watermillbridge.Channel

	mu   sync.Mutex // a consumer is made
	made []message.Subscriber
	of   map[event.Consumer][]message.Subscriber
}

// open returns a channel.
func open(tb testing.TB, cfg bridgeamqp.Config, x *traces) *killable {
	tb.Helper()
	ps, err := bridgeamqp.PubSub(cfg)
	require.NoError(tb, err)
	return openOf(tb, ps, x)
}

func openOf(tb testing.TB, ps watermillbridge.PubSub, x *traces) *killable {
	tb.Helper()
	k := &killable{of: make(map[event.Consumer][]message.Subscriber)}
	for _, of := range []*func(watermillbridge.Member) (message.Subscriber, error){&ps.Subscriber, &ps.Private} {
		newSubscriber := *of
		*of = func(m watermillbridge.Member) (message.Subscriber, error) {
			s, err := newSubscriber(m)
			if !strings.HasSuffix(m.Group, ".letters") { // those look at dead letters
				k.made = append(k.made, s)
			}
			return s, err
		}
	}
	x.follow(&ps)
	var err error
	k.Channel, err = watermillbridge.NewChannel(ps)
	require.NoError(tb, err)
	return k
}

func (k *killable) Consumer(ctx context.Context, s event.Subscription) (event.Consumer, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.made = nil
	c, err := k.Channel.Consumer(ctx, s)
	k.of[c] = k.made
	return c, err
}

// crash reports whether the consumer was one of the channel's, and vanishes.
func (k *killable) crash(c event.Consumer) bool {
	k.mu.Lock()
	made, ok := k.of[c]
	k.mu.Unlock()
	for _, s := range made {
		bridgeamqp.Cut(s)
	}
	return ok
}
