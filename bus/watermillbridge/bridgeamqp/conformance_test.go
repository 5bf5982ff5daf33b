package bridgeamqp_test

import (
	"context"
	"sync"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge/bridgeamqp"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/event/channeltest"
	"github.com/leat-go/leat/internal/servicetest"
)

func TestConformance(t *testing.T) {
	servicetest.Long(t)
	conforms(t, bridgeamqp.Config{Subscriptions: 8}, 0, event.Guarantees{InHand: 8})
}

func TestConformanceOrdered(t *testing.T) {
	servicetest.Long(t)
	conforms(t, bridgeamqp.Config{Ordered: true}, 1, event.Guarantees{InHand: 1, OrderPerKey: true})
}

func TestConformanceQuorum(t *testing.T) {
	servicetest.Long(t)
	conforms(t, bridgeamqp.Config{Ordered: true, Quorum: true}, 1, event.Guarantees{InHand: 1, OrderPerKey: true})
}

// conforms tests a channel against all that it promises. members is how many can work at
// once.
func conforms(t *testing.T, cfg bridgeamqp.Config, members int, g event.Guarantees) {
	t.Helper()
	t.Parallel()
	cfg.URI = uri(t)
	g.Channel, g.Durable, g.MaxBytes, g.Lease, g.MaxHold = "rabbitmq", true, 16<<20-16<<10, 30*time.Second, 30*time.Minute
	x := newTraces(t)
	var mu sync.Mutex
	var all []*killable
	begin := func(tb testing.TB) event.Channel {
		tb.Helper()
		k := open(tb, cfg, x)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, k)
		return k
	}
	channeltest.Run(t, channeltest.Harness{
		Open:      begin,
		Declared:  &channeltest.Declaration{Guarantees: g, Capabilities: channeltest.DeadLetters | channeltest.GroupProducer},
		Members:   members,
		Ephemeral: true,
		Crash: func(c event.Consumer) {
			mu.Lock()
			defer mu.Unlock()
			for _, k := range all {
				if k.crash(c) {
					return
				}
			}
		},
		Reopen: func(tb testing.TB, ch event.Channel) event.Channel {
			tb.Helper()
			ctx, cancel := context.WithCancel(tb.Context())
			cancel()
			_ = ch.Close(ctx)
			return begin(tb)
		},
		PutRaw: func(tb testing.TB, _ event.Channel, topic string, raw []byte) {
			tb.Helper()
			require.NoError(tb, broker(tb).PublishWithContext(tb.Context(), topic, "", false, false, amqp091.Publishing{
				Headers: amqp091.Table{"content-type": "application/cloudevents+json"}, MessageId: "raw", Body: raw,
			}))
		},
		Parallel: true, Patience: time.Minute, Silence: 300 * time.Millisecond, Events: 1000,
	})
}
