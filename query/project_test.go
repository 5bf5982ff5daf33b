package query_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
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

type added struct {
	Key string
	N   int
}

func (a added) EventKey() string { return a.Key }
func (added) EventTopic() string { return "sums" }

type cleared struct{ Key string }

func (c cleared) EventKey() string { return c.Key }
func (cleared) EventTopic() string { return "sums" }

type ignored struct{ N int }

func (ignored) EventTopic() string { return "sums" }

var errTest = errors.New("the test fails here")

// shop is an application with a projection of sums, whose handlers read and write one
// counter for all keys too.
type shop struct {
	t    *testing.T
	ch   *memory.Channel
	b    *bus.Bus
	mem  *query.Memory
	sums *query.Table[string, int]
	p    *query.Projection
}

const total = "total"

// newShop makes one that isn't started. The Bus leaves the channel open.
func newShop(t *testing.T, ch *memory.Channel, mem *query.Memory, opts ...bus.SubscribeOption) *shop {
	t.Helper()
	s := &shop{t: t, ch: ch, mem: mem, b: bus.New(bus.Config{App: "shop", Channel: ch, KeepChannel: true})}
	s.sums = query.NewTable[string, int](mem)
	s.p = query.Project(s.b, "sums", mem)
	query.Apply(s.p, s.add, opts...)
	query.Apply(s.p, func(ctx context.Context, e cleared) error { return s.sums.Delete(ctx, e.Key) }, opts...)
	return s
}

func (s *shop) add(ctx context.Context, e added) error {
	for _, key := range []string{e.Key, total} {
		n, _ := s.sums.Get(ctx, key)
		pass(time.Millisecond) // virtual
		if err := s.sums.Put(ctx, key, n+e.N); err != nil {
			return err
		}
	}
	return nil
}

func pass(d time.Duration) { time.Sleep(d) } // virtual

func (s *shop) start() *shop {
	s.t.Helper()
	require.NoError(s.t, s.b.Start(s.t.Context()))
	s.t.Cleanup(func() { _ = s.b.Shutdown(context.WithoutCancel(s.t.Context())) })
	return s
}

func (s *shop) publish(v any, opts ...bus.PublishOption) {
	s.t.Helper()
	require.NoError(s.t, s.b.Publish(s.t.Context(), v, opts...))
}

// quiet waits until the group has nothing to do.
func (s *shop) quiet() {
	s.t.Helper()
	require.NoError(s.t, s.ch.Quiet(s.t.Context(), "shop.sums"))
}

func (s *shop) all() map[string]int { return maps.Collect(s.sums.All(s.t.Context())) }

// What handlers did is read where it was committed, in the order of a key.
func TestProject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, memory.New(memory.Encode()), query.NewMemory(query.MemoryConfig{}), bus.Workers(8)).start()
		for i := range 40 {
			s.publish(added{fmt.Sprint("k", i%4), i})
		}
		s.publish(ignored{1})
		s.publish(cleared{"k1"})
		s.publish(added{"k2", 1000}, bus.ID("last"))
		require.NoError(t, s.p.Wait(t.Context(), "last"))
		require.Equal(t, map[string]int{"k0": 180, "k2": 1200, "k3": 210, total: 1780}, s.all())
		n, ok := s.sums.Get(t.Context(), "k2")
		require.True(t, ok)
		require.Equal(t, 1200, n)
		_, ok = s.sums.Get(t.Context(), "k1")
		require.False(t, ok)
	})
}

// What a handler wrote is seen by itself alone until it commits, and by nobody when it fails.
func TestTransactionOfAHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, memory.New(), query.NewMemory(query.MemoryConfig{}))
		type odd struct{}
		runs := 0
		var late context.Context
		query.Apply(s.p, func(ctx context.Context, _ odd) error {
			late = ctx //nolint:fatcontext // to be used when it has ended
			require.NoError(t, s.sums.Put(ctx, "a", 1))
			require.NoError(t, s.sums.Put(ctx, "b", 1))
			require.NoError(t, s.sums.Delete(ctx, "b"))
			n, ok := s.sums.Get(ctx, "a")
			require.True(t, ok && n == 1)
			_, ok = s.sums.Get(ctx, "b")
			require.False(t, ok)
			require.Equal(t, map[string]int{"a": 1}, maps.Collect(s.sums.All(ctx)))
			require.Empty(t, s.all())
			if runs++; runs < 3 {
				return errTest
			}
			return nil
		})
		s.start()
		require.ErrorIs(t, s.sums.Put(t.Context(), "a", 1), query.ErrNoUpdate)
		require.ErrorIs(t, s.sums.Delete(t.Context(), "a"), query.ErrNoUpdate)
		s.publish(odd{})
		s.quietAll()
		require.Equal(t, 3, runs)
		require.Equal(t, map[string]int{"a": 1}, s.all())
		require.ErrorIs(t, s.sums.Put(late, "a", 2), query.ErrNoUpdate)
	})
}

