package query_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/query"
)

// A rebuild runs what the handlers are now over all of the history, while the model serves and
// publishers publish; order of a key included.
func TestRebuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch, mem := memory.New(memory.Retain(10_000), memory.Encode()), query.NewMemory(query.MemoryConfig{})
		s := newShop(t, ch, mem, bus.Workers(4))
		var factor atomic.Int64
		factor.Store(1)
		var rebuilt atomic.Int32
		query.ApplyRaw(s.p, []string{"priced"}, func(ctx context.Context, e event.Event) error {
			if query.Rebuilding(ctx) {
				rebuilt.Add(1)
				pass(20 * time.Millisecond) // virtual
			}
			k := e.Key() + " in order"
			last, _ := s.sums.Get(ctx, k)
			var n int
			if _, err := fmt.Sscan(string(e.Data()), &n); err != nil || n != last/int(factor.Load())+1 {
				return event.Permanent(fmt.Errorf("%d comes after %d", n, last))
			}
			return s.sums.Put(ctx, k, n*int(factor.Load()))
		}, bus.Topic("sums"))
		s.start()
		n := 0
		publish := func() {
			n++
			for _, key := range []string{"a", "b"} {
				s.publish(event.New("/s", "priced", []byte(fmt.Sprint(n))).WithKey(key).WithID(fmt.Sprint(key, n)), bus.Topic("sums"))
			}
		}
		for range 100 {
			publish()
		}
		require.NoError(t, s.p.Wait(t.Context(), "b100"))
		require.Equal(t, map[string]int{"a in order": 100, "b in order": 100}, s.all())

		factor.Store(10) // another version of the handlers
		require.NoError(t, s.b.Pause("sums"))
		done := make(chan error, 1)
		go func() { done <- s.p.Rebuild(t.Context()) }()
		pass(500 * time.Millisecond) // virtual
		require.Equal(t, 100, s.all()["a in order"], "the old one serves")
		require.ErrorIs(t, s.p.Rebuild(t.Context()), query.ErrRebuilding)
		for range 50 {
			publish()
			pass(30 * time.Millisecond) // virtual
		}
		require.NoError(t, <-done)
		require.NoError(t, s.b.Resume("sums"))
		require.NoError(t, s.p.Wait(t.Context(), "b150"))
		require.Equal(t, map[string]int{"a in order": 1500, "b in order": 1500}, s.all())
		require.GreaterOrEqual(t, rebuilt.Load(), int32(200))
		s.nothingLeft()
		require.NoError(t, s.p.Rebuild(t.Context()), "and again")
		require.Equal(t, map[string]int{"a in order": 1500, "b in order": 1500}, s.all())
		s.nothingLeft()
	})
}

// nothingLeft fails if a group of a rebuild is left.
func (s *shop) nothingLeft() {
	s.t.Helper()
	groups, err := s.ch.Groups(s.t.Context(), "sums")
	require.NoError(s.t, err)
	for _, g := range groups {
		require.NotContains(s.t, g.Group, "rebuild")
	}
}

// Where it can't come to its end, all that it made goes, and the model serves as before.
func TestRebuildFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New(memory.Retain(100))
		s := newShop(t, ch, query.NewMemory(query.MemoryConfig{}))
		var broken, slow atomic.Bool
		query.ApplyRaw(s.p, []string{"odd"}, func(ctx context.Context, e event.Event) error {
			switch {
			case query.Rebuilding(ctx) && broken.Load():
				return event.Permanent(errTest)
			case query.Rebuilding(ctx) && slow.Load():
				<-ctx.Done()
				return ctx.Err()
			}
			return s.sums.Put(ctx, "odd", 1)
		}, bus.Topic("sums"))
		s.start()
		s.publish(added{"a", 1})
		s.publish(event.New("/s", "odd", nil).WithID("odd-1"), bus.Topic("sums"))
		require.NoError(t, s.p.Wait(t.Context(), "odd-1"))
		want := s.all()

		broken.Store(true)
		err := s.p.Rebuild(t.Context())
		require.ErrorIs(t, err, errTest)
		require.ErrorContains(t, err, `failed for good: 1, the first of them "odd-1" of topic "sums" at 0:2`)
		require.Equal(t, want, s.all())
		s.nothingLeft()

		broken.Store(false)
		slow.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, s.p.Rebuild(ctx), context.DeadlineExceeded)
		require.Equal(t, want, s.all())
		s.nothingLeft()

		slow.Store(false)
		require.NoError(t, ch.EnsureGroup(t.Context(), "shop.sums-rebuild-12", event.Oldest(), "sums"))
		require.NoError(t, ch.EnsureGroup(t.Context(), "shop.sums-rebuild-notes", event.Oldest(), "sums"))
		require.NoError(t, s.p.Rebuild(t.Context()))
		require.Equal(t, want, s.all())
		groups, err := ch.Groups(t.Context(), "sums")
		require.NoError(t, err)
		require.True(t, slices.ContainsFunc(groups, func(g event.GroupInfo) bool { return strings.HasSuffix(g.Group, "notes") }), "that is no rebuild")
		require.False(t, slices.ContainsFunc(groups, func(g event.GroupInfo) bool { return strings.HasSuffix(g.Group, "12") }), "an earlier one left that")

		none := newShop(t, memory.New(), query.NewMemory(query.MemoryConfig{})).start()
		err = none.p.Rebuild(t.Context())
		require.ErrorIs(t, err, event.ErrNoHistory)
		require.ErrorContains(t, err, `topic "sums"`)
		require.NoError(t, s.b.Shutdown(t.Context()))
		require.ErrorIs(t, s.p.Rebuild(t.Context()), event.ErrClosed)
	})
}

