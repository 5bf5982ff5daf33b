package query_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/query"
	"github.com/leat-go/leat/query/modeltest"
)

func TestMemory(t *testing.T) {
	modeltest.Run(t, func(testing.TB) modeltest.Harness {
		m := query.NewMemory(query.MemoryConfig{})
		numbers := query.NewTable[string, int](m)
		return modeltest.Harness{
			Model: m, Other: m,
			Add: func(ctx context.Context, key string, n int) error {
				old, _ := numbers.Get(ctx, key)
				return numbers.Put(ctx, key, old+n)
			},
			Get: func(ctx context.Context, key string) (int, error) {
				n, _ := numbers.Get(ctx, key)
				return n, nil
			},
		}
	}, modeltest.Bubble())
}

func step(offset int64) query.Step {
	return query.Step{Topic: "t", At: event.Position{Offset: offset}, Source: "/s", ID: fmt.Sprint("e-", offset), Cause: fmt.Sprint("c-", offset)}
}

func opened(t *testing.T, c query.MemoryConfig) *query.Memory {
	t.Helper()
	m := query.NewMemory(c)
	require.NoError(t, m.Open(t.Context(), "p"))
	return m
}

func begin(t *testing.T, m query.Model, s query.Step) (query.Update, context.Context) {
	t.Helper()
	u, err := m.Begin(t.Context(), s)
	require.NoError(t, err)
	return u, u.Context(t.Context())
}

// A model that isn't open takes nothing.
func TestMemoryNotOpen(t *testing.T) {
	m := query.NewMemory(query.MemoryConfig{})
	_, err := m.Begin(t.Context(), step(1))
	require.Error(t, err)
	require.NotErrorIs(t, err, query.ErrApplied)
	require.Error(t, m.Pass(t.Context(), step(1), false))
}

// Only so many events are known by their ids; by their positions all are.
func TestMemoryForgetsIDs(t *testing.T) {
	m := opened(t, query.MemoryConfig{Recent: 3})
	for o := range int64(5) {
		u, _ := begin(t, m, step(o+1))
		require.NoError(t, u.Commit(t.Context()))
	}
	seen, err := m.Seen(t.Context(), "e-1", "e-2", "c-2", "e-3", "c-3", "e-5")
	require.NoError(t, err)
	require.Equal(t, []bool{false, false, false, true, true, true}, seen)
	_, err = m.Begin(t.Context(), step(1))
	require.ErrorIs(t, err, query.ErrApplied)
	for range 10 { // what is known already takes no room
		require.NoError(t, m.Pass(t.Context(), step(5), false))
	}
	seen, err = m.Seen(t.Context(), "e-3")
	require.NoError(t, err)
	require.True(t, seen[0])
}