func (s *shop) quietAll() {
	s.t.Helper()
	require.NoError(s.t, s.ch.Quiet(s.t.Context()))
}

// On a bad day each event has its effect once: also the counter that all keys share.
func TestExactlyOnceWithFaults(t *testing.T) {
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			ch := memory.New(memory.Encode(), memory.Retain(1000), memory.WithFaults(memory.Faults{
				Seed: seed, Redeliver: 0.2, Delay: time.Second, LoseAck: 0.2, LoseLease: 0.1, FailSettle: 0.1, FailReceive: 0.1, Reorder: 0.2,
			}))
			mem := query.NewMemory(query.MemoryConfig{})
			one, two := newShop(t, ch, mem, bus.Workers(8)), newShop(t, ch, mem, bus.Workers(8))
			two.sums = one.sums
			one.start()
			two.start()
			want := map[string]int{}
			for i := range 60 {
				key := fmt.Sprint("k", i%5)
				one.publish(added{key, i})
				want[key] += i
				want[total] += i
				if i == 30 {
					go func() {
						if err := one.p.Rebuild(t.Context()); err != nil {
							t.Error(err)
						}
					}()
				}
			}
			one.publish(ignored{}, bus.ID("end"))
			require.NoError(t, two.p.Wait(t.Context(), "end"))
			require.Equal(t, want, one.all(), "seed %d", seed)
			one.quietAll()
			require.Equal(t, want, one.all(), "seed %d", seed)
		})
	}
}

// A dead letter doesn't hold up who waits, and is applied when it is driven again.
func TestDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		broken.Store(true)
		s := newShop(t, memory.New(), query.NewMemory(query.MemoryConfig{}))
		type fragile struct{ N int }
		query.Apply(s.p, func(ctx context.Context, e fragile) error {
			if broken.Load() {
				return event.Permanent(errTest)
			}
			return s.sums.Put(ctx, "fragile", e.N)
		}, bus.Topic("sums"))
		s.start()
		require.NoError(t, s.b.Publish(t.Context(), fragile{7}, bus.Topic("sums"), bus.ID("fragile")))
		s.publish(added{"a", 1}, bus.ID("a"))
		require.NoError(t, s.p.Wait(t.Context(), "a"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := s.p.Wait(ctx, "fragile")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "no event by this id")

		broken.Store(false)
		for d, err := range s.b.DeadLetters(t.Context(), "sums") {
			require.NoError(t, err)
			require.NoError(t, s.b.Redrive(t.Context(), d))
		}
		require.NoError(t, s.p.Wait(t.Context(), "fragile"))
		require.Equal(t, map[string]int{"a": 1, total: 1, "fragile": 7}, s.all())
	})
}

// What others around the handler decide counts too: a rejection, a middleware outside that ends the
// event, bytes that can't be decoded, an event that nobody handles.
func TestAllIsPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, m := range map[string]event.MiddlewareFunc{
			"swallowed": func(event.Handler) event.Handler {
				return func(context.Context, event.Event) error { return nil }
			},
			"rejected": func(event.Handler) event.Handler {
				return func(context.Context, event.Event) error { return event.Reject(errTest) }
			},
			"dead": func(event.Handler) event.Handler {
				return func(context.Context, event.Event) error { return event.Permanent(errTest) }
			},
			"rejected by the handler": func(next event.Handler) event.Handler {
				return func(ctx context.Context, e event.Event) error {
					return errors.Join(next(ctx, e), event.Reject(errTest))
				}
			},
		} {
			t.Log(name)
			s := newShop(t, memory.New(), query.NewMemory(query.MemoryConfig{}))
			type odd struct{}
			query.Apply(s.p, func(ctx context.Context, _ odd) error {
				if name != "rejected by the handler" {
					t.Error("the handler runs")
				}
				require.NoError(t, s.sums.Put(ctx, "odd", 1))
				return event.Reject(errTest)
			}, bus.Topic("sums"), bus.With(m))
			s.start()
			require.NoError(t, s.b.Publish(t.Context(), odd{}, bus.Topic("sums")))
			require.NoError(t, s.b.Publish(t.Context(), event.New("/x", "added", []byte("{")), bus.Topic("sums")))
			s.publish(ignored{})
			s.publish(added{"a", 1}, bus.ID("a"))
			require.NoError(t, s.p.Wait(t.Context(), "a"), name)
			require.Equal(t, map[string]int{"a": 1, total: 1}, s.all())
		}
	})
}

