package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
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

// What can't be committed for what the handler did is its failure; what the server does isn't.
func TestModelCommitFails(t *testing.T) {
	m, s, pool := newModel(t, pgstore.Idle(100*time.Millisecond))
	ctx := t.Context()
	exec := func(ctx context.Context, sql string) error {
		_, err := pgstore.Tx(ctx).Exec(ctx, sql)
		return err
	}
	hides := func(ctx context.Context, sql string) error {
		_ = exec(ctx, sql)
		return nil
	}
	pidOf := func(ctx context.Context) (pid int) {
		require.NoError(t, pgstore.Tx(ctx).QueryRow(ctx, "select pg_backend_pid()").Scan(&pid))
		return pid
	}
	gone := func(pid int) {
		require.Eventually(t, func() bool {
			var there bool
			err := pool.QueryRow(ctx, "select exists (select from pg_stat_activity where pid = $1)", pid).Scan(&there)
			return err == nil && !there
		}, 10*time.Second, time.Millisecond)
	}
	for name, c := range map[string]struct {
		handle      func(ctx context.Context) error
		failed      bool // the handler has
		aborted     bool
		interrupted bool
	}{
		"a statement failed, and it hid it": {handle: func(ctx context.Context) error { return hides(ctx, "select 1/0") }, aborted: true},
		"it ended the transaction itself":   {handle: func(ctx context.Context) error { return exec(ctx, "rollback") }, aborted: true},
		"it took its own rights":            {handle: func(ctx context.Context) error { return exec(ctx, "set local role pg_monitor") }, aborted: true},
		"a deferred constraint": {handle: func(ctx context.Context) error {
			return exec(ctx, "create temp table x (i int unique deferrable initially deferred) on commit drop; insert into x values (1), (1)")
		}, aborted: true},
		"it didn't wait": {handle: func(ctx context.Context) error {
			brief, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
			defer cancel()
			return hides(brief, "select pg_sleep(10)")
		}, aborted: true},
		"it was idle": {handle: func(ctx context.Context) error {
			gone(pidOf(ctx))
			return nil
		}, aborted: true},
		"its error": {handle: func(ctx context.Context) error { return exec(ctx, "select 1/0") }, failed: true},
		"a deadlock": {handle: func(ctx context.Context) error {
			return exec(ctx, "do $$ begin raise exception 'x' using errcode = 'deadlock_detected'; end $$")
		}, failed: true, interrupted: true},
		"its connection was killed": {handle: func(ctx context.Context) error {
			_, err := pool.Exec(t.Context(), "select pg_terminate_backend($1)", pidOf(ctx))
			return err
		}, interrupted: true},
		"its connection was killed under it": {handle: func(ctx context.Context) error {
			return exec(ctx, "select pg_terminate_backend(pg_backend_pid())")
		}, failed: true, interrupted: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := step(1)
			u, err := m.Begin(ctx, s)
			require.NoError(t, err)
			defer u.Rollback(ctx)
			require.NoError(t, order(ctx, u, s.ID))
			err = c.handle(u.Context(ctx))
			require.Equal(t, c.failed, err != nil, "%v", err)
			if !c.failed {
				err = u.Commit(ctx)
			}
			require.Error(t, err)
			require.Equal(t, c.aborted, errors.Is(err, query.ErrAborted), "%v", err)
			require.Equal(t, c.interrupted, u.Interrupted(err), "%v", err)
			u.Rollback(ctx)
			require.Empty(t, orders(t, m))
		})
	}
	applied(t, m, step(1))
	require.Equal(t, map[string]int{"e1": 1}, orders(t, m))
	require.Zero(t, pool.Stat().AcquiredConns())
	require.EqualValues(t, 1, reached(t, m))
	require.NoError(t, s.KeepOnce(ctx))
}

