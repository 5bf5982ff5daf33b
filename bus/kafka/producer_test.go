package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
)

// on opens a channel on a cluster.
func on(t *testing.T, c *kfake.Cluster, cfg kafka.Config) *kafka.Channel {
	t.Helper()
	cfg.Brokers = c.ListenAddrs()
	ch := kafka.New(cfg)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = ch.Close(ctx)
	})
	return ch
}

func producerOf(t *testing.T, ch *kafka.Channel) event.Producer {
	t.Helper()
	p, err := ch.Producer(t.Context(), "orders")
	require.NoError(t, err)
	return p
}

// logOf reads n records of a topic.
func logOf(t *testing.T, c *kfake.Cluster, topic string, n int) (rs []*kgo.Record) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for len(rs) < n {
		fetches := cl.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		rs = append(rs, fetches.Records()...)
	}
	return rs
}

// written counts the records of a topic.
func written(c *kfake.Cluster, topic string) (n int64) {
	for _, p := range c.PartitionInfos(topic) {
		n += p.HighWatermark
	}
	return n
}

func numberedEvent(i int) event.Event {
	return event.New("/test", "tested", []byte("data")).WithID(fmt.Sprint("e-", i))
}

func TestAnEventIsWrittenOnceWhenAnswersAreLost(t *testing.T) {
	c := fake(t)
	p := producerOf(t, on(t, c, kafka.Config{}))
	lost := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut, Count: 3})
	for i := range 5 {
		require.NoError(t, p.Produce(t.Context(), numberedEvent(i)))
	}
	assert.Equal(t, 3, lost.Hits())
	assert.EqualValues(t, 5, written(c, "orders"))
}

func TestTheContextEndsTheWaitAndNotTheWrite(t *testing.T) {
	c := fake(t)
	p := producerOf(t, on(t, c, kafka.Config{}))
	arrived, proceed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		once.Do(func() { close(arrived) })
		c.SleepControl(func() { <-proceed })
		return nil, nil, false
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	err := p.Produce(ctx, numberedEvent(1), numberedEvent(2).WithType(""))
	var partly *event.ProduceError
	require.ErrorAs(t, err, &partly)
	require.Len(t, partly.Failed, 2)
	for _, f := range partly.Failed {
		assert.Equal(t, f.Index == 0, f.Maybe, "%v", f)
		if f.Maybe {
			require.ErrorIs(t, f.Err, context.Canceled)
		}
	}
	close(proceed)
	assert.Equal(t, "e-1", idOf(logOf(t, c, "orders", 1)[0]))
}

func idOf(r *kgo.Record) string {
	for _, h := range r.Headers {
		if h.Key == "ce_id" {
			return string(h.Value)
		}
	}
	return ""
}

// hung is a channel whose brokers answer no Produce until the test ends.
func hung(t *testing.T, room int64) event.Producer {
	t.Helper()
	c := fake(t)
	p := producerOf(t, on(t, c, kafka.Config{MaxBuffered: room}))
	end := make(chan struct{})
	t.Cleanup(func() { close(end) })
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		c.SleepControl(func() { <-end })
		return nil, nil, false
	})
	return p
}

func TestWhatWaitsForTheBrokersIsBounded(t *testing.T) {
	const room = 32 << 10
	p := hung(t, room)
	large := numberedEvent(1).WithData("text/plain", []byte(strings.Repeat("x", 4<<10)))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var mu sync.Mutex
	var maybe, refused int
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			var partly *event.ProduceError
			err := p.Produce(ctx, large)
			mu.Lock()
			defer mu.Unlock()
			if !errors.As(err, &partly) {
				t.Errorf("%v", err)
				return
			}
			if f := partly.Failed[0]; f.Maybe {
				maybe++
			} else {
				refused++
				if !errors.Is(f.Err, event.ErrFull) || !errors.Is(f.Err, context.DeadlineExceeded) {
					t.Errorf("%v", f.Err)
				}
			}
		})
	}
	wg.Wait()
	assert.Positive(t, maybe)
	assert.LessOrEqual(t, maybe, room/(4<<10), "more is on its way than there is room for")
	assert.Equal(t, 40, maybe+refused)
}

func TestAHandlerDoesNotWaitForRoom(t *testing.T) {
	const room = 32 << 10
	p := hung(t, room)
	large := numberedEvent(1).WithData("text/plain", []byte(strings.Repeat("x", 20<<10)))
	started, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	require.Error(t, p.Produce(started, large)) // takes most of the room

	handling := &event.Attempt{Context: t.Context()}
	err := p.Produce(handling, large, numberedEvent(2))
	require.ErrorIs(t, err, event.ErrFull)
	var partly *event.ProduceError
	require.ErrorAs(t, err, &partly)
	assert.Len(t, partly.Failed, 2, "all or nothing")
	for _, f := range partly.Failed {
		assert.False(t, f.Maybe)
	}
	assert.ErrorIs(t, p.Produce(handling, large, large), event.ErrTooLarge, "that never fits")
}

func TestACallLargerThanTheRoomGoesThrough(t *testing.T) {
	c := fake(t)
	p := producerOf(t, on(t, c, kafka.Config{MaxBuffered: 16 << 10}))
	var events []event.Event
	for i := range 200 {
		events = append(events, numberedEvent(i).WithKey("k").WithData("text/plain", []byte(strings.Repeat("x", 1000))))
	}
	require.NoError(t, p.Produce(t.Context(), events...))
	for i, r := range logOf(t, c, "orders", 200) {
		assert.Equal(t, fmt.Sprint("e-", i), idOf(r))
	}
}

