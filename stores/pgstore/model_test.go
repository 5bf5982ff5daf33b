package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/servicetest"
	"github.com/leat-go/leat/query"
	"github.com/leat-go/leat/stores/pgstore"
)

// orderTables makes the table of the tests: a row each time an order is applied.
func orderTables(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "create table orders (id text not null, at timestamptz default clock_timestamp())")
	return err
}

// newModel returns an open model of its own, whose schemas are dropped at the end.
func newModel(t *testing.T, opts ...pgstore.Option) (*pgstore.Model, *pgstore.Store, *pgxpool.Pool) {
	t.Helper()
	s, pool := newStore(t, opts...)
	m := s.Model(orderTables)
	openModel(t, s, pool, m, "order-list")
	return m, s, pool
}

func openModel(t *testing.T, s *pgstore.Store, pool *pgxpool.Pool, m *pgstore.Model, projection string) {
	t.Helper()
	require.NoError(t, m.Open(t.Context(), projection))
	t.Cleanup(func() { dropGenerations(t, s, pool) })
}

// dropGenerations drops the schemas of all generations.
func dropGenerations(tb testing.TB, s *pgstore.Store, pool *pgxpool.Pool) {
	tb.Helper()
	for _, name := range namespaces(tb, s, pool) {
		_, err := pool.Exec(context.WithoutCancel(tb.Context()), "drop schema if exists "+pgx.Identifier{name}.Sanitize()+" cascade")
		if err != nil {
			tb.Log(err) // its server is gone
		}
	}
}

// namespaces returns the schemas of all generations.
func namespaces(tb testing.TB, s *pgstore.Store, pool *pgxpool.Pool) []string {
	tb.Helper()
	rows, _ := pool.Query(context.WithoutCancel(tb.Context()), "select namespace from "+s.Table("generations")+" order by generation")
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		tb.Log(err)
	}
	return all
}

// step is a step at a position of topic placed.
func step(at int64) query.Step {
	return query.Step{Topic: "placed", At: event.Position{Offset: at}, Source: "/shop", ID: fmt.Sprint("e", at)}
}

// order inserts an order in the transaction of an update.
func order(ctx context.Context, u query.Update, id string) error {
	ctx = u.Context(ctx)
	_, err := pgstore.Tx(ctx).Exec(ctx, "insert into orders values ($1)", id)
	return err
}

// applyStep applies a step: an order of its id.
func applyStep(ctx context.Context, m query.Model, s query.Step) error {
	u, err := m.Begin(ctx, s)
	if err != nil {
		return err
	}
	defer u.Rollback(ctx)
	if err := order(ctx, u, s.ID); err != nil {
		return err
	}
	return u.Commit(ctx)
}

func applied(t *testing.T, m query.Model, steps ...query.Step) {
	t.Helper()
	for _, s := range steps {
		require.NoError(t, applyStep(t.Context(), m, s), "%+v", s)
	}
}

// orders returns how often each order is in the generation that serves.
func orders(t *testing.T, m *pgstore.Model) map[string]int {
	t.Helper()
	all := make(map[string]int)
	require.NoError(t, m.Read(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, "select id from orders")
		ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
		for _, id := range ids {
			all[id]++
		}
		return err
	}))
	return all
}

// reached returns how far lane 0 of topic placed is; 0: its first position isn't done.
func reached(t *testing.T, m query.Model) int64 {
	t.Helper()
	at, err := m.Reached(t.Context(), "placed")
	require.NoError(t, err)
	for _, p := range at {
		if p.Lane == 0 {
			return p.Offset
		}
	}
	return 0
}

func seen(t *testing.T, m query.Model, ids ...string) []bool {
	t.Helper()
	all, err := m.Seen(t.Context(), ids...)
	require.NoError(t, err)
	return all
}

// count returns how many rows a table of the store has.
func count(t *testing.T, s *pgstore.Store, pool *pgxpool.Pool, table string) (n int) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), "select count(*) from "+s.Table(table)).Scan(&n))
	return n
}

