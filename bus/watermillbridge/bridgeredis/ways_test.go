package bridgeredis_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/servicetest"
)

// A way is how a service is run: on Watermill alone, as its defaults are, or on a Bus on
// the bridge.
type way struct {
	name  string
	start func(t *testing.T, group, topic string, h handle) service
}

var ways = []way{{"alone", alone}, {"through the bridge", through}}

// handle is a service's handler of an event by its id.
type handle func(ctx context.Context, id string) error

// service is a member of a group that runs.
type service struct {
	stop func()
	bus  *bus.Bus // nil: it runs on Watermill alone
}

// alone runs a member on Watermill's Router. What is a minute by default is two seconds.
func alone(t *testing.T, group, topic string, h handle) service {
	t.Helper()
	sub, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{
		Client: redis.NewClient(&redis.Options{Addr: servicetest.Addr(t, "redis")}), ConsumerGroup: group,
		MaxIdleTime: 2 * time.Second, ClaimInterval: 500 * time.Millisecond,
	}, watermill.NopLogger{})
	require.NoError(t, err)
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, watermill.NopLogger{})
	require.NoError(t, err)
	router.AddConsumerHandler("h", topic, sub, func(m *message.Message) error { return h(m.Context(), m.Metadata["ce_id"]) })
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var ran sync.WaitGroup
	ran.Go(func() { _ = router.Run(ctx) })
	<-router.Running()
	return service{stop: func() { cancel(); ran.Wait() }}
}

// through runs a member on a Bus on the bridge.
func through(t *testing.T, group, topic string, h handle) service {
	t.Helper()
	cfg := config(t)
	cfg.Subscriptions, cfg.MaxHold = 1, 2*time.Second
	b := bus.New(bus.Config{App: "shop", Channel: openWith(t, cfg)})
	bus.SubscribeRaw(b, group, nil, func(ctx context.Context, e event.Event) error { return h(ctx, e.ID()) },
		bus.Topic(topic), bus.Retry(bus.Backoff{First: 10 * time.Millisecond, Max: time.Second, Attempts: 3}))
	require.NoError(t, b.Start(t.Context()))
	return service{bus: b, stop: func() { require.NoError(t, b.Shutdown(context.WithoutCancel(t.Context()))) }}
}

// onTopic returns a topic and a function that publishes to it as a service on Watermill.
func onTopic(t *testing.T) (topic string, publish func(ids ...string)) {
	t.Helper()
	topic = name(t, "alone")
	pub, err := redisstream.NewPublisher(redisstream.PublisherConfig{Client: redis.NewClient(&redis.Options{Addr: servicetest.Addr(t, "redis")})}, watermill.NopLogger{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pub.Close()) })
	return topic, func(ids ...string) {
		for _, id := range ids {
			m, err := watermillbridge.Encode(event.New("/t", "e", nil).WithID(id))
			require.NoError(t, err)
			require.NoError(t, pub.Publish(topic, m))
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

// among returns how many of ids were handled.
func (s *seen) among(ids []string) (n int) {
	for _, id := range ids {
		n += min(s.of(id), 1)
	}
	return n
}

// until waits until cond is true, but no longer than patience.
func (s *seen) until(patience time.Duration, cond func() bool) bool {
	late := time.After(patience)
	for !cond() {
		select {
		case <-s.news:
		case <-late:
			return false
		}
	}
	return true
}
