package bridgeaws_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wmsns "github.com/ThreeDotsLabs/watermill-aws/sns"
	wmsqs "github.com/ThreeDotsLabs/watermill-aws/sqs"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/watermillbridge/bridgeaws"
	"github.com/leat-go/leat/event"
)

// Both handle messages of a topic, and are compared: a service on Watermill's Router and
// watermill-aws with its settings, but for the visibility timeout, and one on leat.
const visibility = 2 * time.Second

// runs counts how often a handler ran for each message.
type runs struct {
	mu    sync.Mutex
	of    map[string]int
	some  chan struct{} // has a token for each run
	total int
}

func newRuns() *runs { return &runs{of: make(map[string]int), some: make(chan struct{}, 10000)} }

func (r *runs) add(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of[id]++
	r.total++
	r.some <- struct{}{}
}

func (r *runs) count() (distinct, total int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.of), r.total
}

// await waits until enough has run, and returns how long.
func (r *runs) await(tb testing.TB, enough func(distinct, total int) bool) time.Duration {
	tb.Helper()
	began := time.Now()
	timeout := time.After(60 * time.Second)
	for !enough(r.count()) {
		select {
		case <-r.some:
		case <-timeout:
			distinct, total := r.count()
			require.Failf(tb, "runs are missing", "%d messages came, in %d runs", distinct, total)
		}
	}
	return time.Since(began)
}

// a service handles the messages of a topic until it is stopped.
type service struct {
	name  string
	start func(tb testing.TB, topic string, handle func(id string) error) (stop func())
	queue func(tb testing.TB, topic string) queue
}

var services = []service{
	{"library", library, func(tb testing.TB, topic string) queue {
		tb.Helper()
		return queueNamed(tb, emulator(tb), topic+"-plain")
	}},
	{"bridged", bridged, func(tb testing.TB, topic string) queue {
		tb.Helper()
		return queueOf(tb, emulator(tb), topic, "shop.g")
	}},
}

// library is a service on Watermill alone.
func library(tb testing.TB, topic string, handle func(id string) error) (stop func()) {
	tb.Helper()
	cfg := emulator(tb)
	_, err := sns.NewFromConfig(cfg).CreateTopic(tb.Context(), &sns.CreateTopicInput{Name: &topic}) // else it can't subscribe
	require.NoError(tb, err)
	sub, err := wmsns.NewSubscriber(wmsns.SubscriberConfig{
		AWSConfig: cfg, TopicResolver: topics(tb),
		GenerateSqsQueueName: func(context.Context, wmsns.TopicArn) (string, error) { return topic + "-plain", nil },
	}, wmsqs.SubscriberConfig{
		AWSConfig: cfg, QueueConfigAttributes: wmsqs.QueueConfigAttributes{VisibilityTimeout: fmt.Sprint(int(visibility.Seconds()))},
	}, watermill.NopLogger{})
	require.NoError(tb, err)
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, watermill.NopLogger{})
	require.NoError(tb, err)
	for i := range 4 {
		router.AddConsumerHandler(fmt.Sprint(i), topic, sub, func(m *message.Message) error { return handle(m.UUID) })
	}
	go func() { _ = router.Run(context.WithoutCancel(tb.Context())) }()
	<-router.Running()
	return func() { require.NoError(tb, router.Close()) }
}

// bridged is a service on leat.
func bridged(tb testing.TB, topic string, handle func(id string) error) (stop func()) {
	tb.Helper()
	ch, err := bridgeaws.NewQuick(bridgeaws.Config{Poll: time.Second, AWS: emulator(tb), Lease: visibility})
	require.NoError(tb, err)
	b := bus.New(bus.Config{App: "shop", Channel: ch})
	bus.SubscribeRaw(b, "g", nil, func(_ context.Context, e event.Event) error { return handle(e.ID()) },
		bus.Topic(topic), bus.Workers(4), bus.Retry(bus.Backoff{First: 10 * time.Millisecond, Attempts: 3}))
	require.NoError(tb, b.Start(tb.Context()))
	return func() { require.NoError(tb, b.Shutdown(context.WithoutCancel(tb.Context()))) }
}

func messages(n int) []*message.Message {
	ms := make([]*message.Message, n)
	for i := range ms {
		ms[i] = message.NewMessage(fmt.Sprint("m-", i), []byte("x"))
	}
	return ms
}

// A handler that always fails runs for ever at the library's, with the visibility timeout
// between; through the bridge it has its attempts, and then there is a dead letter.
func TestAlwaysFails(t *testing.T) {
	t.Parallel()
	emulator(t)
	for _, s := range services {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			const attempts = 3
			topic, r := own("orders"), newRuns()
			stop := s.start(t, topic, func(id string) error {
				r.add(id)
				return errors.New("no")
			})
			publish(t, topic, messages(1)...)
			enough := attempts + 1 // more than that: for ever
			if s.name == "bridged" {
				enough = attempts
			}
			took := r.await(t, func(_, total int) bool { return total >= enough })
			if s.name == "bridged" {
				require.Eventually(t, s.queue(t, topic).isEmpty, 20*time.Second, 50*time.Millisecond)
			}
			stop()
			_, total := r.count()
			dead := 0
			for _, err := range open(t, bridgeaws.Config{Poll: time.Second, AWS: emulator(t)}).DeadLetters(t.Context(), topic, "shop.g") {
				require.NoError(t, err)
				dead++
			}
			t.Logf("%s: a handler that always fails ran %d times within %v; the queue is empty: %v; %d dead letters",
				s.name, total, took.Round(time.Millisecond), s.queue(t, topic).isEmpty(), dead)
			if s.name == "bridged" {
				require.Equal(t, attempts, total)
				require.Equal(t, 1, dead)
			}
		})
	}
}

// A member that is shut down in the middle of its work loses nothing, and another goes on.
func TestShutdownLosesNothing(t *testing.T) {
	t.Parallel()
	emulator(t)
	const n = 60
	for _, s := range services {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			topic, r := own("orders"), newRuns()
			handle := func(id string) error {
				<-time.After(50 * time.Millisecond) // the work
				r.add(id)
				return nil
			}
			stop := s.start(t, topic, handle)
			publish(t, topic, messages(n)...)
			r.await(t, func(distinct, _ int) bool { return distinct >= n/4 })
			began := time.Now()
			stop()
			stopped := time.Since(began)
			stop = s.start(t, topic, handle)
			took := r.await(t, func(distinct, _ int) bool { return distinct == n })
			require.Eventually(t, s.queue(t, topic).isEmpty, 20*time.Second, 50*time.Millisecond, "what came again is handled too")
			stop()
			distinct, total := r.count()
			t.Logf("%s: %d of %d messages handled, %d of them again; the member ended in %v, and the other had the rest %v later",
				s.name, distinct, n, total-distinct, stopped.Round(time.Millisecond), took.Round(time.Millisecond))
			require.Equal(t, n, distinct)
		})
	}
}
