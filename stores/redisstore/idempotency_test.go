package redisstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
	"github.com/leat-go/leat/idempotency/storetest"
	"github.com/leat-go/leat/internal/servicetest"
	"github.com/leat-go/leat/stores/redisstore"
)

func open(addr string) func(tb testing.TB, window time.Duration) idempotency.Store {
	return func(tb testing.TB, window time.Duration) idempotency.Store {
		tb.Helper()
		return connect(tb, addr, redisstore.IdempotencyConfig{Window: window, Prefix: "test:" + event.NewID() + ":"})
	}
}

func connect(tb testing.TB, addr string, cfg redisstore.IdempotencyConfig) idempotency.Store {
	tb.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr})
	tb.Cleanup(func() { require.NoError(tb, client.Close()) })
	return redisstore.NewIdempotency(client, cfg)
}

func TestIdempotency(t *testing.T) {
	addr := servicetest.Addr(t, "redis")
	var last redisstore.IdempotencyConfig
	storetest.Run(t, storetest.Harness{
		Open: func(tb testing.TB, window time.Duration) idempotency.Store {
			tb.Helper()
			last = redisstore.IdempotencyConfig{Window: window, Prefix: "test:" + event.NewID() + ":"}
			return connect(tb, addr, last)
		},
		Other:  func(tb testing.TB) idempotency.Store { tb.Helper(); return connect(tb, addr, last) },
		Window: 2 * time.Second, Late: 200 * time.Millisecond,
	})
}

// Claims and records survive kill -9 of the server.
func TestIdempotencySurvivesTheServer(t *testing.T) {
	server := servicetest.Start(t, "redis")
	storetest.Run(t, storetest.Harness{Open: open(server.Addr()), Restart: func(testing.TB) {
		server.Kill()
		server.Start()
	}})
}

// A server that has forgotten the scripts, as one that was restarted has, is told them again,
// also by a batch.
func TestScriptsAreForgotten(t *testing.T) {
	addr := servicetest.Addr(t, "redis")
	client := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	s := connect(t, addr, redisstore.IdempotencyConfig{Window: time.Minute, Prefix: "test:" + event.NewID() + ":"}).(idempotency.BatchStore)
	keys := []idempotency.Key{idempotency.StringKey("a"), idempotency.StringKey("b")}
	forget := func() { require.NoError(t, client.ScriptFlush(t.Context()).Err()) }
	forget()
	grants, errs := s.ClaimAll(t.Context(), keys, []idempotency.Claim{{Lease: time.Minute}, {Lease: time.Minute}})
	require.NoError(t, errors.Join(errs...))
	forget()
	require.NoError(t, errors.Join(s.CompleteAll(t.Context(), keys, []uint64{grants[0].Fence, grants[1].Fence}, make([]idempotency.Record, 2))...))
	forget()
	g, err := s.Claim(t.Context(), keys[1], idempotency.Claim{Lease: time.Minute})
	require.NoError(t, err)
	require.Equal(t, idempotency.Completed, g.State)
}
