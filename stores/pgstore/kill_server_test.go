package pgstore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/servicetest"
)

// handled are the events whose deliveries came to a good end.
type handled struct {
	mu   sync.Mutex
	ids  map[string]bool
	news chan struct{}
}

// Wrap notes them.
func (h *handled) Wrap(next event.Handler) event.Handler {
	return func(ctx context.Context, e event.Event) error {
		err := next(ctx, e)
		if err == nil {
			h.mu.Lock()
			h.ids[e.ID()] = true
			h.mu.Unlock()
			select {
			case h.news <- struct{}{}:
			default:
			}
		}
		return err
	}
}

func (h *handled) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.ids)
}

// more waits until more than n are.
func (h *handled) more(t *testing.T, n int) {
	t.Helper()
	patience := time.NewTimer(time.Minute)
	defer patience.Stop()
	for h.count() <= n {
		select {
		case <-h.news:
		case <-patience.C:
			require.FailNow(t, "nothing is handled any more", "%d events", n)
		}
	}
}

// PostgreSQL is killed again and again while duplicates are handled by the workers of two
// processes' worth of buses, and relays publish what follows: they go on by themselves when
// it is back. Nothing is lost, nothing is done twice, and what was published is what was
// committed.
func TestPostgresIsKilledInMidRun(t *testing.T) {
	servicetest.Long(t)
	const events, kills = 2000, 20
	server := servicetest.Start(t, "postgres")
	s, pool := storeAt(t, server.Addr())
	money := newBank(t, pool)
	ch := memory.New(memory.Capacity(10 * events))
	h := listen(t, ch, "booked")
	done := &handled{ids: make(map[string]bool), news: make(chan struct{}, 1)}
	for range 2 {
		b := bus.New(bus.Config{App: "shop", Channel: ch, KeepChannel: true})
		bus.Subscribe(b, "billing", func(ctx context.Context, p Paid) error {
			if err := money.book(ctx, p.Cents); err != nil {
				return err
			}
			return b.Publish(ctx, Booked{p.Customer})
		}, bus.With(done, s.InTx()), bus.Workers(8))
		require.NoError(t, b.Start(t.Context()))
		t.Cleanup(func() { require.NoError(t, b.Shutdown(context.WithoutCancel(t.Context()))) })
		t.Cleanup(relaying(t, s, b))
	}
	p, err := ch.Producer(t.Context(), "paid")
	require.NoError(t, err)
	want := make(map[string]int)
	var down time.Duration
	for i := range kills {
		before := done.count()
		for j := range events / kills {
			e := in(fmt.Sprintf("%d-%d", i, j), Paid{Customer: fmt.Sprint(j % 30)})
			require.NoError(t, p.Produce(t.Context(), e, e))
			want[e.ID()] = 1
		}
		done.more(t, before+events/kills/4)
		server.Kill()
		at := time.Now()
		server.Start()
		down += time.Since(at)
	}
	up := time.Now()
	quietSoon, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	require.NoError(t, ch.Quiet(quietSoon, "shop.billing"))
	require.Equal(t, want, money.booked(t))
	follow := make(map[string]bool)
	for _, e := range h.wait(t, events) {
		follow[e.ID()] = true
	}
	for id := range want {
		require.True(t, follow[event.DerivedID("shop.billing", "/shop", id, 0)], "what follows %s", id)
	}
	require.Eventually(t, func() bool { return outboxOf(t, s) == 0 }, 10*time.Second, 10*time.Millisecond)
	t.Logf("%d events, %d kills, %v each until it served again; all was done %v after the last; %d were published again",
		events, kills, (down / kills).Round(time.Millisecond), time.Since(up).Round(time.Millisecond), again(h))
}
