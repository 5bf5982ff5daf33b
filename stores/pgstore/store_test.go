package pgstore_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
	"github.com/leat-go/leat/idempotency/storetest"
	"github.com/leat-go/leat/internal/servicetest"
	"github.com/leat-go/leat/stores/pgstore"
)

// connect returns a pool on a server.
func connect(tb testing.TB, addr string) *pgxpool.Pool {
	tb.Helper()
	cfg, err := pgxpool.ParseConfig(addr)
	require.NoError(tb, err)
	cfg.MaxConns = 32
	pool, err := pgxpool.NewWithConfig(tb.Context(), cfg)
	require.NoError(tb, err)
	tb.Cleanup(pool.Close)
	return pool
}

// schema returns an option with a schema that no other test has. It is dropped at the end.
func schema(tb testing.TB, pool *pgxpool.Pool) pgstore.Option {
	tb.Helper()
	return pgstore.Schema(schemaName(tb, pool))
}

func schemaName(tb testing.TB, pool *pgxpool.Pool) string {
	tb.Helper()
	name := "t_" + strings.ToLower(event.NewID())
	tb.Cleanup(func() {
		_, err := pool.Exec(context.WithoutCancel(tb.Context()), "drop schema if exists "+name+" cascade")
		if err != nil {
			tb.Log(err) // its server is gone
		}
	})
	return name
}

// newStore returns a store of its own on the server that all tests share.
func newStore(tb testing.TB, opts ...pgstore.Option) (*pgstore.Store, *pgxpool.Pool) {
	tb.Helper()
	return storeAt(tb, servicetest.Addr(tb, "postgres"), opts...)
}

func storeAt(tb testing.TB, addr string, opts ...pgstore.Option) (*pgstore.Store, *pgxpool.Pool) {
	tb.Helper()
	pool := connect(tb, addr)
	s := pgstore.New(pool, append([]pgstore.Option{schema(tb, pool)}, opts...)...)
	require.NoError(tb, s.Migrate(tb.Context()))
	return s, pool
}

// open opens stores for the suite: with partitions of half a second where records expire.
func open(addr string) func(tb testing.TB, window time.Duration) idempotency.Store {
	return func(tb testing.TB, window time.Duration) idempotency.Store {
		tb.Helper()
		return opened(tb, addr, window)
	}
}

func opened(tb testing.TB, addr string, window time.Duration) *pgstore.Store {
	tb.Helper()
	opts := []pgstore.Option{pgstore.Window(window)}
	if window < time.Minute {
		opts = append(opts, pgstore.Partition(500*time.Millisecond))
	}
	s, _ := storeAt(tb, addr, opts...)
	ctx, cancel := context.WithCancel(tb.Context())
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		_ = s.Keep(ctx)
	}()
	tb.Cleanup(func() {
		cancel()
		<-kept
	})
	return s
}

// suite runs the suite on a server.
func suite(t *testing.T, addr string) {
	t.Helper()
	var last string
	storetest.Run(t, storetest.Harness{
		Open: func(tb testing.TB, window time.Duration) idempotency.Store {
			tb.Helper()
			s := opened(tb, addr, window)
			last = s.SchemaName()
			return s
		},
		Other: func(tb testing.TB) idempotency.Store {
			tb.Helper()
			return pgstore.New(connect(tb, addr), pgstore.Schema(last))
		},
		Window: 2 * time.Second, Late: 3 * time.Second,
	})
}

func TestIdempotency(t *testing.T) { suite(t, servicetest.Addr(t, "postgres")) }

// What the role or the database has for a default doesn't matter: with a snapshot from
// before its lock a claim would not see what was done meanwhile.
func TestIdempotencyWhateverTheIsolation(t *testing.T) {
	for _, level := range []string{"repeatable read", "serializable"} {
		t.Run(level, func(t *testing.T) {
			suite(t, servicetest.Addr(t, "postgres")+"&default_transaction_isolation="+url.PathEscape(level))
		})
	}
}

// Claims and records survive kill -9 of the server.
func TestIdempotencySurvivesTheServer(t *testing.T) {
	server := servicetest.Start(t, "postgres")
	storetest.Run(t, storetest.Harness{Open: open(server.Addr()), Restart: func(testing.TB) {
		server.Kill()
		server.Start()
	}})
}

