package bridgenats_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/bus/watermillbridge/bridgenats"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/event/channeltest"
	"github.com/leat-go/leat/internal/servicetest"
)

// hold is how long the tests have something in hand at most.
const hold = 4 * time.Second

func config(tb testing.TB) bridgenats.Config {
	tb.Helper()
	return bridgenats.Config{URL: servicetest.Addr(tb, "nats"), MaxHold: hold}
}

func open(tb testing.TB) *watermillbridge.Channel {
	tb.Helper()
	return openWith(tb, config(tb))
}

func openWith(tb testing.TB, cfg bridgenats.Config) *watermillbridge.Channel {
	tb.Helper()
	ch, err := bridgenats.New(cfg)
	require.NoError(tb, err)
	return ch
}

// client is JetStream as it is.
func client(tb testing.TB) (*nats.Conn, jetstream.JetStream) {
	tb.Helper()
	nc, err := nats.Connect(servicetest.Addr(tb, "nats"))
	require.NoError(tb, err)
	tb.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(tb, err)
	return nc, js
}

func TestConformance(t *testing.T) {
	servicetest.Long(t)
	t.Parallel()
	conform(t, false)
}

func TestConformanceOrdered(t *testing.T) {
	servicetest.Long(t)
	t.Parallel()
	conform(t, true)
}

func conform(t *testing.T, ordered bool) {
	t.Helper()
	nc, js := client(t)
	inHand, members := 8, 0
	if ordered {
		inHand, members = 1, 1
	}
	connect := func(tb testing.TB) event.Channel {
		tb.Helper()
		cfg := config(tb)
		cfg.Ordered = ordered
		return openWith(tb, cfg)
	}
	channeltest.Run(t, channeltest.Harness{
		Open: connect,
		Declared: &channeltest.Declaration{
			Guarantees: event.Guarantees{
				Channel: "nats", OrderPerKey: ordered, Durable: true, History: true, MaxBytes: int(nc.MaxPayload()) - 16<<10,
				Lease: hold + hold/4, MaxHold: hold, InHand: inHand,
			},
			Capabilities: channeltest.DeadLetters | channeltest.GroupProducer,
		},
		Members:   members,
		Ephemeral: true,
		Topic:     newSweeper(t).topic,
		Crash:     watermillbridge.Crash,
		Reopen: func(tb testing.TB, ch event.Channel) event.Channel {
			tb.Helper()
			kill(tb, ch)
			return connect(tb)
		},
		PutRaw: func(tb testing.TB, _ event.Channel, topic string, raw []byte) {
			tb.Helper()
			_, err := js.Publish(tb.Context(), topic, raw)
			require.NoError(tb, err)
		},
		Parallel: true,
		Patience: 30 * time.Second, Silence: 500 * time.Millisecond, Events: 1000,
	})
}
