package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/query"
	"github.com/leat-go/leat/stores/pgstore"
)

// in returns a step in a generation.
func inGeneration(n int, s query.Step) query.Step {
	s.Generation = n
	return s
}

func switched(t *testing.T, m query.Model, n int) bool {
	t.Helper()
	ok, err := m.Switch(t.Context(), n)
	require.NoError(t, err)
	return ok
}

// A generation is built beside the one that serves, by one, and serves when it has all.
func TestModelBuild(t *testing.T) {
	m, s, pool := newModel(t)
	ctx := t.Context()
	applied(t, m, step(1), step(2))
	require.NoError(t, m.Pass(ctx, step(3), true))
	n, release, err := m.Build(ctx)
	require.NoError(t, err)
	other := s.Model(orderTables)
	require.NoError(t, other.Open(ctx, "order-list"))
	_, _, err = other.Build(ctx)
	require.ErrorIs(t, err, query.ErrRebuilding)
	require.False(t, switched(t, m, n), "it has nothing")
	applied(t, m, inGeneration(n, step(1)), inGeneration(n, step(3)))
	require.ErrorIs(t, applyStep(ctx, m, inGeneration(n, step(1))), query.ErrApplied)
	require.Equal(t, map[string]int{"e1": 1, "e2": 1}, orders(t, m))
	require.False(t, switched(t, other, n), "it has a hole")
	applied(t, m, inGeneration(n, step(2)))
	applied(t, m, step(4))
	require.NoError(t, s.KeepOnce(ctx))
	require.False(t, switched(t, m, n), "the other went on")
	require.Equal(t, []bool{true, false}, seen(t, m, "e4", "e3"))
	require.NoError(t, m.Pass(ctx, inGeneration(n, step(4)), false))
	late, err := m.Begin(ctx, step(5))
	require.NoError(t, err)
	defer late.Rollback(ctx)
	require.NoError(t, order(ctx, late, "e5"))
	require.True(t, switched(t, m, n))
	require.True(t, switched(t, other, n), "it does")
	err = late.Commit(ctx)
	require.Error(t, err, "it was begun in the one before")
	require.True(t, late.Interrupted(err))
	require.NotErrorIs(t, err, query.ErrAborted)
	require.Equal(t, map[string]int{"e1": 1, "e2": 1, "e3": 1}, orders(t, m))
	require.Equal(t, []bool{false, true}, seen(t, other, "e5", "e3"))
	applied(t, other, step(5), inGeneration(n, step(6)))
	require.EqualValues(t, 6, reached(t, m))
	release()
	release()
	require.NoError(t, s.KeepOnce(ctx))
	require.Len(t, namespaces(t, s, pool), 1)
	require.Equal(t, map[string]int{"e1": 1, "e2": 1, "e3": 1, "e5": 1, "e6": 1}, orders(t, m))
	require.ErrorContains(t, applyStep(ctx, m, inGeneration(1, step(9))), "no generation 1")
	require.ErrorContains(t, m.Pass(ctx, inGeneration(1, step(9)), false), "no generation 1")
	_, err = m.Switch(ctx, 1)
	require.ErrorContains(t, err, "no generation 1")
	require.Zero(t, pool.Stat().AcquiredConns())
}

// What was built and doesn't serve is dropped by its release; where a process ended before,
// by the next build, or by the housekeeping. No number comes again.
func TestModelBuildIsGivenUp(t *testing.T) {
	m, s, pool := newModel(t)
	ctx := t.Context()
	n, release, err := m.Build(ctx)
	require.NoError(t, err)
	applied(t, m, inGeneration(n, step(1)))
	require.Len(t, namespaces(t, s, pool), 2)
	require.NoError(t, s.KeepOnce(ctx))
	require.Len(t, namespaces(t, s, pool), 2, "it is being built")
	release()
	require.Len(t, namespaces(t, s, pool), 1)
	require.Zero(t, count(t, s, pool, "applied"))
	require.ErrorContains(t, applyStep(ctx, m, inGeneration(n, step(2))), "no generation")
	_, err = m.Switch(ctx, n)
	require.ErrorContains(t, err, "no generation")

	kill := func() {
		_, err := pool.Exec(ctx, "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted and mode = 'ExclusiveLock' "+
			"and (classid::bigint << 32) | objid::bigint = (select "+s.Table("lock_of")+"('build', id, null) from "+s.Table("models")+")")
		require.NoError(t, err)
	}
	second, lost, err := m.Build(ctx)
	require.NoError(t, err)
	require.Greater(t, second, n)
	in, err := m.Begin(ctx, inGeneration(second, step(1)))
	require.NoError(t, err)
	defer in.Rollback(ctx)
	kill()
	require.Eventually(t, func() bool {
		third, release, err := m.Build(ctx)
		if errors.Is(err, query.ErrRebuilding) {
			return false // the server didn't notice yet
		}
		require.NoError(t, err)
		require.Greater(t, third, second)
		release()
		return true
	}, 10*time.Second, 5*time.Millisecond)
	lost()
	require.Len(t, namespaces(t, s, pool), 2, "one is in it")
	err = in.Commit(ctx)
	require.True(t, in.Interrupted(err), "%v", err)
	require.NoError(t, s.KeepOnce(ctx))
	require.Len(t, namespaces(t, s, pool), 1)

	_, lost, err = m.Build(ctx)
	require.NoError(t, err)
	defer lost()
	kill()
	require.Eventually(t, func() bool {
		require.NoError(t, s.KeepOnce(ctx))
		return len(namespaces(t, s, pool)) == 1
	}, 10*time.Second, 5*time.Millisecond)
}

