package watermill

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
)

var errFirst = errors.New("not at the first try")

// flaky is a handler whose every third event fails at first.
type flaky struct {
	runs    map[string]int
	effects map[string]int
}

func newFlaky() *flaky { return &flaky{make(map[string]int), make(map[string]int)} }

func (f *flaky) handle(id string, n int) error {
	f.runs[id]++
	if n%3 == 0 && f.runs[id] == 1 {
		return errFirst
	}
	f.effects[id]++
	return nil
}

// Watermill's Deduplicator marks a message before its handler runs: when that fails, what
// comes again is taken for a duplicate, acknowledged, and lost. With leat's middleware
// every event has its effect, once.
func TestADeduplicatorLosesWhatFailed(t *testing.T) {
	const n = 300
	theirs, ours := newFlaky(), newFlaky()
	deduplicated(t, n, theirs)
	idempotent(t, n, ours)
	require.Len(t, ours.effects, n)
	for id, times := range ours.effects {
		require.Equal(t, 1, times, id)
	}
	require.Len(t, theirs.runs, n, "each was delivered")
	require.Len(t, theirs.effects, n-n/3, "those that failed at first are lost")
	t.Logf("of %d events, of which %d failed at first and all were delivered twice: %d effects with the Deduplicator, %d with leat",
		n, n/3, len(theirs.effects), len(ours.effects))
}

// deduplicated sends n messages, each twice, through Watermill's router with its
// Deduplicator.
func deduplicated(t *testing.T, n int, f *flaky) {
	t.Helper()
	pubsub := gochannel.NewGoChannel(gochannel.Config{BlockPublishUntilSubscriberAck: true}, nil)
	router, err := message.NewRouter(message.RouterConfig{}, nil)
	require.NoError(t, err)
	byID := func(m *message.Message) (string, error) { return m.UUID, nil } // no two are alike
	router.AddMiddleware((&middleware.Deduplicator{KeyFactory: byID, Timeout: time.Minute}).Middleware)
	router.AddConsumerHandler("billing", "paid", pubsub, func(m *message.Message) error {
		return f.handle(m.UUID, number(string(m.Payload)))
	})
	ended := make(chan error, 1)
	go func() { ended <- router.Run(context.WithoutCancel(t.Context())) }()
	<-router.Running()
	for range 2 {
		for i := range n {
			require.NoError(t, pubsub.Publish("paid", message.NewMessage(fmt.Sprint("paid-", i), fmt.Append(nil, i))))
		}
	}
	require.NoError(t, router.Close())
	require.NoError(t, <-ended)
	require.NoError(t, pubsub.Close())
}

// idempotent sends n events, each twice, through a bus with leat's middleware.
func idempotent(t *testing.T, n int, f *flaky) {
	t.Helper()
	ch := memory.New()
	b := bus.New(bus.Config{App: "shop", Channel: ch})
	bus.SubscribeRaw(b, "billing", []string{"paid"}, func(_ context.Context, e event.Event) error {
		return f.handle(e.ID(), number(string(e.Data())))
	}, bus.With(idempotency.Middleware(idempotency.NewMemory(idempotency.MemoryConfig{}))), bus.Retry(bus.Backoff{First: 1, Max: 1}))
	require.NoError(t, b.Start(t.Context()))
	for range 2 {
		for i := range n {
			require.NoError(t, b.Publish(t.Context(), event.New("/shop", "paid", fmt.Append(nil, i)).WithID(fmt.Sprint("paid-", i))))
		}
	}
	require.NoError(t, b.Drain(t.Context()))
}

func number(s string) (n int) {
	_, _ = fmt.Sscan(s, &n)
	return n
}
