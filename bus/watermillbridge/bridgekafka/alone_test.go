package bridgekafka_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	wkafka "github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/watermillbridge/bridgekafka"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/kafkatest"
)

// The tests of this file do the same thing with Watermill alone, as its defaults are, and
// with a Bus on the bridge, and compare.

// handle is a service's handler of an event by its id.
type handle func(ctx context.Context, id string) error

// service is a member of a group that runs.
type service struct{ stop func() }

// alone runs a member on Watermill's Router.
func alone(t *testing.T, brokers []string, group, topic string, h handle) service {
	t.Helper()
	cfg := wkafka.DefaultSaramaSubscriberConfig()
	cfg.Consumer.Group.Rebalance.Timeout = 3 * time.Second // 60 by default
	cfg.Consumer.Group.Session.Timeout = session           // 10 by default
	sub, err := wkafka.NewSubscriber(wkafka.SubscriberConfig{
		Brokers: brokers, Unmarshaler: wkafka.DefaultMarshaler{}, ConsumerGroup: group, OverwriteSaramaConfig: cfg,
	}, watermill.NopLogger{})
	require.NoError(t, err)
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: time.Second}, watermill.NopLogger{})
	require.NoError(t, err)
	router.AddConsumerHandler("h", topic, sub, func(m *message.Message) error { return h(m.Context(), m.Metadata["ce_id"]) })
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var ran sync.WaitGroup
	ran.Go(func() { _ = router.Run(ctx) })
	<-router.Running()
	return service{func() { cancel(); ran.Wait() }}
}

// through runs a member on a Bus on the bridge.
func through(t *testing.T, brokers []string, group, topic string, h handle) service {
	t.Helper()
	ch, err := bridgekafka.New(bridgekafka.Config{Brokers: brokers, SessionTimeout: session, Sarama: func(c *sarama.Config) {
		c.Consumer.Group.Rebalance.Timeout = 3 * time.Second
	}})
	require.NoError(t, err)
	b := bus.New(bus.Config{App: "shop", Channel: ch})
	bus.SubscribeRaw(b, group, nil, func(ctx context.Context, e event.Event) error { return h(ctx, e.ID()) },
		bus.Topic(topic), bus.Retry(bus.Backoff{First: 10 * time.Millisecond, Attempts: 3}))
	require.NoError(t, b.Start(t.Context()))
	return service{func() { require.NoError(t, b.Shutdown(context.WithoutCancel(t.Context()))) }}
}

// onTopic makes a topic with one partition and returns a function that publishes to it.
func onTopic(t *testing.T, brokers []string) (topic string, publish func(ids ...string)) {
	t.Helper()
	topic = "alone-" + strings.ToLower(event.NewID())
	ch, err := bridgekafka.New(bridgekafka.Config{Brokers: brokers, Partitions: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ch.Close(context.Background())) })
	p, err := ch.Producer(t.Context(), topic)
	require.NoError(t, err)
	return topic, func(ids ...string) {
		for _, id := range ids {
			require.NoError(t, p.Produce(t.Context(), event.New("/t", "e", nil).WithID(id).WithKey("k")))
		}
	}
}

func ids(name string, n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("%s-%d", name, i))
	}
	return out
}

// seen notes which ids were handled.
type seen struct {
	mu   sync.Mutex
	runs map[string]int
	news chan struct{}
}

func newSeen() *seen { return &seen{runs: make(map[string]int), news: make(chan struct{}, 1)} }

func (s *seen) add(id string) {
	s.mu.Lock()
	s.runs[id]++
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default:
	}
}

func (s *seen) of(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs[id]
}

func (s *seen) among(ids []string) (n int) {
	for _, id := range ids {
		n += min(s.of(id), 1)
	}
	return n
}

// until waits until cond is true.
func (s *seen) until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	late := time.After(time.Minute)
	for !cond() {
		select {
		case <-s.news:
		case <-late:
			require.Fail(t, "a minute passed", what)
		}
	}
}

type way struct {
	name  string
	start func(t *testing.T, brokers []string, group, topic string, h handle) service
}

var ways = []way{{"alone", alone}, {"through the bridge", through}}

