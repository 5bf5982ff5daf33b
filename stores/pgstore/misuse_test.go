package pgstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
	"github.com/leat-go/leat/internal/servicetest"
	"github.com/leat-go/leat/stores/pgstore"
)

// Temporary tables of a session are not taken for the store's.
func TestTemporaryTables(t *testing.T) {
	s, pool := newStore(t)
	b, _ := edge(t)
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "create temp table outbox (like "+s.Table("outbox")+") on commit drop")
		require.NoError(t, err)
		return s.Publish(t.Context(), tx, b, in("1", Paid{Customer: "ada"}))
	}))
	require.EqualValues(t, 1, outboxOf(t, s))
}

// Who owns the schema needs no right to make one.
func TestMigrateInOwnSchema(t *testing.T) {
	admin := connect(t, servicetest.Addr(t, "postgres"))
	name := strings.ToLower(event.NewID())
	schema, role := "t_"+name, "r_"+name
	_, err := admin.Exec(t.Context(), "create role "+role+" login password 'x'; create schema "+schema+" authorization "+role)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, _ = admin.Exec(context.WithoutCancel(t.Context()), "drop schema "+schema+" cascade; drop role "+role)
	})
	cfg, err := pgxpool.ParseConfig(servicetest.Addr(t, "postgres"))
	require.NoError(t, err)
	cfg.ConnConfig.User, cfg.ConnConfig.Password = role, "x"
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	defer pool.Close()
	require.NoError(t, pgstore.New(pool, pgstore.Schema(schema)).Migrate(t.Context()))
}

// Tables that were restored into another cluster have numbers that are still to come.
func TestRelayAfterARestore(t *testing.T) {
	s, pool := newStore(t)
	b, ch := edge(t)
	h := listen(t, ch, "paid")
	publish := func(id string) {
		require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			return s.Publish(t.Context(), tx, b, in(id, Paid{Customer: "ada"}))
		}))
	}
	publish("1")
	_, err := pool.Exec(t.Context(), "update "+s.Table("outbox")+" set xid = (xid::text::bigint + 100000000)::text::xid8")
	require.NoError(t, err)
	relaying(t, s, b)
	h.wait(t, 1)
	publish("2")
	require.Equal(t, []string{"1", "2"}, ids(h.wait(t, 2)))
}

// What a handler left of its transaction can't reach into another's.
func TestPartOfATransactionAfterIt(t *testing.T) {
	s, pool := newStore(t)
	money := newBank(t, pool)
	var parts []pgx.Tx
	b, ch := started(t, func(b *bus.Bus) {
		bus.Subscribe(b, "billing", func(ctx context.Context, p Paid) error {
			part, err := pgstore.Tx(ctx).Begin(ctx)
			if err != nil {
				return err
			}
			inner, err := part.Begin(ctx)
			parts = append(parts, part, inner)
			return errors.Join(err, money.book(ctx, p.Cents))
		}, bus.With(s.InTx()))
	})
	require.NoError(t, b.Publish(t.Context(), in("1", Paid{"ada", 5})))
	quiet(t, ch)
	require.Len(t, parts, 2)
	for _, part := range parts {
		_, err := part.Exec(t.Context(), "insert into "+money.table+" values ('x', 1)")
		require.ErrorIs(t, err, pgx.ErrTxClosed)
	}
	require.Equal(t, map[string]int{"1": 1}, money.booked(t))
}

// A handler that ends its transaction in SQL has failed: there is no record of what it did
// afterwards.
func TestTransactionEndedInSQL(t *testing.T) {
	s, _ := newStore(t)
	b, ch := started(t, func(b *bus.Bus) {
		bus.Subscribe(b, "billing", func(ctx context.Context, _ Paid) error {
			_, err := pgstore.Tx(ctx).Exec(ctx, "rollback")
			return err
		}, bus.With(s.InTx()), bus.Retry(bus.Backoff{First: time.Millisecond, Attempts: 2}))
	})
	require.NoError(t, b.Publish(t.Context(), in("1", Paid{"ada", 5})))
	quiet(t, ch)
	n := 0
	for d, err := range b.DeadLetters(t.Context(), "billing") {
		require.NoError(t, err)
		require.Contains(t, d.Cause.Text, pgstore.ErrNotYours.Error())
		n++
	}
	require.Equal(t, 1, n)
}