// What the handler did and that the step is applied commit together, once.
func TestModelApplies(t *testing.T) {
	m, s, pool := newModel(t)
	ctx := t.Context()
	u, err := m.Begin(ctx, step(1))
	require.NoError(t, err)
	defer u.Rollback(ctx)
	require.NoError(t, order(ctx, u, "e1"))
	require.Empty(t, orders(t, m))
	require.Equal(t, []bool{false}, seen(t, m, "e1"))
	var limit, path string // what the function needs for itself isn't left
	require.NoError(t, pgstore.Tx(u.Context(ctx)).QueryRow(ctx, "select current_setting('lock_timeout'), current_setting('search_path')").
		Scan(&limit, &path))
	require.Equal(t, "0", limit)
	require.Equal(t, s.SchemaName()+`_order-list_1, "$user", public`, strings.ReplaceAll(path, `"`+s.SchemaName()+`_order-list_1"`, s.SchemaName()+"_order-list_1"))
	u.Rollback(ctx)
	require.Empty(t, orders(t, m))
	applied(t, m, step(1), step(2))
	for range 2 {
		require.ErrorIs(t, applyStep(ctx, m, step(1)), query.ErrApplied)
		require.ErrorIs(t, applyStep(ctx, m, step(2)), query.ErrApplied)
		require.Equal(t, map[string]int{"e1": 1, "e2": 1}, orders(t, m))
		require.Equal(t, []bool{true, false, true}, seen(t, m, "e1", "other", "e2"))
		require.EqualValues(t, 2, reached(t, m))
		require.NoError(t, s.KeepOnce(ctx)) // folded it is the same
		require.Zero(t, count(t, s, pool, "applied"))
	}
	require.Zero(t, pool.Stat().AcquiredConns())
	_, err = pgstore.Tx(u.Context(ctx)).Exec(ctx, "select 1")
	require.ErrorIs(t, err, pgstore.ErrOver)
}

// A position is reached when all before it are done. Of two workers the later may commit first.
func TestModelReached(t *testing.T) {
	for name, keep := range folding {
		t.Run(name, func(t *testing.T) {
			m, s, _ := newModel(t)
			ctx := t.Context()
			one, err := m.Begin(ctx, step(1))
			require.NoError(t, err)
			defer one.Rollback(ctx)
			require.Zero(t, reached(t, m))
			applied(t, m, step(2))
			keep(t, s)
			require.Zero(t, reached(t, m))
			require.NoError(t, one.Commit(ctx))
			keep(t, s)
			require.EqualValues(t, 2, reached(t, m))
			gap := step(6)
			gap.Gap = 3
			applied(t, m, gap, step(8))
			keep(t, s)
			require.EqualValues(t, 6, reached(t, m))
			require.NoError(t, m.Pass(ctx, step(7), false))
			keep(t, s)
			require.EqualValues(t, 8, reached(t, m))
			require.ErrorIs(t, applyStep(ctx, m, step(4)), query.ErrApplied, "it lies in a gap")
			rest := step(20)
			rest.At.Lane, rest.Gap = 7, 100
			require.NoError(t, m.Pass(ctx, rest, false))
			rest.Topic = "other"
			rest.ID = "rest"
			applied(t, m, rest)
			keep(t, s)
			at, err := m.Reached(ctx, "placed")
			require.NoError(t, err)
			require.Equal(t, []event.Position{{Offset: 8}, {Lane: 7, Offset: 20}}, at)
		})
	}
}

// folding is done, or not, between what a test does.
var folding = map[string]func(t *testing.T, s *pgstore.Store){
	"": func(*testing.T, *pgstore.Store) {},
	"folded": func(t *testing.T, s *pgstore.Store) {
		t.Helper()
		require.NoError(t, s.KeepOnce(t.Context()))
	},
}