// A history that has lost its beginning is enough for a generation that is built of it.
func TestModelBuildOfWhatIsLeft(t *testing.T) {
	m, s, pool := newModel(t)
	applied(t, m, step(1), step(2), step(3), step(4))
	n, release, err := m.Build(t.Context())
	require.NoError(t, err)
	defer release()
	first := inGeneration(n, step(3))
	first.Gap = 2
	applied(t, m, first)
	require.False(t, switched(t, m, n))
	applied(t, m, inGeneration(n, step(4)))
	require.True(t, switched(t, m, n))
	require.Len(t, namespaces(t, s, pool), 1, "the one before is dropped")
}

// Who commits is waited for, but not forever; a handler isn't.
func TestModelSwitchWaits(t *testing.T) {
	m, s, pool := newModel(t)
	ctx := t.Context()
	applied(t, m, step(1))
	n, release, err := m.Build(ctx)
	require.NoError(t, err)
	defer release()
	applied(t, m, inGeneration(n, step(1)))
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	_, err = tx.Exec(ctx, "select "+s.Table("commit_step")+"(id, serving, true) from "+s.Table("models"))
	require.NoError(t, err)
	require.False(t, switched(t, m, n))
	require.NoError(t, tx.Commit(ctx))
	require.True(t, switched(t, m, n))
}

// Who reads has one generation, whole and of one moment, until the end; new readers have the next.
func TestModelRead(t *testing.T) {
	m, s, pool := newModel(t)
	ctx := t.Context()
	applied(t, m, step(1))
	n, release, err := m.Build(ctx)
	require.NoError(t, err)
	again := inGeneration(n, step(1))
	u, err := m.Begin(ctx, again)
	require.NoError(t, err)
	require.NoError(t, order(ctx, u, "new"))
	require.NoError(t, u.Commit(ctx))
	failed := errors.New("failed")
	var left pgx.Tx
	require.ErrorIs(t, m.Read(ctx, func(ctx context.Context, tx pgx.Tx) error {
		left = tx
		applied(t, m, step(2), inGeneration(n, step(2)))
		require.True(t, switched(t, m, n))
		release()
		require.NoError(t, s.KeepOnce(ctx))
		require.Equal(t, map[string]int{"new": 1, "e2": 1}, orders(t, m))
		var ids []string
		require.NoError(t, pgstore.Tx(ctx).QueryRow(ctx, "select array_agg(id) from orders").Scan(&ids))
		require.Equal(t, []string{"e1"}, ids)
		require.ErrorIs(t, tx.Commit(ctx), pgstore.ErrNotYours)
		_, err := tx.Exec(ctx, "insert into orders values ('x')")
		require.ErrorContains(t, err, "read-only")
		return failed
	}), failed)
	_, err = left.Exec(ctx, "select 1")
	require.ErrorIs(t, err, pgstore.ErrOver)
	require.Len(t, namespaces(t, s, pool), 2)
	require.NoError(t, s.KeepOnce(ctx))
	require.Len(t, namespaces(t, s, pool), 1)
	require.Zero(t, pool.Stat().AcquiredConns())
}