// A statement that a connection knows fails once for tables of another form, and that is not
// the handler's failure.
func TestModelOfAnotherForm(t *testing.T) {
	s, pool := newStore(t)
	m := pgstore.New(connect1(t), pgstore.Schema(s.SchemaName())).Model(orderTables)
	openModel(t, s, pool, m, "order-list")
	read := func(n int, at int64) (query.Update, error) {
		u, err := m.Begin(t.Context(), inGeneration(n, step(at)))
		require.NoError(t, err)
		defer u.Rollback(t.Context())
		ctx := u.Context(t.Context())
		rows, _ := pgstore.Tx(ctx).Query(ctx, "table orders")
		rows.Close()
		return u, rows.Err()
	}
	_, err := read(0, 1)
	require.NoError(t, err)
	next := s.Model(func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "create table orders (cents int)")
		return err
	})
	require.NoError(t, next.Open(t.Context(), "order-list"))
	n, release, err := next.Build(t.Context())
	require.NoError(t, err)
	defer release()
	u, err := read(n, 1)
	require.Error(t, err)
	require.True(t, u.Interrupted(err), "%v", err)
	_, err = read(n, 1)
	require.NoError(t, err)
}

// connect1 returns a pool with one connection.
func connect1(t *testing.T) *pgxpool.Pool {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(servicetest.Addr(t, "postgres"))
	require.NoError(t, err)
	cfg.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// One connection is enough to apply, to pass, and to read.
func TestModelOnOneConnection(t *testing.T) {
	s, _ := newStore(t)
	one := connect1(t)
	s = pgstore.New(one, pgstore.Schema(s.SchemaName()))
	m := s.Model(orderTables)
	openModel(t, s, one, m, "order-list")
	at := int64(0)
	pass := func(n int) {
		for range n {
			at++
			require.NoError(t, m.Pass(t.Context(), step(at), false))
		}
	}
	pass(999)
	require.Equal(t, 999, count(t, s, one, "applied"))
	at++
	applied(t, m, step(at))
	require.Zero(t, count(t, s, one, "applied"), "it folds by itself")
	pass(1000)
	require.Zero(t, count(t, s, one, "applied"))
	require.EqualValues(t, 2000, reached(t, m))
	require.Equal(t, map[string]int{"e1000": 1}, orders(t, m))
}

// Folding takes nothing away from under those who apply: what is applied twice, is passed, or
// is dead and comes again, is there once.
func TestModelFoldsWhileOthersApply(t *testing.T) {
	const positions, workers = 400, 8
	m, s, pool := newModel(t)
	ctx := t.Context()
	var all sync.WaitGroup
	errs := make(chan error, workers+1) // each ends at its first
	dead := func(at int64) bool { return at%5 == 0 }
	passed := func(at int64) bool { return at%7 == 0 }
	for range workers {
		all.Go(func() {
			for _, i := range rand.Perm(positions) {
				at := int64(i) + 1
				s := step(at)
				s.ID = "" // told by the position alone
				var err error
				switch {
				case passed(at):
					err = m.Pass(ctx, s, false)
				default:
					if dead(at) {
						err = m.Pass(ctx, s, true)
					}
					u, begun := m.Begin(ctx, s)
					if begun == nil {
						err = errors.Join(err, order(ctx, u, fmt.Sprint(at)), u.Commit(ctx))
					} else if !errors.Is(begun, query.ErrApplied) {
						err = begun
					}
				}
				if err != nil {
					errs <- err
					return
				}
			}
		})
	}
	done := make(chan struct{})
	var folder sync.WaitGroup
	folds := 0
	folder.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				if _, err := pool.Exec(ctx, "select "+s.Table("fold_model")+"(null, null, 7)"); err != nil {
					errs <- err
					return
				}
				folds++
			}
		}
	})
	all.Wait()
	close(done)
	folder.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	got := orders(t, m)
	for at := int64(1); at <= positions; at++ {
		want := 1
		if passed(at) {
			want = 0
		}
		require.Equal(t, want, got[fmt.Sprint(at)], at)
	}
	require.EqualValues(t, positions, reached(t, m))
	require.NoError(t, s.KeepOnce(ctx))
	require.EqualValues(t, positions, reached(t, m))
	require.Zero(t, count(t, s, pool, "applied"))
	var ranges, left string
	require.NoError(t, pool.QueryRow(ctx, "select done::text, dead::text from "+s.Table("lanes")).Scan(&ranges, &left))
	require.Equal(t, fmt.Sprintf("{[1,%d)}", positions+1), ranges)
	require.Equal(t, "{}", left)
	t.Logf("%d foldings", folds)
}