// Two of one step: the second waits for the first, and isn't applied if that was.
func TestModelTwins(t *testing.T) {
	m, _, pool := newModel(t)
	ctx := t.Context()
	other := step(2)
	other.ID = "e1" // the same event at another position
	for name, c := range map[string]struct {
		first, second query.Step
		commit        bool
	}{
		"the first commits":       {step(10), step(10), true},
		"the first is given up":   {step(20), step(20), false},
		"the same event, commits": {step(1), other, true},
	} {
		t.Run(name, func(t *testing.T) {
			first, err := m.Begin(ctx, c.first)
			require.NoError(t, err)
			defer first.Rollback(ctx)
			require.NoError(t, order(ctx, first, c.first.ID))
			done := make(chan error)
			go func() { done <- applyStep(ctx, m, c.second) }()
			require.Eventually(t, func() bool {
				var waits bool
				err := pool.QueryRow(ctx, "select exists (select from pg_locks where not granted and locktype = 'transactionid' "+
					"and database is null and pid in (select pid from pg_stat_activity where query like '%' || $1 || '%'))", "begin_step").Scan(&waits)
				return err == nil && waits
			}, 10*time.Second, time.Millisecond)
			if c.commit {
				require.NoError(t, first.Commit(ctx))
				require.ErrorIs(t, <-done, query.ErrApplied)
			} else {
				first.Rollback(ctx)
				require.NoError(t, <-done)
			}
			require.Equal(t, 1, orders(t, m)[c.first.ID])
		})
	}
}

// What is dead may come again, once; its position is done meanwhile.
func TestModelDead(t *testing.T) {
	for name, keep := range folding {
		t.Run(name, func(t *testing.T) {
			m, s, _ := newModel(t)
			ctx := t.Context()
			applied(t, m, step(1))
			require.NoError(t, m.Pass(ctx, step(2), true))
			keep(t, s)
			require.EqualValues(t, 2, reached(t, m))
			require.Equal(t, []bool{false}, seen(t, m, "e2"))
			gap := step(4)
			gap.Gap = 2 // an earlier owner has settled it
			applied(t, m, gap)
			keep(t, s)
			require.NoError(t, m.Pass(ctx, step(2), true), "twice")
			require.NoError(t, m.Pass(ctx, step(1), true), "it is applied")
			keep(t, s)
			again := step(2)
			again.Redriven = true
			u, err := m.Begin(ctx, again)
			require.NoError(t, err)
			u.Rollback(ctx)
			applied(t, m, again)
			keep(t, s)
			for _, s := range []query.Step{again, step(2), step(1)} {
				require.ErrorIs(t, applyStep(ctx, m, s), query.ErrApplied)
				s.ID = "" // told by the position alone
				require.ErrorIs(t, applyStep(ctx, m, s), query.ErrApplied)
			}
			require.NoError(t, m.Pass(ctx, step(7), true))
			require.NoError(t, s.KeepOnce(ctx))
			gap = step(9)
			gap.Gap = 3
			require.NoError(t, m.Pass(ctx, gap, false))
			u, err = m.Begin(ctx, step(7))
			require.NoError(t, err, "a gap changes nothing of what is dead")
			u.Rollback(ctx)
			require.NoError(t, m.Pass(ctx, step(2), true), "it changes nothing")
			keep(t, s)
			require.ErrorIs(t, applyStep(ctx, m, step(2)), query.ErrApplied)
			require.Equal(t, map[string]int{"e1": 1, "e2": 1, "e4": 1}, orders(t, m))
			require.NoError(t, m.Pass(ctx, step(5), true))
			keep(t, s)
			require.NoError(t, m.Pass(ctx, step(5), false), "it is passed for good")
			keep(t, s)
			require.ErrorIs(t, applyStep(ctx, m, step(5)), query.ErrApplied)
			require.EqualValues(t, 9, reached(t, m))
		})
	}
}

// Events without a position are told by source and id; and so is one that was published twice.
func TestModelBySourceAndID(t *testing.T) {
	m, _, _ := newModel(t)
	ctx := t.Context()
	nowhere := step(0)
	applied(t, m, nowhere)
	require.ErrorIs(t, applyStep(ctx, m, nowhere), query.ErrApplied)
	foreign := nowhere
	foreign.Source = "/other"
	applied(t, m, foreign)
	applied(t, m, step(1))
	twice := step(1)
	twice.At.Offset = 2
	require.ErrorIs(t, applyStep(ctx, m, twice), query.ErrApplied)
	require.EqualValues(t, 1, reached(t, m), "the position is passed by who is told so")
	require.NoError(t, m.Pass(ctx, twice, false))
	require.EqualValues(t, 2, reached(t, m))
	none := query.Step{Topic: "placed", At: event.Position{Offset: 3}}
	applied(t, m, none)
	none.At.Offset = 4
	applied(t, m, none)
	passed := query.Step{Topic: "placed", Source: "/shop", ID: "passed", Cause: "cmd"}
	require.NoError(t, m.Pass(ctx, passed, true))
	require.Equal(t, []bool{false, false}, seen(t, m, "passed", "cmd"))
	require.NoError(t, m.Pass(ctx, passed, false))
	require.Equal(t, []bool{true, true, true}, seen(t, m, "passed", "cmd", "e1"))
	applied(t, m, passed) // it wasn't applied
	require.ErrorIs(t, applyStep(ctx, m, passed), query.ErrApplied)
}

