package bridgeredis_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/bus/watermillbridge/bridgeredis"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/event/channeltest"
	"github.com/leat-go/leat/internal/servicetest"
)

// hold is how long the tests have something in hand at most.
const hold = 4 * time.Second

func config(tb testing.TB) bridgeredis.Config {
	tb.Helper()
	return bridgeredis.Config{
		Redis: redis.UniversalOptions{Addrs: []string{servicetest.Addr(tb, "redis")}}, Subscriptions: 8, MaxHold: hold, MaxBytes: 1 << 20,
	}
}

func open(tb testing.TB) *watermillbridge.Channel {
	tb.Helper()
	return openWith(tb, config(tb))
}

func openWith(tb testing.TB, cfg bridgeredis.Config) *watermillbridge.Channel {
	tb.Helper()
	ch, err := bridgeredis.New(cfg)
	require.NoError(tb, err)
	return ch
}

// client is Redis as it is.
func client(tb testing.TB) *redis.Client {
	tb.Helper()
	c := redis.NewClient(&redis.Options{Addr: servicetest.Addr(tb, "redis")})
	tb.Cleanup(func() { require.NoError(tb, c.Close()) })
	return c
}

func TestConformance(t *testing.T) {
	servicetest.Long(t)
	rdb := client(t)
	channeltest.Run(t, channeltest.Harness{
		Open: func(tb testing.TB) event.Channel { tb.Helper(); return open(tb) },
		Declared: &channeltest.Declaration{
			Guarantees: event.Guarantees{
				Channel: "redis", Durable: true, History: true, MaxBytes: 1<<20 - 16<<10,
				Lease: hold + 2*hold/4, MaxHold: hold, InHand: 8,
			},
			Capabilities: channeltest.DeadLetters | channeltest.GroupProducer,
		},
		Ephemeral: true,
		Topic:     newSweeper(t).topic,
		Crash:     watermillbridge.Crash,
		Reopen: func(tb testing.TB, ch event.Channel) event.Channel {
			tb.Helper()
			kill(tb, ch)
			return open(tb)
		},
		PutRaw: func(tb testing.TB, _ event.Channel, topic string, raw []byte) {
			tb.Helper()
			require.NoError(tb, rdb.XAdd(tb.Context(), &redis.XAddArgs{Stream: topic, Values: []any{"payload", raw}}).Err())
		},
		Parallel: true,
		Patience: 30 * time.Second, Silence: 500 * time.Millisecond, Events: 1000,
	})
}