// Without its tables a store says what is missing.
func TestWithoutTables(t *testing.T) {
	pool := connect(t, servicetest.Addr(t, "postgres"))
	s := pgstore.New(pool, schema(t, pool))
	_, err := s.Claim(t.Context(), idempotency.StringKey("a"), idempotency.Claim{Lease: time.Minute})
	require.ErrorContains(t, err, "Store.Migrate")
	require.ErrorContains(t, s.InTx().CheckStart(event.Subscription{}, event.Guarantees{}), "Store.Migrate")
	require.NoError(t, s.Migrate(t.Context()))
	require.NoError(t, s.InTx().CheckStart(event.Subscription{}, event.Guarantees{}))
}

// Migrate may be called by many at once, and again.
func TestMigrateTogether(t *testing.T) {
	pool := connect(t, servicetest.Addr(t, "postgres"))
	s := pgstore.New(pool, schema(t, pool))
	errs := make(chan error)
	for range 8 {
		go func() { errs <- s.Migrate(t.Context()) }()
	}
	for range 8 {
		require.NoError(t, <-errs)
	}
	require.NoError(t, s.Migrate(t.Context()))
	_, err := s.Claim(t.Context(), idempotency.StringKey("a"), idempotency.Claim{Lease: time.Minute})
	require.NoError(t, err)
}

// The same is done by a tool of one's own.
func TestMigrationsAsSQL(t *testing.T) {
	pool := connect(t, servicetest.Addr(t, "postgres"))
	name := "t_" + strings.ToLower(event.NewID())
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "create schema "+name+"; set local search_path to "+name)
		require.NoError(t, err)
		for _, sql := range migrations(t) {
			_, err := tx.Exec(t.Context(), sql)
			require.NoError(t, err)
		}
		return nil
	}))
	t.Cleanup(func() { _, _ = pool.Exec(context.WithoutCancel(t.Context()), "drop schema "+name+" cascade") })
	s := pgstore.New(pool, pgstore.Schema(name))
	_, err := s.Claim(t.Context(), idempotency.StringKey("a"), idempotency.Claim{Lease: time.Minute})
	require.ErrorContains(t, err, "Store.Keep")
	require.NoError(t, s.Migrate(t.Context()), "nothing is left to do but partitions")
	_, err = s.Claim(t.Context(), idempotency.StringKey("a"), idempotency.Claim{Lease: time.Minute})
	require.NoError(t, err)
}

// A schema may be named as one likes.
func TestSchemaNames(t *testing.T) {
	pool := connect(t, servicetest.Addr(t, "postgres"))
	for _, name := range []string{`o'clock`, `"quoted"`, `a $$ b`, `%I.%s`, `Über uns`} {
		name += strings.ToLower(event.NewID())
		s := pgstore.New(pool, pgstore.Schema(name))
		require.NoError(t, s.Migrate(t.Context()), name)
		t.Cleanup(func() {
			_, _ = pool.Exec(context.WithoutCancel(t.Context()), "drop schema "+pgx.Identifier{name}.Sanitize()+" cascade")
		})
		e := event.New("/shop", "paid", nil)
		runs := 0
		once := s.InTx().Wrap(func(context.Context, event.Event) error {
			runs++
			return nil
		})
		for range 2 {
			require.NoError(t, once(&event.Attempt{Context: t.Context(), Info: event.Info{Event: e, Group: "billing"}}, e), name)
		}
		require.Equal(t, 1, runs, name)
	}
}

// Partitions are there for a week, and no longer than is of use: a claim looks into each.
func TestPartitionsAhead(t *testing.T) {
	const day = 24 * time.Hour
	for span, most := range map[time.Duration]struct{ inbox, outbox int }{
		day: {8, 8}, 5 * day: {3, 3}, 14 * day: {2, 2}, 365 * day: {2, 2}, 0: {2, 8}, // 0: not said
	} {
		pool := connect(t, servicetest.Addr(t, "postgres"))
		name := "t_" + strings.ToLower(event.NewID())
		t.Cleanup(func() { _, _ = pool.Exec(context.WithoutCancel(t.Context()), "drop schema "+name+" cascade") })
		opts := []pgstore.Option{pgstore.Schema(name)}
		if span > 0 {
			opts = append(opts, pgstore.Partition(span))
		}
		s := pgstore.New(pool, opts...)
		for range 2 {
			require.NoError(t, s.Migrate(t.Context()))
		}
		for of, most := range map[string]int{"inbox": most.inbox, "outbox": most.outbox} {
			var n int
			var now, until time.Time
			require.NoError(t, pool.QueryRow(t.Context(), "select count(*), max(until), clock_timestamp() from "+name+".partitions where of = $1", of).
				Scan(&n, &until, &now))
			require.LessOrEqual(t, n, most, span)
			require.Greater(t, until.Sub(now), 7*day, span)
		}
	}
}