// Each moment of a folding that others can fall into is right: it takes the row before, or
// between the statements of, who asks.
func TestModelIsFoldedInBetween(t *testing.T) {
	for name, c := range map[string]struct {
		before func(ctx context.Context, m query.Model) error
		want   error
	}{
		"applied": {func(ctx context.Context, m query.Model) error { return applyStep(ctx, m, step(1)) }, query.ErrApplied},
		"passed":  {func(ctx context.Context, m query.Model) error { return m.Pass(ctx, step(1), false) }, query.ErrApplied},
		"dead":    {func(ctx context.Context, m query.Model) error { return m.Pass(ctx, step(1), true) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			m, s, pool := newModel(t)
			ctx := t.Context()
			require.NoError(t, c.before(ctx, m))
			fold, err := pool.Begin(ctx)
			require.NoError(t, err)
			defer func() { _ = fold.Rollback(context.WithoutCancel(ctx)) }()
			_, err = fold.Exec(ctx, "select "+s.Table("fold_model")+"(null, null, 100)")
			require.NoError(t, err)
			got := make(chan error)
			again := step(1)
			again.ID = "" // told by the position alone
			go func() { got <- applyStep(ctx, m, again) }()
			waiting(t, pool, s.Table("begin_step"))
			require.NoError(t, fold.Commit(ctx))
			require.ErrorIs(t, <-got, c.want)
			require.ErrorIs(t, applyStep(ctx, m, again), query.ErrApplied)
		})
	}
}

// What is folded between two statements of who asks is still what it was.
func TestModelIsFoldedBetweenStatements(t *testing.T) {
	for name, c := range map[string]struct {
		before, after func(ctx context.Context, m query.Model, s query.Step) error
		want          error
	}{
		"applied": {applyStep, applyStep, query.ErrApplied},
		"dead":    {passAs(true), applyStep, nil},
		"passed":  {passAs(false), applyStep, query.ErrApplied},
		"dead, and passed": {passAs(true), func(ctx context.Context, m query.Model, s query.Step) error {
			return errors.Join(passAs(false)(ctx, m, s), applyStep(ctx, m, s))
		}, query.ErrApplied},
	} {
		t.Run(name, func(t *testing.T) {
			m, s, pool := newModel(t)
			ctx := t.Context()
			one := step(1)
			one.ID = "" // told by the position alone
			require.NoError(t, c.before(ctx, m, one))
			const lock = "hashtextextended(%s, 7)"
			key := "'" + s.SchemaName() + "'"
			_, err := pool.Exec(ctx, fmt.Sprintf("create function %s() returns trigger language plpgsql as $$ begin "+
				"perform pg_advisory_xact_lock("+lock+"); return null; end $$; create trigger stop after insert on %s execute function %[1]s()",
				s.Table("stop"), key, s.Table("applied")))
			require.NoError(t, err)
			stop, err := pool.Begin(ctx)
			require.NoError(t, err)
			defer func() { _ = stop.Rollback(context.WithoutCancel(ctx)) }()
			_, err = stop.Exec(ctx, fmt.Sprintf("select pg_advisory_xact_lock("+lock+")", key))
			require.NoError(t, err)
			got := make(chan error)
			go func() { got <- c.after(ctx, m, one) }()
			waiting(t, pool, s.SchemaName())
			require.NoError(t, s.KeepOnce(ctx))
			require.Zero(t, count(t, s, pool, "applied"))
			require.NoError(t, stop.Commit(ctx))
			require.ErrorIs(t, <-got, c.want)
			require.ErrorIs(t, applyStep(ctx, m, one), query.ErrApplied)
		})
	}
}

func passAs(dead bool) func(ctx context.Context, m query.Model, s query.Step) error {
	return func(ctx context.Context, m query.Model, s query.Step) error { return m.Pass(ctx, s, dead) }
}

// waiting returns when a statement waits for another transaction.
func waiting(t *testing.T, pool *pgxpool.Pool, statement string) {
	t.Helper()
	require.Eventually(t, func() bool {
		var waits bool
		err := pool.QueryRow(t.Context(), "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and query like '%' || $1 || '%')",
			statement).Scan(&waits)
		return err == nil && waits
	}, 10*time.Second, time.Millisecond)
}