// What was published before the first member of a group came is lost alone.
func TestPublishedBeforeTheFirstMember(t *testing.T) {
	brokers := kafkatest.Brokers(t)
	got := make(map[string]int)
	for _, w := range ways {
		topic, publish := onTopic(t, brokers)
		early := ids("early", 20)
		publish(early...)
		s := newSeen()
		svc := w.start(t, brokers, "g"+topic, topic, func(_ context.Context, id string) error { s.add(id); return nil })
		for n := 0; s.of("marker") == 0; n++ { // Watermill doesn't tell when a member has joined
			require.Less(t, n, 60)
			publish("marker")
			select {
			case <-s.news:
			case <-time.After(time.Second):
			}
		}
		svc.stop()
		got[w.name] = s.among(early)
	}
	t.Logf("of 20 events from before the first member were handled: %v", got)
	require.Equal(t, map[string]int{"alone": 0, "through the bridge": 20}, got)
}

// An event that always fails is handed out for ever alone, and nothing behind it ever is.
func TestPoison(t *testing.T) {
	brokers := kafkatest.Brokers(t)
	const bound = 30 // runs of the failing one after which the test has seen enough
	runs, others := make(map[string]int), make(map[string]int)
	for _, w := range ways {
		topic, publish := onTopic(t, brokers)
		s := newSeen()
		svc := w.start(t, brokers, "g"+topic, topic, func(_ context.Context, id string) error {
			s.add(id)
			if id == "poison" {
				return errors.New("never")
			}
			return nil
		})
		for n := 0; s.of("warm") == 0; n++ {
			require.Less(t, n, 60)
			publish("warm")
			select {
			case <-s.news:
			case <-time.After(time.Second):
			}
		}
		behind := ids("behind", 10)
		publish(append([]string{"poison"}, behind...)...)
		s.until(t, "enough is seen", func() bool { return s.of("poison") >= bound || s.among(behind) == len(behind) })
		svc.stop()
		runs[w.name], others[w.name] = s.of("poison"), s.among(behind)
	}
	t.Logf("runs of the failing event: %v; handled of the 10 behind it: %v", runs, others)
	require.GreaterOrEqual(t, runs["alone"], bound)
	require.Zero(t, others["alone"])
	require.Equal(t, 3, runs["through the bridge"])
	require.Equal(t, 10, others["through the bridge"])
}

// When a partition moves while a handler is at work, that handler goes on beside the new
// owner's alone, and isn't told.
func TestHandlerAtWorkWhenItsPartitionMoves(t *testing.T) {
	brokers := kafkatest.Brokers(t)
	together := make(map[string]int)
	for _, w := range ways {
		topic, publish := onTopic(t, brokers)
		s := newSeen()
		var working, both atomic.Int64
		release := make(chan struct{})
		h := func(ctx context.Context, id string) error {
			if id != "long" {
				s.add(id)
				return nil
			}
			if working.Add(1) > 1 {
				both.Add(1)
			}
			s.add(id)
			defer working.Add(-1)
			if s.of(id) > 1 {
				return nil
			}
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-release:
				return nil
			}
		}
		members := []service{w.start(t, brokers, "g"+topic, topic, h)}
		for n := 0; s.of("warm") == 0; n++ {
			require.Less(t, n, 60)
			publish("warm")
			select {
			case <-s.news:
			case <-time.After(time.Second):
			}
		}
		publish("long")
		s.until(t, "it runs", func() bool { return s.of("long") == 1 })
		for n := 0; s.of("long") < 2; n++ { // until the partition has moved: the assignor decides
			require.Less(t, n, 6)
			members = append(members, w.start(t, brokers, "g"+topic, topic, h))
			for wait := time.After(10 * time.Second); s.of("long") < 2; {
				select {
				case <-s.news:
					continue
				case <-wait:
				}
				break
			}
		}
		together[w.name] = int(both.Load())
		close(release)
		for _, m := range members {
			m.stop()
		}
	}
	t.Logf("handlers at work on one event at the same time: %v", together)
	require.Equal(t, map[string]int{"alone": 1, "through the bridge": 0}, together)
}