// What the history has no more is no reason to wait for ever; nor is what nobody handles, what
// is rejected, and bytes that are no event.
func TestRebuildWithoutTheBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New(memory.Retain(5))
		s := newShop(t, ch, query.NewMemory(query.MemoryConfig{}))
		query.ApplyRaw(s.p, []string{"no"}, func(context.Context, event.Event) error { return event.Reject(errTest) }, bus.Topic("sums"))
		query.ApplyRaw(s.p, []string{"x"}, func(context.Context, event.Event) error { return nil }, bus.Topic("other"))
		s.start()
		for range 10 {
			s.publish(added{"a", 1})
		}
		require.NoError(t, s.b.Publish(t.Context(), event.New("/s", "x", nil), bus.Topic("other")))
		s.publish(event.New("/s", "no", nil), bus.Topic("sums"))
		s.publish(ignored{})
		s.quietAll()
		require.Equal(t, 10, s.all()["a"])
		require.NoError(t, s.p.Rebuild(t.Context()))
		require.Equal(t, 3, s.all()["a"])

		alone := event.New("/s", "added", []byte(`{"Key":"a","N":1}`)).WithID("alone")
		require.NoError(t, ch.ProduceTo(t.Context(), "shop.sums", "sums", event.MarkReplayed, alone))
		require.NoError(t, s.p.Wait(t.Context(), "alone"))
		require.Equal(t, 4, s.all()["a"])
		require.NoError(t, s.p.Rebuild(t.Context()))
		require.Equal(t, 3, s.all()["a"])
	})
}

// On a bad day rebuilds and crashes of members leave the model as a straightforward fold has it.
func TestRebuildWithFaults(t *testing.T) {
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			ch := memory.New(memory.Encode(), memory.Retain(1000), memory.WithFaults(memory.Faults{
				Seed: seed, Redeliver: 0.2, Delay: time.Second, LoseAck: 0.2, LoseLease: 0.1, FailSettle: 0.1, FailReceive: 0.1, Reorder: 0.2,
			}))
			s := newShop(t, ch, query.NewMemory(query.MemoryConfig{}), bus.Workers(4)).start()
			want := map[string]int{}
			var all sync.WaitGroup
			for i := range 50 {
				key := fmt.Sprint("k", i%3)
				if i%7 == 6 {
					s.publish(cleared{key})
					delete(want, key)
				} else {
					s.publish(added{key, i})
					want[key] += i
					want[total] += i
				}
				if i == 10 || i == 30 {
					all.Go(func() {
						if err := s.p.Rebuild(t.Context()); err != nil && !errors.Is(err, query.ErrRebuilding) {
							t.Error(err)
						}
					})
				}
				pass(50 * time.Millisecond) // virtual
			}
			all.Wait()
			s.publish(ignored{}, bus.ID("end"))
			require.NoError(t, s.p.Wait(t.Context(), "end"))
			require.Equal(t, want, s.all(), "seed %d", seed)
			s.nothingLeft()
		})
	}
}

// A rebuild begins with the oldest event, wherever the projection began.
func TestRebuildFromTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New(memory.Retain(100))
		before := bus.New(bus.Config{App: "before", Channel: ch, KeepChannel: true})
		require.NoError(t, before.Start(t.Context()))
		require.NoError(t, before.Publish(t.Context(), added{"a", 1}))
		require.NoError(t, before.Shutdown(t.Context()))
		s := newShop(t, ch, query.NewMemory(query.MemoryConfig{}), bus.From(event.Newest())).start()
		s.publish(added{"a", 1}, bus.ID("mine"))
		require.NoError(t, s.p.Wait(t.Context(), "mine"))
		require.Equal(t, 1, s.all()["a"])
		require.NoError(t, s.p.Rebuild(t.Context()))
		require.Equal(t, 2, s.all()["a"])
	})
}
