package redisstore_test

import (
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
		client := redis.NewClient(&redis.Options{Addr: addr})
		tb.Cleanup(func() { require.NoError(tb, client.Close()) })
		return redisstore.NewIdempotency(client, redisstore.IdempotencyConfig{Window: window, Prefix: "test:" + event.NewID() + ":"})
	}
}

func TestIdempotency(t *testing.T) {
	storetest.Run(t, storetest.Harness{Open: open(servicetest.Addr(t, "redis")), Window: 2 * time.Second, Late: 200 * time.Millisecond})
}

// Claims and records survive kill -9 of the server.
func TestIdempotencySurvivesTheServer(t *testing.T) {
	server := servicetest.Start(t, "redis")
	storetest.Run(t, storetest.Harness{Open: open(server.Addr()), Restart: func(testing.TB) {
		server.Kill()
		server.Start()
	}})
}
