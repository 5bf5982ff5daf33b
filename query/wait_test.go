package query_test

import (
	"context"
	"fmt"
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

// gated is a shop whose handler of "slow" keys waits until the gate opens.
func gated(t *testing.T, ch *memory.Channel, gate chan struct{}) *shop {
	t.Helper()
	s := newShop(t, ch, query.NewMemory(query.MemoryConfig{}), bus.Workers(8))
	query.ApplyRaw(s.p, []string{"slow"}, func(ctx context.Context, e event.Event) error {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
		return s.sums.Put(ctx, e.ID(), 1)
	}, bus.Topic("sums"))
	return s
}

func (s *shop) slow(id string) {
	s.t.Helper()
	e := event.New("/s", "slow", nil).WithID(id).WithKey(id)
	require.NoError(s.t, s.b.Publish(s.t.Context(), e, bus.Topic("sums")))
}

// A Wait lasts until all that was accepted before is done, and no longer: what comes later
// it doesn't wait for.
func TestWaitForAllBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		s := gated(t, memory.New(memory.Encode()), gate).start()
		s.slow("before")
		s.publish(added{"a", 1}, bus.ID("mine"))
		var done atomic.Bool
		var all sync.WaitGroup
		all.Go(func() {
			if err := s.p.Wait(t.Context(), "mine"); err != nil {
				t.Error(err)
			}
			done.Store(true)
		})
		pass(5 * time.Second) // virtual
		require.Equal(t, 1, s.all()["a"])
		require.False(t, done.Load(), "what was accepted before isn't done")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := s.p.Wait(ctx, "mine")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "but not all that was accepted before")
		close(gate)
		all.Wait()

		gate = make(chan struct{})
		s = gated(t, memory.New(), gate).start()
		s.publish(added{"a", 1}, bus.ID("mine"))
		all.Go(func() { require.NoError(t, s.p.Wait(t.Context(), "mine")) })
		synctest.Wait()
		s.slow("later")
		pass(time.Second) // virtual
		all.Wait()
		close(gate)
		s.quiet()
	})
}

// Without a deadline it waits 30 s; a cause is told; the id of what caused an event is as good as
// its own.
func TestWaitUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, memory.New(), query.NewMemory(query.MemoryConfig{})).start()
		began := time.Now()
		err := s.p.Wait(t.Context(), "nobody")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, `"nobody"`)
		require.ErrorContains(t, err, "no event by this id")
		require.Equal(t, 30*time.Second, time.Since(began))
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errTest)
		require.ErrorIs(t, s.p.Wait(ctx, "nobody"), errTest)
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		began = time.Now()
		require.ErrorIs(t, s.p.Wait(ctx, "nobody"), context.DeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(began))

		s.publish(added{"a", 1}, bus.Attribute(event.ExtCausationID, "command-1"))
		require.NoError(t, s.p.Wait(t.Context(), "command-1"))
		require.Equal(t, 1, s.all()["a"])
	})
}

// What another process has applied is seen too, soon.
func TestWaitForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch, mem := memory.New(), query.NewMemory(query.MemoryConfig{})
		other, s := newShop(t, ch, mem).start(), newShop(t, ch, mem).start()
		require.NoError(t, s.b.Pause("sums"))
		for i := range 20 {
			id := fmt.Sprint("e-", i)
			began := time.Now()
			other.publish(added{"a", 1}, bus.ID(id))
			require.NoError(t, s.p.Wait(t.Context(), id))
			require.Less(t, time.Since(began), 20*time.Millisecond)
		}
	})
}

// counted counts what a model is asked.
type counted struct {
	*query.Memory

	looks atomic.Int32
}

func (c *counted) Seen(ctx context.Context, ids ...string) ([]bool, error) {
	c.looks.Add(1)
	return c.Memory.Seen(ctx, ids...)
}