// With a handler of its own for the rest, a projection sees all.
func TestApplyRaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, memory.New(), query.NewMemory(query.MemoryConfig{}))
		query.ApplyRaw(s.p, nil, func(ctx context.Context, e event.Event) error { return s.sums.Put(ctx, e.Type(), 1) }, bus.Topic("sums"))
		query.ApplyRaw(s.p, []string{"x", "y"}, func(ctx context.Context, e event.Event) error { return s.sums.Put(ctx, e.Type(), 2) }, bus.Topic("other"))
		s.start()
		s.publish(ignored{})
		require.NoError(t, s.b.Publish(t.Context(), event.New("/s", "y", nil), bus.Topic("other")))
		require.NoError(t, s.b.Publish(t.Context(), event.New("/s", "z", nil), bus.Topic("other"), bus.ID("z")))
		require.NoError(t, s.p.Wait(t.Context(), "z"))
		s.quietAll()
		require.Equal(t, map[string]int{"ignored": 1, "y": 2}, s.all())
	})
}

// An event that its publisher has sent twice, by one id, is applied once.
func TestTwoPositionsOfAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, memory.New(), query.NewMemory(query.MemoryConfig{})).start()
		s.publish(added{"a", 1}, bus.ID("twice"))
		s.publish(added{"a", 1}, bus.ID("twice"))
		s.publish(added{"a", 1}, bus.ID("last"))
		require.NoError(t, s.p.Wait(t.Context(), "last"))
		require.Equal(t, 2, s.all()["a"])
	})
}

// What a handler publishes goes out when the model has it.
func TestPublishInAHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, memory.New(memory.Retain(10)), query.NewMemory(query.MemoryConfig{}))
		type noted struct{ Rebuilding bool }
		var got []noted
		var rebuilding []bool
		type odd struct{}
		query.Apply(s.p, func(ctx context.Context, _ odd) error {
			rebuilding = append(rebuilding, query.Rebuilding(ctx))
			return errors.Join(
				s.b.Publish(ctx, noted{query.Rebuilding(ctx)}),
				s.b.Publish(ctx, noted{query.Rebuilding(ctx)}, bus.Now()))
		})
		bus.Subscribe(s.b, "noted", func(_ context.Context, n noted) error { got = append(got, n); return nil })
		s.start()
		s.publish(odd{})
		s.quietAll()
		require.NoError(t, s.p.Rebuild(t.Context()))
		s.quietAll()
		require.Equal(t, []noted{{}, {}}, got)
		require.Equal(t, []bool{false, true}, rebuilding)
	})
}

// Mistakes are told by Start.
func TestMistakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := query.NewMemory(query.MemoryConfig{})
		b := bus.New(bus.Config{Channel: blind{memory.New()}})
		query.Apply(query.Project(b, "a", mem), func(context.Context, added) error { return nil })
		err := b.Start(t.Context())
		require.ErrorIs(t, err, query.ErrNoPositions)
		require.ErrorContains(t, err, `topic "sums"`)
		require.ErrorContains(t, err, "(memory)")
		require.ErrorContains(t, err, "InTx")

		b = bus.New(bus.Config{Channel: memory.New()})
		query.Apply(query.Project(b, "a", nil), func(context.Context, added) error { return nil })
		require.ErrorContains(t, b.Start(t.Context()), `projection "a": the model is nil`)

		b = bus.New(bus.Config{Channel: memory.New()})
		query.Apply(query.Project(b, "a", mem), func(context.Context, added) error { return nil })
		query.Project(b, "a", query.NewMemory(query.MemoryConfig{}))
		require.ErrorContains(t, b.Start(t.Context()), `two projections "a"`)

		b = bus.New(bus.Config{Channel: memory.New()})
		query.Apply(query.Project(b, "a", mem), func(context.Context, added) error { return nil })
		query.Apply(query.Project(b, "b", mem), func(context.Context, added) error { return nil })
		require.ErrorContains(t, b.Start(t.Context()), `the model is that of projection "a"`)

		b = bus.New(bus.Config{Channel: memory.New()})
		query.Apply(query.Project(b, "a", mem), func(context.Context, added) error { return nil }, bus.ParkKey())
		require.ErrorContains(t, b.Start(t.Context()), "ParkKey")

		b = bus.New(bus.Config{Channel: memory.New()})
		p := query.Project(b, "a", mem)
		query.Apply(p, func(context.Context, added) error { return nil })
		require.ErrorIs(t, p.Wait(t.Context(), "x"), bus.ErrNotStarted)
		require.ErrorIs(t, p.Rebuild(t.Context()), bus.ErrNotStarted)
		require.NoError(t, b.Start(t.Context()))
		require.Panics(t, func() { query.Project(b, "c", mem) })
		require.Panics(t, func() { query.Apply(p, func(context.Context, cleared) error { return nil }) })
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// blind is a channel without positions.
type blind struct{ *memory.Channel }

