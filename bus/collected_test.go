package bus_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// What a handler publishes is marked as collected when it goes out; what it sends at
// once, and what comes from outside, is not.
func TestCollectedIsMarked(t *testing.T) {
	type (
		Asked  struct{}
		Queued struct{}
		Sent   struct{}
	)
	ch := &marking{Channel: memory.New()}
	b := bus.New(bus.Config{Channel: ch})
	bus.Subscribe(b, "g", func(ctx context.Context, _ Asked) error {
		if err := b.Publish(ctx, Sent{}, bus.Now()); err != nil {
			return err
		}
		return b.Publish(ctx, Queued{})
	})
	start(t, b)
	require.NoError(t, b.Publish(t.Context(), Asked{}))
	require.NoError(t, b.Drain(t.Context()))
	slices.Sort(ch.marked)
	require.Equal(t, []string{"asked: false", "queued: true", "sent: false"}, ch.marked)
}

// marking notes which produces are of collected events.
type marking struct {
	*memory.Channel

	mu     sync.Mutex
	marked []string
}

func (m *marking) Producer(ctx context.Context, topic string) (event.Producer, error) {
	p, err := m.Channel.Producer(ctx, topic)
	return &markingProducer{p, m, topic}, err
}

type markingProducer struct {
	event.Producer

	m     *marking
	topic string
}

func (p *markingProducer) Produce(ctx context.Context, events ...event.Event) error {
	p.m.mu.Lock()
	mark := ": false"
	if event.Collected(ctx) {
		mark = ": true"
	}
	p.m.marked = append(p.m.marked, p.topic+mark)
	p.m.mu.Unlock()
	return p.Producer.Produce(ctx, events...)
}