func TestConcurrentCallsShareRequests(t *testing.T) {
	c := fake(t)
	p := producerOf(t, on(t, c, kafka.Config{}))
	var mu sync.Mutex
	requests := 0
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		mu.Lock()
		requests++
		mu.Unlock()
		c.SleepControl(func() { <-time.After(2 * time.Millisecond) }) // a round trip
		return nil, nil, false
	})
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for j := range 20 {
				assert.NoError(t, p.Produce(t.Context(), numberedEvent(100*i+j)))
			}
		})
	}
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	assert.Less(t, requests, 64*20/4)
}

func TestOneTooLargeEventFailsAlone(t *testing.T) {
	c := fake(t)
	p := producerOf(t, on(t, c, kafka.Config{}))
	err := p.Produce(t.Context(), numberedEvent(1), numberedEvent(2).WithData("", make([]byte, 3<<20)), numberedEvent(3))
	var partly *event.ProduceError
	require.ErrorAs(t, err, &partly)
	require.Len(t, partly.Failed, 1)
	assert.Equal(t, 1, partly.Failed[0].Index)
	require.ErrorIs(t, err, event.ErrTooLarge)
	assert.True(t, partly.Failed[0].Final())
	assert.EqualValues(t, 2, written(c, "orders"))
}

func TestTheLimitIsTheTopics(t *testing.T) {
	c := fake(t)
	small := "5000"
	require.NoError(t, c.CreateTopic("orders", 2, map[string]string{"max.message.bytes": small}))
	ch := on(t, c, kafka.Config{})
	p := producerOf(t, ch)
	g, err := ch.Guarantees(t.Context(), "orders", "")
	require.NoError(t, err)
	assert.Equal(t, 5000, g.MaxBytes)
	require.ErrorIs(t, p.Produce(t.Context(), numberedEvent(1).WithData("", make([]byte, 5000))), event.ErrTooLarge)
	var many []event.Event
	for i := range 100 { // as one batch they would be refused
		many = append(many, numberedEvent(i).WithKey("k").WithData("", make([]byte, 3000)))
	}
	assert.NoError(t, p.Produce(t.Context(), many...))
}

func TestTheLogWarnsOfOneReplicaInSync(t *testing.T) {
	c := fake(t, kfake.NumBrokers(3))
	for topic, warned := range map[string]bool{"weak": true, "strong": false} {
		var log strings.Builder
		ch := on(t, c, kafka.Config{Topics: kafka.TopicDefaults{Replicas: 3}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if !warned {
			require.NoError(t, c.CreateTopic(topic, 1, map[string]string{"min.insync.replicas": "2"}))
		}
		_, err := ch.Producer(t.Context(), topic)
		require.NoError(t, err)
		assert.Equal(t, warned, strings.Contains(log.String(), "min.insync.replicas to 2"), "%s: %s", topic, log.String())
	}
}

func TestWithoutAKeyTheRecordHasNone(t *testing.T) {
	c := fake(t)
	p := producerOf(t, on(t, c, kafka.Config{}))
	require.NoError(t, p.Produce(t.Context(), numberedEvent(1), numberedEvent(2).WithKey("k")))
	for _, r := range logOf(t, c, "orders", 2) {
		if idOf(r) == "e-1" {
			assert.Nil(t, r.Key, "an empty key is a key, and all events that have it go to one partition")
		} else {
			assert.Equal(t, "k", string(r.Key))
		}
	}
}

func TestProduceAfterCloseIsRefused(t *testing.T) {
	ch := on(t, fake(t), kafka.Config{})
	p := producerOf(t, ch)
	require.NoError(t, ch.Close(t.Context()))
	require.ErrorIs(t, p.Produce(t.Context(), numberedEvent(1)), event.ErrClosed)
	assert.ErrorIs(t, ch.Close(t.Context()), event.ErrClosed)
}

func TestConfigSaysAllThatIsWrong(t *testing.T) {
	ch := kafka.New(kafka.Config{Brokers: []string{"nowhere"}, SessionTimeout: -1})
	_, err := ch.Producer(t.Context(), "orders")
	require.Error(t, err)
	for _, part := range []string{"nowhere", "SessionTimeout"} {
		assert.Contains(t, err.Error(), part)
	}
	_, err = kafka.New(kafka.Config{}).Consumer(t.Context(), event.Subscription{Group: "g", Topics: []string{"t"}})
	assert.ErrorContains(t, err, "Config.Brokers is empty")
}

func TestNamesThatBrokersRefuse(t *testing.T) {
	ch := on(t, fake(t), kafka.Config{})
	for _, name := range []string{"", ".", "a b", "a/b", "ü", strings.Repeat("x", 250)} {
		_, err := ch.Producer(t.Context(), name)
		require.ErrorContains(t, err, "kafka:", "%q", name)
	}
	_, err := ch.Consumer(t.Context(), event.Subscription{Group: "a b", Topics: []string{"orders"}})
	assert.ErrorContains(t, err, `"a b"`)
}

func TestTopicsNeverMakesNone(t *testing.T) {
	ch := on(t, fake(t), kafka.Config{Topics: kafka.TopicDefaults{Never: true}})
	_, err := ch.Producer(t.Context(), "orders")
	require.ErrorContains(t, err, `"orders" doesn't exist`)
}