// Ten thousand who wait share their looks; those who leave hand the turn on.
func TestManyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 10_000
		m := &counted{Memory: query.NewMemory(query.MemoryConfig{})}
		b := bus.New(bus.Config{Channel: memory.New(memory.Capacity(2 * n))})
		p := query.Project(b, "p", m)
		gate := make(chan struct{})
		query.Apply(p, func(context.Context, added) error { <-gate; return nil }, bus.Workers(4))
		require.NoError(t, b.Start(t.Context()))
		var all sync.WaitGroup
		var gone atomic.Int32
		for i := range n {
			ctx, cancel := t.Context(), func() {}
			if i%10 == 0 {
				ctx, cancel = context.WithTimeout(ctx, time.Duration(i)*time.Millisecond)
			}
			id := fmt.Sprint("e-", i)
			require.NoError(t, b.Publish(t.Context(), added{id, 1}, bus.ID(id)))
			all.Go(func() {
				defer cancel()
				if err := p.Wait(ctx, id); err != nil {
					gone.Add(1)
				}
			})
		}
		pass(10 * time.Second) // virtual
		require.Equal(t, int32(n/10), gone.Load())
		require.Less(t, m.looks.Load(), int32(200))
		close(gate)
		all.Wait()
		require.Equal(t, int32(n/10), gone.Load())
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// A model that doesn't answer is asked again.
func TestWaitAndModelAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &blank{Memory: query.NewMemory(query.MemoryConfig{})}
		b := bus.New(bus.Config{Channel: memory.New()})
		p := query.Project(b, "p", m)
		query.Apply(p, func(context.Context, added) error { return nil })
		require.NoError(t, b.Start(t.Context()))
		require.NoError(t, b.Publish(t.Context(), added{"a", 1}, bus.ID("a")))
		m.away.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := p.Wait(ctx, "a")
		require.ErrorIs(t, err, errTest)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.AfterFunc(time.Second, func() { m.away.Store(false) })
		require.NoError(t, p.Wait(t.Context(), "a"))
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

type blank struct {
	*query.Memory

	away atomic.Bool
}

func (m *blank) Reached(ctx context.Context, topic string) ([]event.Position, error) {
	if m.away.Load() {
		return nil, errTest
	}
	return m.Memory.Reached(ctx, topic)
}

// endless is a channel that doesn't tell where a topic ends.
type endless struct{ event.Channel }

func TestWaitWithoutEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bus.New(bus.Config{Channel: endless{memory.New()}})
		p := query.Project(b, "p", query.NewMemory(query.MemoryConfig{}))
		query.Apply(p, func(context.Context, added) error { return nil })
		require.NoError(t, b.Start(t.Context()))
		require.ErrorIs(t, p.Wait(t.Context(), "x"), query.ErrNoPositions)
		require.ErrorIs(t, p.Rebuild(t.Context()), event.ErrNotSupported)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// What was accepted before the group began isn't its: nobody waits for it.
func TestWaitBehindTheBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		before := bus.New(bus.Config{App: "before", Channel: ch, KeepChannel: true})
		require.NoError(t, before.Start(t.Context()))
		for range 10 {
			require.NoError(t, before.Publish(t.Context(), added{"a", 1}))
		}
		s := newShop(t, ch, query.NewMemory(query.MemoryConfig{}))
		query.ApplyRaw(s.p, []string{"x"}, func(context.Context, event.Event) error { return nil }, bus.Topic("other"))
		s.start()
		require.NoError(t, before.Publish(t.Context(), event.New("/s", "x", nil).WithID("x"), bus.Topic("other")))
		require.NoError(t, s.p.Wait(t.Context(), "x"), "nothing of the first topic has ever come")
		s.publish(added{"a", 1}, bus.ID("a"))
		require.NoError(t, s.p.Wait(t.Context(), "a"))
		require.Equal(t, 1, s.all()["a"])
		require.NoError(t, before.Shutdown(t.Context()))
	})
}

// A commit of this process is seen at once.
func TestWaitIsWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		s := gated(t, memory.New(), gate).start()
		s.slow("e")
		time.AfterFunc(10*time.Second+111*time.Millisecond, func() { close(gate) })
		began := time.Now()
		require.NoError(t, s.p.Wait(t.Context(), "e"))
		require.LessOrEqual(t, time.Since(began), 10*time.Second+112*time.Millisecond)
	})
}