// What was read has to be there unchanged: a row, its absence, the whole table. What nobody
// has read may have changed.
func TestMemoryConflicts(t *testing.T) {
	m := opened(t, query.MemoryConfig{})
	table, other := query.NewTable[string, int](m), query.NewTable[int, string](m)
	offset := int64(0)
	write := func(f func(ctx context.Context) error) {
		t.Helper()
		offset++
		u, ctx := begin(t, m, step(offset))
		require.NoError(t, f(ctx))
		require.NoError(t, u.Commit(t.Context()))
	}
	put := func(key string, n int) func(context.Context) error {
		return func(ctx context.Context) error { return table.Put(ctx, key, n) }
	}
	write(put("a", 1))
	for name, c := range map[string]struct {
		read      func(ctx context.Context)
		meanwhile func(ctx context.Context) error
		conflict  bool
	}{
		"nothing read":   {func(context.Context) {}, put("a", 2), false},
		"another key":    {func(ctx context.Context) { table.Get(ctx, "a") }, put("b", 2), false},
		"the key":        {func(ctx context.Context) { table.Get(ctx, "a") }, put("a", 2), true},
		"the same value": {func(ctx context.Context) { table.Get(ctx, "a") }, put("a", 1), true},
		"deleted":        {func(ctx context.Context) { table.Get(ctx, "a") }, func(ctx context.Context) error { return table.Delete(ctx, "a") }, true},
		"new":            {func(ctx context.Context) { table.Get(ctx, "new") }, put("new", 1), true},
		"all": {func(ctx context.Context) {
			for range table.All(ctx) {
			}
		}, put("c", 1), true},
		"all of another": {func(ctx context.Context) {
			for range other.All(ctx) {
			}
		}, put("c", 1), false},
		"all, read again": {func(ctx context.Context) {
			for range table.All(ctx) {
			}
		}, func(ctx context.Context) error { table.Get(ctx, "a"); return nil }, false},
		"what it has written": {func(ctx context.Context) { _ = table.Put(ctx, "a", 5); table.Get(ctx, "a") }, put("a", 2), false},
	} {
		t.Run(name, func(t *testing.T) {
			write(put("a", 1))
			offset++
			u, ctx := begin(t, m, step(offset))
			require.NoError(t, other.Put(ctx, 1, name))
			c.read(ctx)
			require.False(t, u.Interrupted(errTest))
			write(c.meanwhile)
			require.Equal(t, c.conflict, u.Interrupted(errTest), "the handler's error doesn't count then")
			err := u.Commit(t.Context())
			require.Equal(t, c.conflict, err != nil)
			if err != nil {
				require.True(t, u.Interrupted(err))
			}
			got, _ := other.Get(t.Context(), 1)
			require.Equal(t, c.conflict, got != name, "all or nothing")
		})
	}
}

// A transaction reads a row as it was when it read it first.
func TestMemoryReadsAgain(t *testing.T) {
	m := opened(t, query.MemoryConfig{})
	table := query.NewTable[string, int](m)
	u, ctx := begin(t, m, step(1))
	_, ok := table.Get(ctx, "a")
	require.False(t, ok)
	w, wctx := begin(t, m, step(2))
	require.NoError(t, table.Put(wctx, "a", 1))
	require.NoError(t, w.Commit(t.Context()))
	_, ok = table.Get(ctx, "a")
	require.False(t, ok)
	require.True(t, u.Interrupted(u.Commit(t.Context())))
}

// An iteration is of the moment when it began.
func TestTableAll(t *testing.T) {
	m := opened(t, query.MemoryConfig{})
	table := query.NewTable[string, int](m)
	u, ctx := begin(t, m, step(1))
	for i := range 10 {
		require.NoError(t, table.Put(ctx, fmt.Sprint(i), i))
	}
	require.NoError(t, u.Commit(t.Context()))
	n := 0
	for range table.All(t.Context()) {
		if n++; n == 1 {
			u, ctx := begin(t, m, step(2))
			for i := range 10 {
				require.NoError(t, table.Delete(ctx, fmt.Sprint(i)))
			}
			require.NoError(t, u.Commit(t.Context()))
		}
	}
	require.Equal(t, 10, n)
	for range table.All(t.Context()) {
		t.Fatal("they were deleted")
	}
}

// Two for one step never both commit, also where neither has read what the other wrote; nor
// do two for one id.
func TestMemoryTwoForOne(t *testing.T) {
	for _, twin := range []int64{1, 2} {
		m := opened(t, query.MemoryConfig{})
		table := query.NewTable[string, int](m)
		second := step(twin)
		second.ID = step(1).ID
		a, actx := begin(t, m, step(1))
		b, bctx := begin(t, m, second)
		require.NoError(t, table.Put(actx, "a", 1))
		require.NoError(t, table.Put(bctx, "a", 2))
		require.NoError(t, a.Commit(t.Context()))
		require.ErrorIs(t, b.Commit(t.Context()), query.ErrApplied)
		n, _ := table.Get(t.Context(), "a")
		require.Equal(t, 1, n)
	}
}
