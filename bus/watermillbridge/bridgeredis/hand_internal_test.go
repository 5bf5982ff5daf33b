package bridgeredis

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge/internal/relay"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/servicetest"
)

// What the library has forgotten when a subscription ends is made up for.
func TestForgotten(t *testing.T) {
	rdb := redis.NewClient(&redis.Options{Addr: servicetest.Addr(t, "redis")})
	defer func() { require.NoError(t, rdb.Close()) }()
	for _, c := range []struct {
		name    string
		treat   func(out <-chan *message.Message)
		pending int
		free    bool // for others to claim
	}{
		{"acknowledged", func(out <-chan *message.Message) { (<-out).Ack() }, 0, false},
		{"nacked", func(out <-chan *message.Message) { (<-out).Nack() }, 1, true},
		{"nobody took it", func(<-chan *message.Message) {}, 1, true},
		{"somebody is at work", func(out <-chan *message.Message) { <-out }, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			topic := "end-" + strings.ToLower(event.NewID())
			defer rdb.Del(context.Background(), topic)
			require.NoError(t, rdb.XGroupCreateMkStream(t.Context(), topic, "g", "0").Err())
			require.NoError(t, rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: topic, Values: []any{"payload", "p"}}).Err())
			h := &hand{
				kept: kept{rdb}, topic: topic, group: "g", consumer: "me", idle: time.Hour,
				relay: new(relay.Relay), slot: make(chan struct{}, 1),
			}
			ctx, end := context.WithCancel(t.Context())
			in, out, relayed := make(chan *message.Message), make(chan *message.Message), make(chan struct{})
			go func() {
				defer close(relayed)
				h.relay.Run(ctx, in, out)
			}()
			read := &redis.XReadGroupArgs{Group: "g", Consumer: "me", Streams: []string{topic, ">"}, Count: 1, Block: blockTime}
			require.NoError(t, h.XReadGroup(ctx, read).Err())
			in <- message.NewMessage("", nil)
			c.treat(out)
			end()
			close(in)
			<-relayed
			require.ErrorIs(t, h.XReadGroup(ctx, read).Err(), redis.Nil, "no more at the end")
			h.end()
			ps, err := rdb.XPendingExt(t.Context(), &redis.XPendingExtArgs{Stream: topic, Group: "g", Start: "-", End: "+", Count: 10}).Result()
			require.NoError(t, err)
			require.Len(t, ps, c.pending)
			if c.pending > 0 {
				require.Equal(t, c.free, ps[0].Idle >= time.Hour)
			}
		})
	}
}
