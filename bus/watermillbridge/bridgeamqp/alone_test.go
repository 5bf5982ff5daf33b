package bridgeamqp_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/watermillbridge/bridgeamqp"
	"github.com/leat-go/leat/event"
)

type Job struct{ N int }

// service is a service with one handler, on the library alone or on leat.
type service interface {
	// start lets h handle the topic's messages.
	start(tb testing.TB, h func(context.Context) error) (stop func())
	publish(tb testing.TB)
	queue() string
	dead(tb testing.TB) int
}

// alone is Watermill's Router on the library's durable settings.
type alone struct {
	cfg          amqp.Config
	topic, group string
}

func newAlone(tb testing.TB) service {
	tb.Helper()
	topic, group := names()
	cfg := amqp.NewDurablePubSubConfig(uri(tb), amqp.GenerateQueueNameTopicNameWithSuffix(group))
	cfg.Publish.ConfirmDelivery = true
	x := newTraces(tb)
	x.note(topic, topic+"_"+group)
	return &alone{cfg: cfg, topic: topic, group: group}
}

func (a *alone) start(tb testing.TB, h func(context.Context) error) (stop func()) {
	tb.Helper()
	sub, err := amqp.NewSubscriber(a.cfg, watermill.NopLogger{})
	require.NoError(tb, err)
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	require.NoError(tb, err)
	router.AddConsumerHandler("jobs", a.topic, sub, func(m *message.Message) error { return h(m.Context()) })
	done := make(chan error, 1)
	go func() { done <- router.Run(context.Background()) }()
	<-router.Running()
	return func() {
		require.NoError(tb, router.Close())
		require.NoError(tb, <-done)
	}
}

func (a *alone) publish(tb testing.TB) {
	tb.Helper()
	pub, err := amqp.NewPublisher(a.cfg, watermill.NopLogger{})
	require.NoError(tb, err)
	require.NoError(tb, pub.Publish(a.topic, message.NewMessage("x", nil)))
	require.NoError(tb, pub.Close())
}

func (a *alone) queue() string { return a.topic + "_" + a.group }

func (a *alone) dead(testing.TB) int { return 0 } // it knows none

// bridged is a Bus on the channel.
type bridged struct {
	ch    event.Channel
	topic string
	bus   *bus.Bus
}

func newBridged(tb testing.TB) service {
	tb.Helper()
	topic, _ := names()
	return &bridged{ch: closed(tb, open(tb, bridgeamqp.Config{URI: uri(tb)}, newTraces(tb))), topic: topic}
}

func (b *bridged) start(tb testing.TB, h func(context.Context) error) (stop func()) {
	tb.Helper()
	b.bus = bus.New(bus.Config{App: "shop", Channel: b.ch, KeepChannel: true})
	bus.Subscribe(b.bus, "jobs", func(ctx context.Context, _ Job) error { return h(ctx) },
		bus.Topic(b.topic), bus.Retry(bus.Backoff{First: time.Millisecond, Attempts: 5}))
	require.NoError(tb, b.bus.Start(context.Background()))
	return func() { require.NoError(tb, b.bus.Shutdown(patient(tb))) }
}

func (b *bridged) publish(tb testing.TB) {
	tb.Helper()
	require.NoError(tb, b.bus.Publish(patient(tb), Job{1}, bus.Topic(b.topic)))
}

func (b *bridged) queue() string { return b.topic + "_shop.jobs" }

func (b *bridged) dead(tb testing.TB) (n int) {
	tb.Helper()
	for _, err := range b.ch.(event.DeadLetters).DeadLetters(patient(tb), b.topic, "shop.jobs") {
		require.NoError(tb, err)
		n++
	}
	return n
}

// left returns how many messages a queue has in the end.
func left(tb testing.TB, queue string) (n int) {
	tb.Helper()
	for end := time.After(300 * time.Millisecond); n == 0; {
		select {
		case <-end:
			return n
		case <-time.After(20 * time.Millisecond): // what goes back takes a moment
			n = waiting(tb, queue)
		}
	}
	return n
}

// outcome is what became of a message.
type outcome struct{ runs, queued, dead int }

// The same handler on the library alone, with its durable settings and confirms, and
// through the bridge: what becomes of a message that always fails, and of one that is
// handled while its member shuts down.
func TestAloneAndBridged(t *testing.T) {
	alwaysFails := func(tb testing.TB, s service) (o outcome) {
		tb.Helper()
		var runs atomic.Int64
		stop := s.start(tb, func(context.Context) error { runs.Add(1); return errors.New("no") })
		s.publish(tb)
		<-time.After(time.Second)
		stop()
		return outcome{int(runs.Load()), left(tb, s.queue()), s.dead(tb)}
	}
	shutDown := func(tb testing.TB, s service) outcome {
		tb.Helper()
		var runs atomic.Int64
		began, done := make(chan struct{}, 10), make(chan struct{})
		h := func(context.Context) error {
			runs.Add(1)
			began <- struct{}{}
			<-done
			return nil // its work is done
		}
		stop := s.start(tb, h)
		s.publish(tb)
		<-began
		time.AfterFunc(300*time.Millisecond, func() { close(done) })
		stop()
		queued := left(tb, s.queue())
		stop = s.start(tb, h)
		select {
		case <-began:
		case <-time.After(time.Second):
		}
		stop()
		return outcome{int(runs.Load()), queued, s.dead(tb)}
	}

	t.Run("AlwaysFails", func(t *testing.T) {
		library, bridge := alwaysFails(t, newAlone(t)), alwaysFails(t, newBridged(t))
		t.Logf("in 1 s alone: %+v, bridged: %+v", library, bridge)
		require.Greater(t, library.runs, 100)
		require.Equal(t, 1, library.queued, "and it would go on")
		require.Equal(t, outcome{runs: 5, queued: 0, dead: 1}, bridge)
	})
	t.Run("ShutDown", func(t *testing.T) {
		library, bridge := shutDown(t, newAlone(t)), shutDown(t, newBridged(t))
		t.Logf("alone: %+v, bridged: %+v", library, bridge)
		require.Equal(t, outcome{runs: 2, queued: 1}, library, "its Ack was forgotten")
		require.Equal(t, outcome{runs: 1}, bridge)
	})
}
