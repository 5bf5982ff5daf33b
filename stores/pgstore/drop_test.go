package pgstore_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/idempotency"
	"github.com/leat-go/leat/internal/servicetest"
	"github.com/leat-go/leat/stores/pgstore"
)

// What is committed late, into a partition that is past, is published in its place, also
// while others keep the partition from being detached.
func TestOutboxIsDroppedBehindTheLast(t *testing.T) {
	s, pool := newStore(t, pgstore.Partition(400*time.Millisecond))
	b, ch := edge(t)
	h := listen(t, ch, "paid")
	slow, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = slow.Rollback(context.WithoutCancel(t.Context())) }()
	require.NoError(t, s.Publish(t.Context(), slow, b, in("1", Paid{Customer: "ada"})))
	reader, err := pool.Begin(t.Context()) // knows the partitions
	require.NoError(t, err)
	defer func() { _ = reader.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = reader.Exec(t.Context(), "select count(*) from "+s.Table("outbox"))
	require.NoError(t, err)
	relaying(t, s, b)
	pause(t, 2*time.Second)
	require.NoError(t, slow.Commit(t.Context()))
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		return s.Publish(t.Context(), tx, b, in("2", Paid{Customer: "ada"}))
	}))
	require.Equal(t, []string{"1", "2"}, ids(h.wait(t, 2)))
}

// A transaction that stays open holds up the dropping of partitions, not their making, nor
// the start of another process.
func TestPartitionsAreMadeBehindAnOpenTransaction(t *testing.T) {
	s, pool := newStore(t, pgstore.Partition(500*time.Millisecond), pgstore.Window(time.Second))
	open, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = open.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = open.Exec(t.Context(), "select count(*) from "+s.Table("outbox"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	kept := make(chan error, 1)
	go func() { kept <- s.Keep(ctx) }()
	defer func() {
		cancel()
		require.ErrorIs(t, <-kept, context.Canceled)
	}()
	for n := range 16 {
		pause(t, 500*time.Millisecond)
		_, err := s.Claim(t.Context(), idempotency.StringKey(string(rune('a'+n))), idempotency.Claim{Lease: time.Minute})
		require.NoError(t, err)
		soon, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		require.NoError(t, s.Migrate(soon))
		cancel()
	}
}

// Spans that no float has exactly are as good as others.
func TestPartitionsOfAnySpan(t *testing.T) {
	for _, span := range []time.Duration{100 * time.Millisecond, 400 * time.Millisecond, 1100 * time.Millisecond, 7 * time.Hour} {
		s, _ := newStore(t, pgstore.Partition(span))
		for range 5 {
			require.NoError(t, s.KeepOnce(t.Context()))
			pause(t, 50*time.Millisecond)
		}
	}
}

// A session that planned while a partition was known to be empty doesn't read all of it
// later: at some thousand records that would be slower than the rest of the transaction.
func TestClaimsByIndex(t *testing.T) {
	cfg, err := pgxpool.ParseConfig(servicetest.Addr(t, "postgres"))
	require.NoError(t, err)
	cfg.MaxConns = 1 // one session, which keeps its plans
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	name := schemaName(t, pool)
	s := pgstore.New(pool, pgstore.Schema(name))
	require.NoError(t, s.Migrate(t.Context()))
	_, err = pool.Exec(t.Context(), "analyze "+name+".inbox")
	require.NoError(t, err)
	const keys = 200
	for i := range keys {
		key := idempotency.Key{Group: "g", ID: strconv.Itoa(i)}
		g, err := s.Claim(t.Context(), key, idempotency.Claim{Lease: time.Minute})
		require.NoError(t, err)
		require.NoError(t, s.Complete(t.Context(), key, g.Fence, idempotency.Record{}))
		_, err = pool.Exec(t.Context(), "select "+name+".claim_new($1, gen_random_uuid(), '', '')", 1_000_000+i) // as InTx does
		require.NoError(t, err)
	}
	var scans int
	_, err = pool.Exec(t.Context(), "select pg_stat_force_next_flush()")
	require.NoError(t, err)
	require.NoError(t, pool.QueryRow(t.Context(), "select max(seq_scan) from pg_stat_user_tables where schemaname = $1 and relname like 'inbox_%'", name).Scan(&scans))
	require.Less(t, scans, keys/10)
}
