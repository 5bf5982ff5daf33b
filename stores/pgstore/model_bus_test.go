package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/query"
	"github.com/leat-go/leat/stores/pgstore"
)

// A projection keeps a model in the database, is waited for, and is rebuilt while it goes on.
func TestModelOfAProjection(t *testing.T) {
	s, pool := newStore(t)
	m := s.Model(func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "create table balance (customer text primary key, cents int not null, n int not null)")
		return err
	})
	t.Cleanup(func() { dropGenerations(t, s, pool) })
	var fails atomic.Bool
	var p *query.Projection
	factor := atomic.Int64{}
	factor.Store(1)
	b, ch := startedWith(t, memory.New(memory.Retain(10_000)), func(b *bus.Bus) {
		p = query.Project(b, "balances", m)
		query.Apply(p, func(ctx context.Context, e Paid) error {
			if fails.Load() && e.Cents == 13 {
				return event.Permanent(errors.New("unlucky"))
			}
			_, err := pgstore.Tx(ctx).Exec(ctx, "insert into balance as b values ($1, $2, 1) on conflict (customer) do update set cents = b.cents + $2, n = b.n + 1",
				e.Customer, int64(e.Cents)*factor.Load())
			return err
		}, bus.Workers(8))
	})
	total := func() (cents, n int) {
		t.Helper()
		require.NoError(t, m.Read(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			return tx.QueryRow(ctx, "select coalesce(sum(cents), 0), coalesce(sum(n), 0) from balance").Scan(&cents, &n)
		}))
		return cents, n
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	const events = 300
	for i := range events {
		require.NoError(t, b.Publish(ctx, in(fmt.Sprint(i), Paid{Customer: fmt.Sprint(i % 20), Cents: 1})))
	}
	require.NoError(t, p.Wait(ctx, fmt.Sprint(events-1)))
	cents, n := total()
	require.Equal(t, []int{events, events}, []int{cents, n})

	fails.Store(true)
	require.NoError(t, b.Publish(ctx, in("unlucky", Paid{Customer: "1", Cents: 13})))
	require.NoError(t, b.Publish(ctx, in("after", Paid{Customer: "1", Cents: 1})))
	require.NoError(t, p.Wait(ctx, "after"))
	_, n = total()
	require.Equal(t, events+1, n)
	fails.Store(false)
	for d, err := range b.DeadLetters(ctx, "balances") {
		require.NoError(t, err)
		require.NoError(t, b.Redrive(ctx, d))
	}
	require.NoError(t, p.Wait(ctx, "unlucky"))
	_, n = total()
	require.Equal(t, events+2, n)

	factor.Store(2)
	rebuilt := make(chan error)
	go func() { rebuilt <- p.Rebuild(ctx) }()
	for i := range events {
		require.NoError(t, b.Publish(ctx, in(fmt.Sprint("more", i), Paid{Customer: fmt.Sprint(i % 20), Cents: 1})))
	}
	require.NoError(t, <-rebuilt)
	require.NoError(t, p.Wait(ctx, fmt.Sprint("more", events-1)))
	cents, n = total()
	require.Equal(t, []int{2 * (2*events + 1 + 13), 2*events + 2}, []int{cents, n})
	require.NoError(t, ch.Quiet(ctx))
	require.NoError(t, s.KeepOnce(ctx))
	require.Len(t, namespaces(t, s, pool), 1)
}