// A reader that comes to a generation while that is dropped reads the next.
func TestModelReadOfWhatIsDropped(t *testing.T) {
	m, s, pool := newModel(t)
	ctx := t.Context()
	n, release, err := m.Build(ctx)
	require.NoError(t, err)
	defer release()
	reader := pgstore.New(connect1(t), pgstore.Schema(s.SchemaName())).Model(orderTables)
	require.NoError(t, reader.Open(ctx, "order-list"))
	require.Empty(t, orders(t, reader)) // its session knows the generation
	applied(t, m, inGeneration(n, step(1)))
	gone, err := pool.Begin(ctx)
	require.NoError(t, err)
	defer func() { _ = gone.Rollback(context.WithoutCancel(ctx)) }()
	_, err = gone.Exec(ctx, "select "+s.Table("switch_model")+"(id, $1, '1s') from "+s.Table("models"), n)
	require.NoError(t, err)
	_, err = gone.Exec(ctx, "select "+s.Table("drop_generation")+"(id, 1, '1s') from "+s.Table("models"))
	require.NoError(t, err)
	got := make(chan map[string]int)
	go func() {
		all := make(map[string]int)
		_ = reader.Read(ctx, func(ctx context.Context, tx pgx.Tx) error {
			var id string
			err := tx.QueryRow(ctx, "select id from orders").Scan(&id)
			all[fmt.Sprint(id, err)]++
			return err
		})
		got <- all
	}()
	require.Eventually(t, func() bool {
		var waits bool
		err := pool.QueryRow(ctx, "select exists (select from pg_locks where locktype = 'advisory' and not granted and mode = 'ShareLock' "+
			"and pid in (select pid from pg_stat_activity where query like '%' || $1 || '%'))", s.Table("read_model")).Scan(&waits)
		return err == nil && waits
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, gone.Commit(ctx))
	require.Equal(t, map[string]int{"e1<nil>": 1}, <-got)
}

// The model is rebuilt again and again while others apply, fold and read it: nothing is lost,
// nothing is there twice, and who reads always has a whole.
func TestModelRebuildsUnderLoad(t *testing.T) {
	const least, workers = 500, 6
	m, s, pool := newModel(t)
	ctx := t.Context()
	other := s.Model(orderTables) // as another process
	require.NoError(t, other.Open(ctx, "order-list"))
	var history atomic.Int64 // how many are there
	apply := func(m *pgstore.Model, s query.Step) error {
		for {
			u, err := m.Begin(ctx, s)
			if errors.Is(err, query.ErrApplied) {
				return m.Pass(ctx, s, false)
			}
			if err != nil {
				return err
			}
			err = order(ctx, u, s.ID)
			if err == nil {
				err = u.Commit(ctx)
			}
			again := err != nil && u.Interrupted(err)
			u.Rollback(ctx)
			if !again {
				return err
			}
		}
	}
	done := make(chan struct{})
	errs := make(chan error, 1)
	failed := func(err error) {
		select {
		case errs <- err:
		default: // one is enough
		}
	}
	var all, others sync.WaitGroup
	next := make(chan int64)
	for i := range workers {
		all.Go(func() {
			of := []*pgstore.Model{m, other}[i%2]
			for at := range next {
				for range 1 + rand.N(2) { // duplicates, too
					if err := apply(of, step(at)); err != nil {
						failed(err)
					}
				}
			}
		})
	}
	others.Go(func() { // housekeeping
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if err := s.KeepOnce(ctx); err != nil {
					failed(err)
				}
			}
		}
	})
	was := int64(0)
	others.Go(func() { // a reader
		for {
			select {
			case <-done:
				return
			default:
			}
			at, err := m.Reached(ctx, "placed")
			if err == nil && len(at) > 0 {
				was = max(was, at[0].Offset) // what was reached stays so
			}
			var n, different int64
			err = errors.Join(err, m.Read(ctx, func(ctx context.Context, tx pgx.Tx) error {
				return tx.QueryRow(ctx, "select count(*), count(distinct id) from orders").Scan(&n, &different)
			}))
			if err != nil || n != different || n < was {
				failed(fmt.Errorf("%d orders, %d different, %d were reached: %w", n, different, was, err))
			}
		}
	})
	var switches, last atomic.Int64 // last is where the rebuild is
	others.Go(func() {              // rebuilds
		for {
			select {
			case <-done:
				return
			default:
			}
			n, release, err := other.Build(ctx)
			if err != nil {
				failed(err)
				return
			}
			var feeds sync.WaitGroup
			last.Store(0)
			served := make(chan struct{})
			for range workers {
				feeds.Go(func() {
					tick := time.NewTicker(time.Millisecond)
					defer tick.Stop()
					for at := last.Add(1); ; {
						if at > history.Load() {
							<-tick.C
						} else {
							if err := apply(other, inGeneration(n, step(at))); err != nil {
								failed(err)
							}
							at = last.Add(1)
						}
						select {
						case <-served:
							return
						default:
						}
					}
				})
			}
			for ok := false; !ok && err == nil; {
				ok, err = other.Switch(ctx, n)
			}
			close(served)
			feeds.Wait()
			if err != nil {
				failed(err)
			}
			switches.Add(1)
			release()
		}
	})
	events := int64(0)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for events < least || switches.Load() < 3 && events < 20*least {
		if events > last.Load()+300 && switches.Load() < 3 { // events come more slowly than a rebuild takes them
			<-tick.C
			continue
		}
		events++
		history.Store(events)
		next <- events
	}
	close(next)
	all.Wait()
	close(done)
	others.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, events, reached(t, m))
	got := orders(t, m)
	require.Len(t, got, int(events))
	for id, n := range got {
		require.Equal(t, 1, n, id)
	}
	require.NoError(t, s.KeepOnce(ctx))
	require.Len(t, namespaces(t, s, pool), 1)
	require.GreaterOrEqual(t, switches.Load(), int64(3), "they come to an end under load")
	t.Logf("%d rebuilds, %d events", switches.Load(), events)
}