// A model is that of one projection, and says what is missing.
func TestModelOpen(t *testing.T) {
	s, pool := newStore(t)
	m := s.Model(orderTables)
	ctx := t.Context()
	require.ErrorContains(t, applyStep(ctx, m, step(1)), "isn't open")
	require.ErrorContains(t, m.Open(ctx, ""), "named")
	broken := errors.New("broken")
	bad := s.Model(func(context.Context, pgx.Tx) error { return broken })
	require.ErrorIs(t, bad.Open(ctx, "order-list"), broken)
	ends := s.Model(func(ctx context.Context, tx pgx.Tx) error {
		if err := tx.Commit(ctx); !errors.Is(err, pgstore.ErrNotYours) {
			return fmt.Errorf("commit: %w", err)
		}
		_, err := tx.Exec(ctx, "rollback")
		return err
	})
	require.ErrorIs(t, ends.Open(ctx, "order-list"), pgstore.ErrNotYours)
	errs := make(chan error)
	for range 4 {
		go func() { errs <- s.Model(orderTables).Open(ctx, "order-list") }()
	}
	for range 4 {
		require.NoError(t, <-errs)
	}
	openModel(t, s, pool, m, "order-list")
	require.NoError(t, m.Open(ctx, "order-list"))
	require.ErrorContains(t, m.Open(ctx, "customers"), "order-list")
	require.Len(t, namespaces(t, s, pool), 1)
	applied(t, m, step(1))
	require.Panics(t, func() { s.Model(nil) })
	require.Panics(t, func() { pgstore.New(pool, pgstore.Lately(-1)) })

	empty := pgstore.New(pool, schema(t, pool))
	require.ErrorContains(t, empty.Model(orderTables).Open(ctx, "order-list"), "Store.Migrate")
}

// Names that are long, or need to be quoted, or are taken.
func TestModelNames(t *testing.T) {
	pool := connect(t, servicetest.Addr(t, "postgres"))
	id := strings.ToLower(event.NewID())
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		rows, _ := pool.Query(ctx, "select nspname from pg_namespace where nspname like '%' || $1 || '%'", id)
		all, _ := pgx.CollectRows(rows, pgx.RowTo[string])
		for _, name := range all {
			_, err := pool.Exec(ctx, "drop schema "+pgx.Identifier{name}.Sanitize()+" cascade")
			require.NoError(t, err)
		}
	})
	for _, c := range []struct{ schema, projection string }{
		{`Über "uns" %I.%s $$ ` + id, `o'clock`},
		{"t_" + id, strings.Repeat("ü", 40)},
		{"t_" + id, strings.Repeat("ü", 41)},
		{"t_" + id + "_a", "b"},
		{"t_" + id, "a_b"}, // the same schema would be
	} {
		s := pgstore.New(pool, pgstore.Schema(c.schema))
		require.NoError(t, s.Migrate(t.Context()), c)
		m := s.Model(orderTables)
		require.NoError(t, m.Open(t.Context(), c.projection))
		applied(t, m, step(1))
		require.Equal(t, map[string]int{"e1": 1}, orders(t, m))
		for _, name := range namespaces(t, s, pool) {
			require.LessOrEqual(t, len(name), 63)
		}
		n, release, err := m.Build(t.Context())
		require.NoError(t, err)
		again := step(1)
		again.Generation = n
		applied(t, m, again)
		ok, err := m.Switch(t.Context(), n)
		require.NoError(t, err)
		require.True(t, ok)
		release()
		require.Equal(t, map[string]int{"e1": 1}, orders(t, m))
	}
}