func (c blind) Guarantees(ctx context.Context, topic, group string) (event.Guarantees, error) {
	g, err := c.Channel.Guarantees(ctx, topic, group)
	g.Positions = false
	return g, err
}

// A model that doesn't answer is nobody's failure; the Bus isn't ready then.
func TestModelAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &flaky{Memory: query.NewMemory(query.MemoryConfig{})}
		b := bus.New(bus.Config{Channel: memory.New()})
		sums := query.NewTable[string, int](m.Memory)
		p := query.Project(b, "sums", m)
		failures := 0
		query.Apply(p, func(ctx context.Context, e added) error {
			info, _ := event.FromContext(ctx)
			failures += info.Failures
			n, _ := sums.Get(ctx, e.Key)
			return sums.Put(ctx, e.Key, n+e.N)
		})
		m.openErr = errTest
		require.ErrorIs(t, b.Start(t.Context()), errTest)
		m.openErr = nil
		require.NoError(t, b.Start(t.Context()))
		m.away.Store(true)
		require.NoError(t, b.Publish(t.Context(), added{"a", 1}, bus.ID("a")))
		pass(time.Hour) // virtual
		require.ErrorIs(t, b.Ready(), errTest)
		m.away.Store(false)
		require.NoError(t, p.Wait(t.Context(), "a"))
		require.NoError(t, b.Ready())
		m.unknown.Store(3) // commits whose answer is lost
		require.NoError(t, b.Publish(t.Context(), added{"a", 1}, bus.ID("b")))
		require.NoError(t, p.Wait(t.Context(), "b"))
		n, _ := sums.Get(t.Context(), "a")
		require.Equal(t, 2, n)
		m.aborts.Store(1) // the handler's failure
		require.NoError(t, b.Publish(t.Context(), added{"a", 1}, bus.ID("c")))
		require.NoError(t, p.Wait(t.Context(), "c"))
		require.Equal(t, 1, failures)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// flaky is a model that is away now and then.
type flaky struct {
	*query.Memory

	openErr error
	away    atomic.Bool
	unknown atomic.Int32
	aborts  atomic.Int32
}

func (f *flaky) Open(ctx context.Context, name string) error {
	if f.openErr != nil {
		return f.openErr
	}
	return f.Memory.Open(ctx, name)
}

func (f *flaky) Begin(ctx context.Context, s query.Step) (query.Update, error) {
	if f.away.Load() {
		return nil, errTest
	}
	u, err := f.Memory.Begin(ctx, s)
	if err != nil {
		return nil, err
	}
	return flakyUpdate{u, f}, nil
}

type flakyUpdate struct {
	query.Update

	f *flaky
}

func (u flakyUpdate) Commit(ctx context.Context) error {
	if u.f.aborts.Add(-1) >= 0 {
		return query.ErrAborted
	}
	if err := u.Update.Commit(ctx); err != nil {
		return err
	}
	if u.f.unknown.Add(-1) >= 0 {
		return errTest
	}
	return nil
}

// That transactions give way to each other, and that the answers to commits are lost, is no failure
// of an event.
func TestNobodyFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &flaky{Memory: query.NewMemory(query.MemoryConfig{})}
		b := bus.New(bus.Config{Channel: memory.New(memory.DeadCapacity(100))})
		sums := query.NewTable[string, int](m.Memory)
		p := query.Project(b, "sums", m)
		query.Apply(p, func(ctx context.Context, e added) error {
			n, _ := sums.Get(ctx, total)
			pass(time.Millisecond) // virtual
			if again, _ := sums.Get(ctx, "other"); n != again {
				return errTest // what it has read never was
			}
			return errors.Join(sums.Put(ctx, total, n+1), sums.Put(ctx, "other", n+1))
		}, bus.Workers(8), bus.Retry(bus.Backoff{Attempts: 1}))
		require.NoError(t, b.Start(t.Context()))
		m.unknown.Store(20)
		for i := range 100 {
			require.NoError(t, b.Publish(t.Context(), added{fmt.Sprint(i), 1}))
		}
		require.NoError(t, b.Publish(t.Context(), added{"last", 1}, bus.ID("last")))
		require.NoError(t, p.Wait(t.Context(), "last"))
		n, _ := sums.Get(t.Context(), total)
		require.Equal(t, 101, n)
		for d, err := range b.DeadLetters(t.Context(), "sums") {
			t.Error("a dead letter", d, err)
		}
		require.NoError(t, b.Shutdown(t.Context()))
	})
}
