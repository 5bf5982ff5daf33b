//go:build synctests

package kafka_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
)

// fakeCluster is a cluster within a bubble.
type fakeCluster struct {
	*kfake.Cluster

	tb  testing.TB
	cfg kafka.Config
}

// newFake starts a cluster whose topics have some partitions. It ends with the test.
func newFake(tb testing.TB, brokers, partitions int) *fakeCluster {
	tb.Helper()
	net := new(kfake.VirtualNetwork)
	cluster, err := kfake.NewCluster(kfake.Ports([]int{9092, 9093, 9094}[:brokers]...), kfake.ListenFn(net.Listen), kfake.SleepOutOfOrder())
	require.NoError(tb, err)
	tb.Cleanup(cluster.Close)
	return &fakeCluster{cluster, tb, kafka.Config{
		Brokers: cluster.ListenAddrs(), Dialer: net.DialContext, SessionTimeout: session,
		Topics: kafka.TopicDefaults{Partitions: partitions},
	}}
}

// channel opens a channel, which is closed with the test.
func (f *fakeCluster) channel() *kafka.Channel {
	ch := kafka.New(f.cfg)
	f.tb.Cleanup(func() { _ = ch.Close(context.Background()) })
	return ch
}

// client opens a client of the cluster, which is closed with the test.
func (f *fakeCluster) client(opts ...kgo.Opt) *kgo.Client {
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(f.cfg.Brokers...), kgo.Dialer(f.cfg.Dialer))...)
	require.NoError(f.tb, err)
	f.tb.Cleanup(cl.Close)
	return cl
}

// committed returns what a group has committed of a partition; -1 is nothing.
func (f *fakeCluster) committed(group, topic string, partition int32) int64 {
	got, err := kadm.NewClient(f.client()).FetchOffsets(f.tb.Context(), group)
	require.NoError(f.tb, err)
	if at, known := got.Lookup(topic, partition); known {
		return at.At
	}
	return -1
}

// numbers returns n events without a key.
func numbers(from, n int) []event.Event {
	es := make([]event.Event, n)
	for i := range es {
		es[i] = event.New("/test", "numbered", nil).WithID(fmt.Sprintf("n-%06d", from+i))
	}
	return es
}

// record returns an event as another client may write it.
func record(topic string, partition int32, id string) *kgo.Record {
	return &kgo.Record{Topic: topic, Partition: partition, Headers: []kgo.RecordHeader{
		{Key: "ce_specversion", Value: []byte("1.0")},
		{Key: "ce_id", Value: []byte(id)},
		{Key: "ce_source", Value: []byte("/test")},
		{Key: "ce_type", Value: []byte("numbered")},
	}}
}

// put produces events.
func put(tb testing.TB, ch event.Channel, topic string, es ...event.Event) {
	tb.Helper()
	p, err := ch.Producer(tb.Context(), topic)
	require.NoError(tb, err)
	require.NoError(tb, p.Produce(tb.Context(), es...))
}

// hand is a member that receives in the background and holds what hold wants; the rest
// it acks.
type hand struct {
	event.Consumer

	hold func(event.Delivery) bool

	mu     sync.Mutex
	acked  []string
	held   map[string]event.Token
	errors []error
	done   chan struct{}
}

// join adds a member to a group.
func join(tb testing.TB, ch event.Channel, group, topic string, hold func(event.Delivery) bool) *hand {
	tb.Helper()
	h := &hand{hold: hold, held: make(map[string]event.Token), done: make(chan struct{})}
	c, err := ch.Consumer(tb.Context(), event.Subscription{
		Group: group, Topics: []string{topic}, Grace: time.Second, CancelGrace: time.Second,
		OnError: func(err error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.errors = append(h.errors, err)
		},
	})
	require.NoError(tb, err)
	h.Consumer = c
	go h.run()
	return h
}

func (h *hand) run() {
	defer close(h.done)
	buf := make([]event.Delivery, 256)
	for {
		n, err := h.Receive(context.Background(), buf)
		if err != nil {
			return
		}
		var ss []event.Settlement
		h.mu.Lock()
		for _, d := range buf[:n] {
			if _, ok := h.Begin(d.Token); !ok {
				continue
			}
			if h.hold != nil && h.hold(d) {
				h.held[d.Event.ID()] = d.Token
				h.Hold(d.Token, 1)
				continue
			}
			h.acked = append(h.acked, d.Event.ID())
			ss = append(ss, event.Ack(d.Token))
		}
		h.mu.Unlock()
		_ = h.Settle(context.Background(), ss)
	}
}

func (h *hand) got() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.acked)
}

func (h *hand) told() []error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.errors)
}

// leave closes a member in good order.
func (h *hand) leave(tb testing.TB) {
	tb.Helper()
	require.NoError(tb, h.Close(context.Background()))
	<-h.done
}

// eventually waits, in virtual time.
func eventually(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	for range 6000 {
		if cond() {
			return
		}
		time.Sleep(100 * time.Millisecond) // virtual
	}
	require.FailNow(tb, "not in ten minutes: "+what)
}
