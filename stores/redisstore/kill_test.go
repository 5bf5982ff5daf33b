package redisstore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
	"github.com/leat-go/leat/internal/servicetest"
	"github.com/leat-go/leat/stores/redisstore"
)

// effects counts what handlers did.
type effects struct {
	mu   sync.Mutex
	of   map[string]int
	news chan struct{}
}

func (e *effects) add(id string) {
	e.mu.Lock()
	e.of[id]++
	e.mu.Unlock()
	select {
	case e.news <- struct{}{}:
	default:
	}
}

func (e *effects) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.of)
}

// Redis is killed again and again while duplicates are handled by several workers of two
// processes' worth of buses: they go on by themselves when it is back, nothing is lost,
// and, since no process died, nothing is done twice.
func TestRedisIsKilledInMidRun(t *testing.T) {
	const events, kills = 1000, 20
	server := servicetest.Start(t, "redis")
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1})
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	store := redisstore.NewIdempotency(client, redisstore.IdempotencyConfig{})
	ch := memory.New(memory.Capacity(10 * events))
	done := &effects{of: make(map[string]int), news: make(chan struct{}, 1)}
	for range 2 {
		// A lease that outlives every outage: one that ends in it is the window in which
		// an effect is had again.
		once := idempotency.Middleware(store, idempotency.Lease(10*time.Second))
		b := bus.New(bus.Config{App: "shop", Channel: ch, KeepChannel: true})
		bus.SubscribeRaw(b, "billing", nil, func(ctx context.Context, e event.Event) error {
			done.add(e.ID())
			return ctx.Err()
		}, bus.Topic("orders"), bus.With(once), bus.Workers(8))
		require.NoError(t, b.Start(t.Context()))
		t.Cleanup(func() { require.NoError(t, b.Shutdown(context.WithoutCancel(t.Context()))) })
	}
	p, err := ch.Producer(t.Context(), "orders")
	require.NoError(t, err)
	for i := range kills {
		before := done.count()
		for j := range events / kills {
			e := event.New("/shop", "order", nil).WithID(fmt.Sprintf("%d-%d", i, j))
			require.NoError(t, p.Produce(t.Context(), e, e, e))
		}
		for done.count() == before { // in mid-run
			select {
			case <-done.news:
			case <-time.After(time.Minute):
				require.Fail(t, "nothing is handled any more")
			}
		}
		server.Kill()
		server.Start()
	}
	quiet, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	require.NoError(t, ch.Quiet(quiet))
	done.mu.Lock()
	defer done.mu.Unlock()
	require.Len(t, done.of, events, "each has its effect")
	for id, n := range done.of {
		require.Equal(t, 1, n, id)
	}
}