// Who waits for a connection of database/sql stops with its event.
func TestInSQLWaitsForAConnection(t *testing.T) {
	s, pool := newStore(t)
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	db.SetMaxOpenConns(1)
	taken, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	b := bus.New(bus.Config{Channel: memory.New()})
	once := s.InSQL(db)
	bus.Subscribe(b, "billing", func(context.Context, Paid) error { return nil }, bus.With(once), bus.Timeout(100*time.Millisecond))
	require.NoError(t, b.Start(t.Context()))
	require.NoError(t, b.Publish(t.Context(), in("1", Paid{"ada", 5})))
	require.Eventually(t, func() bool { return once.Stats().Failed > 0 }, 10*time.Second, 10*time.Millisecond)
	require.NoError(t, taken.Rollback())
	require.NoError(t, b.Shutdown(t.Context()))
}

// A handler that doesn't wait for a statement, and hides that, has failed: its connection is
// gone, and its effect with it.
func TestHandlerGivesUp(t *testing.T) {
	s, _ := newStore(t)
	once := s.InTx()
	b, ch := started(t, func(b *bus.Bus) {
		bus.Subscribe(b, "billing", func(ctx context.Context, _ Paid) error {
			brief, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
			defer cancel()
			_, _ = pgstore.Tx(ctx).Exec(brief, "select pg_sleep(10)")
			return nil
		}, bus.With(once), bus.Retry(bus.Backoff{First: time.Millisecond, Attempts: 3}))
	})
	require.NoError(t, b.Publish(t.Context(), Paid{"ada", 5}))
	quiet(t, ch)
	n := 0
	for d, err := range b.DeadLetters(t.Context(), "billing") {
		require.NoError(t, err)
		require.Contains(t, d.Cause.Text, idempotency.ErrAborted.Error())
		n++
	}
	require.Equal(t, 1, n)
	require.Zero(t, once.Stats().Interrupted)
}

// Of several stores in one schema the longest window counts.
func TestLongestWindow(t *testing.T) {
	pool := connect(t, servicetest.Addr(t, "postgres"))
	same := schema(t, pool)
	long := pgstore.New(pool, same, pgstore.Window(time.Hour), pgstore.Partition(200*time.Millisecond))
	require.NoError(t, long.Migrate(t.Context()))
	key := idempotency.StringKey("a")
	g, err := long.Claim(t.Context(), key, idempotency.Claim{Lease: time.Minute})
	require.NoError(t, err)
	require.NoError(t, long.Complete(t.Context(), key, g.Fence, idempotency.Record{}))
	short := pgstore.New(pool, same, pgstore.Window(100*time.Millisecond), pgstore.Partition(200*time.Millisecond))
	for range 4 {
		pause(t, 300*time.Millisecond)
		require.NoError(t, short.KeepOnce(t.Context()))
	}
	g, err = long.Claim(t.Context(), key, idempotency.Claim{Lease: time.Minute})
	require.NoError(t, err)
	require.Equal(t, idempotency.Completed, g.State)
}

// A handler that takes from its transaction what it needs for the record, and for what was
// published, has failed: it would do so each time.
func TestHandlerTakesItsTransactionsRights(t *testing.T) {
	s, pool := newStore(t)
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	inTx := func(ctx context.Context, sql string) error {
		_, err := pgstore.Tx(ctx).Exec(ctx, sql)
		return err
	}
	inSQL := func(ctx context.Context, sql string) error {
		tx, err := pgstore.SQLTx(ctx)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, sql)
		return err
	}
	for name, c := range map[string]struct {
		once *idempotency.OnceInTx
		exec func(ctx context.Context, sql string) error
		sql  string
	}{
		"of a role":         {s.InTx(), inTx, "set local role pg_monitor"},
		"to write":          {s.InTx(), inTx, "set transaction read only"},
		"of a role, in SQL": {s.InSQL(db), inSQL, "set local role pg_monitor"},
		"to write, in SQL":  {s.InSQL(db), inSQL, "set transaction read only"},
	} {
		t.Run(name, func(t *testing.T) {
			b, ch := started(t, func(b *bus.Bus) {
				bus.Subscribe(b, "billing", func(ctx context.Context, p Paid) error {
					return errors.Join(c.exec(ctx, c.sql), b.Publish(ctx, Booked{p.Customer}))
				}, bus.With(c.once), bus.Retry(bus.Backoff{First: time.Millisecond, Attempts: 2}))
			})
			require.NoError(t, b.Publish(t.Context(), Paid{"ada", 5}))
			quiet(t, ch)
			n := 0
			for d, err := range b.DeadLetters(t.Context(), "billing") {
				require.NoError(t, err)
				require.Contains(t, d.Cause.Text, idempotency.ErrAborted.Error())
				n++
			}
			require.Equal(t, 1, n)
			require.NoError(t, c.once.Ready())
		})
	}
	require.Zero(t, outboxOf(t, s))
	require.Zero(t, pool.Stat().AcquiredConns())
}