// What was seen is forgotten when it is old, unless it is all that is known of the event.
func TestModelForgets(t *testing.T) {
	m, s, pool := newModel(t, pgstore.Lately(50*time.Millisecond))
	ctx := t.Context()
	nowhere := query.Step{Topic: "placed", Source: "/shop", ID: "nowhere"}
	applied(t, m, nowhere, step(1))
	require.NoError(t, m.Pass(ctx, step(2), false))
	require.NoError(t, m.Pass(ctx, step(3), true))
	applied(t, m, step(3))
	require.Equal(t, []bool{true, true, true, true}, seen(t, m, "nowhere", "e1", "e2", "e3"))
	require.Eventually(t, func() bool {
		require.NoError(t, s.KeepOnce(ctx))
		return count(t, s, pool, "seen") == 2
	}, 10*time.Second, 10*time.Millisecond)
	require.Equal(t, []bool{true, false, false, true}, seen(t, m, "nowhere", "e1", "e2", "e3"))
	require.ErrorIs(t, applyStep(ctx, m, nowhere), query.ErrApplied)
	require.ErrorIs(t, applyStep(ctx, m, step(1)), query.ErrApplied)
	// of several stores the longest counts
	long := pgstore.New(pool, pgstore.Schema(s.SchemaName()), pgstore.Lately(time.Hour)).Model(orderTables)
	require.NoError(t, long.Open(ctx, "order-list"))
	applied(t, m, step(4))
	require.NoError(t, pool.QueryRow(ctx, "select until > now() + '59 min' from "+s.Table("seen")+" order by until limit 1").Scan(new(bool)))
	var kept bool
	require.NoError(t, pool.QueryRow(ctx, "select bool_or(until > now() + '59 min' and until < now() + '61 min') from "+s.Table("seen")).Scan(&kept))
	require.True(t, kept)
}

// Who may not make schemas is told so.
func TestModelWithoutRights(t *testing.T) {
	s, pool := newStore(t)
	role := "r_" + strings.ToLower(event.NewID())
	_, err := pool.Exec(t.Context(), fmt.Sprintf("create role %s login password 'x'; grant usage on schema %s to %s; grant all on all tables in schema %s to %s",
		role, s.SchemaName(), role, s.SchemaName(), role))
	require.NoError(t, err)
	t.Cleanup(func() {
		_, _ = pool.Exec(context.WithoutCancel(t.Context()), fmt.Sprintf("drop owned by %s; drop role %s", role, role))
	})
	cfg, err := pgxpool.ParseConfig(servicetest.Addr(t, "postgres"))
	require.NoError(t, err)
	cfg.ConnConfig.User, cfg.ConnConfig.Password = role, "x"
	poor, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	defer poor.Close()
	m := pgstore.New(poor, pgstore.Schema(s.SchemaName())).Model(orderTables)
	require.ErrorContains(t, m.Open(t.Context(), "order-list"), "may not create")
}

// The server is killed while events are applied: they go on when it is back, and each is there once.
func TestModelSurvivesTheServer(t *testing.T) {
	servicetest.Long(t)
	const positions, kills = 600, 5
	server := servicetest.Start(t, "postgres")
	s, pool := storeAt(t, server.Addr())
	m := s.Model(orderTables)
	openModel(t, s, pool, m, "order-list")
	next := make(chan int64)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for at := range next {
				for applyStep(t.Context(), m, step(at)) != nil {
					if u, err := m.Begin(t.Context(), step(at)); errors.Is(err, query.ErrApplied) {
						break
					} else if err == nil {
						u.Rollback(t.Context())
					}
				}
			}
		})
	}
	for at := range int64(positions) {
		if at%(positions/kills) == positions/kills-1 {
			server.Kill()
			server.Start()
		}
		next <- at + 1
	}
	close(next)
	all.Wait()
	got := orders(t, m)
	require.Len(t, got, positions)
	for id, n := range got {
		require.Equal(t, 1, n, id)
	}
	require.EqualValues(t, positions, reached(t, m))
}
