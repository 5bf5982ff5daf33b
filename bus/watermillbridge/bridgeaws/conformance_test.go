package bridgeaws_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge/bridgeaws"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/event/channeltest"
	"github.com/leat-go/leat/internal/servicetest"
)

// There is no PutRaw: its bytes are no text, which nobody can put into a queue. See
// TestUndecodable.
func TestConformance(t *testing.T) {
	servicetest.Long(t)
	t.Parallel()
	cfg := bridgeaws.Config{Poll: time.Second, AWS: emulator(t), Lease: 5 * time.Second}
	lives := new(sync.Map)
	newChannel := func(tb testing.TB) event.Channel {
		tb.Helper()
		ch, err := bridgeaws.NewQuick(cfg)
		require.NoError(tb, err)
		return mortal{ch, lives}
	}
	channeltest.Run(t, channeltest.Harness{
		Open: newChannel,
		Declared: &channeltest.Declaration{
			Guarantees: event.Guarantees{
				Channel: "sns-sqs", Durable: true, MaxBytes: 240 << 10, RedeliveryHorizon: 14 * 24 * time.Hour,
				Lease: cfg.Lease, MaxHold: cfg.Lease, InHand: 4,
			},
			Capabilities: channeltest.DeadLetters | channeltest.GroupProducer,
		},
		Crash: crash(lives),
		Reopen: func(tb testing.TB, ch event.Channel) event.Channel {
			tb.Helper()
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			require.NoError(tb, ch.Close(ctx))
			return newChannel(tb)
		},
		Parallel: true,
		Patience: 40 * time.Second, Silence: 500 * time.Millisecond, Events: 300,
	})
}
