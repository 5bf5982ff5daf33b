package query_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
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

// cached returns the desk's answers behind a cache that is empty, and whose subscription is open.
func cached(t *testing.T, b *bus.Bus, s *desk, cfg query.CacheConfig) query.Func[priceOf, price] {
	t.Helper()
	f := query.Chain(s.answer, query.Cache[priceOf, price](b, cfg))
	_, err := f(t.Context(), priceOf{"warm up"})
	require.NoError(t, err)
	synctest.Wait()
	require.NoError(t, query.ChangedAll[priceOf](t.Context(), b)) // or it is kept, or not
	synctest.Wait()
	if stats := cfg.Stats; stats != nil {
		stats.Misses.Store(0)
		stats.Invalidations.Store(0)
	}
	return f
}

// later returns what comes when it is asked in another goroutine.
func later(t *testing.T, f query.Func[priceOf, price], item string) <-chan int {
	t.Helper()
	got := make(chan int, 1)
	go func() {
		p, err := f(t.Context(), priceOf{item})
		if err != nil {
			t.Error(err)
		}
		got <- p.Cents
	}()
	synctest.Wait()
	return got
}

func cents(t *testing.T, f query.Func[priceOf, price], item string) int {
	t.Helper()
	p, err := f(t.Context(), priceOf{item})
	require.NoError(t, err)
	return p.Cents
}

// An answer is kept for the TTL, or until it changes, told here or in another process.
func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDesk()
		ch := memory.New(memory.Encode())
		a, b := s.open(t, ch), s.open(t, ch)
		var stats query.CacheStats
		f := cached(t, b, s, query.CacheConfig{Stats: &stats})
		require.Zero(t, cents(t, f, "tea"))
		s.set("tea", 1)
		time.Sleep(time.Minute - 1) // virtual
		require.Zero(t, cents(t, f, "tea"))
		time.Sleep(time.Nanosecond) // virtual
		require.Equal(t, 1, cents(t, f, "tea"))
		require.Equal(t, 2, s.asks("tea"))
		s.set("tea", 2)
		require.NoError(t, query.Changed(t.Context(), b, priceOf{"milk"}))
		require.Equal(t, 1, cents(t, f, "tea"))
		require.NoError(t, query.Changed(t.Context(), b, priceOf{"tea"}))
		require.Equal(t, 2, cents(t, f, "tea"), "who tells knows it at once")
		s.set("tea", 3)
		require.NoError(t, query.Changed(t.Context(), a, priceOf{"tea"}))
		synctest.Wait()
		require.Equal(t, 3, cents(t, f, "tea"))
		s.set("tea", 4)
		require.NoError(t, query.ChangedAll[priceOf](t.Context(), a))
		synctest.Wait()
		require.Equal(t, 4, cents(t, f, "tea"))
		require.Equal(t, int64(2), stats.Hits.Load())
		require.Equal(t, int64(5), stats.Misses.Load())
		require.Equal(t, int64(3), stats.Invalidations.Load())
	})
}

// An event invalidates what ChangedBy names.
func TestCacheChangedBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDesk()
		ch := memory.New(memory.Encode())
		b := s.open(t, ch, func(b *bus.Bus) {
			query.ChangedBy(b, func(e priceSet) []priceOf { return []priceOf{{e.Item}} })
		})
		f := cached(t, b, s, query.CacheConfig{TTL: time.Hour})
		require.Zero(t, cents(t, f, "tea"))
		s.set("tea", 1)
		require.NoError(t, b.Publish(t.Context(), priceSet{"tea"}))
		synctest.Wait()
		require.Equal(t, 1, cents(t, f, "tea"))
	})
}

// The TTL counts from when it was asked: no answer is older.
func TestCacheTTLFromAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDesk()
		b := s.open(t, memory.New(memory.Encode()))
		f := cached(t, b, s, query.CacheConfig{TTL: 10 * time.Second})
		release := s.hold()
		time.AfterFunc(8*time.Second, release)
		require.Zero(t, cents(t, f, "tea"))
		s.set("tea", 1)
		time.Sleep(2 * time.Second) // virtual
		require.Equal(t, 1, cents(t, f, "tea"))
	})
}

// One asks for all who wait; each leaves when its context ends, the first too, and the others
// get the answer.
func TestCacheOneFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDesk()
		b := s.open(t, memory.New(memory.Encode()))
		f := cached(t, b, s, query.CacheConfig{})
		release := s.hold()
		s.set("tea", 1)
		var wg sync.WaitGroup
		var sum, left atomic.Int64
		for i := range 100 {
			ctx, cancel := context.WithCancelCause(t.Context())
			wg.Go(func() {
				p, err := f(ctx, priceOf{"tea"})
				if err != nil && err.Error() == "enough" {
					left.Add(1)
				}
				sum.Add(int64(p.Cents))
			})
			synctest.Wait()
			if i < 10 { // all have left: it is cancelled each time
				cancel(errors.New("enough"))
				synctest.Wait()
				require.Equal(t, int64(i+1), left.Load())
				require.Equal(t, i+1, s.asks("tea"))
				require.Equal(t, i+1, s.cancelled())
			}
			t.Cleanup(func() { cancel(nil) })
		}
		release()
		wg.Wait()
		require.Equal(t, int64(90), sum.Load())
		require.Equal(t, 11, s.asks("tea"))
	})
}

// The first may leave while others wait.
func TestCacheFirstLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDesk()
		b := s.open(t, memory.New(memory.Encode()))
		f := cached(t, b, s, query.CacheConfig{})
		release := s.hold()
		s.set("tea", 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		first := make(chan error, 1)
		go func() {
			_, err := f(ctx, priceOf{"tea"})
			first <- err
		}()
		synctest.Wait()
		got := later(t, f, "tea")
		require.ErrorIs(t, <-first, context.DeadlineExceeded)
		release()
		require.Equal(t, 1, <-got)
		require.Equal(t, 1, s.asks("tea"))
		require.Equal(t, 1, cents(t, f, "tea"))
		require.Equal(t, 1, s.asks("tea"), "and it is kept")
	})
}

// Who comes when all have left doesn't wait for what is cancelled, however long that takes.
func TestCacheAllLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDesk()
		b := s.open(t, memory.New(memory.Encode()))
		cached(t, b, s, query.CacheConfig{}) // the subscription is open
		var n atomic.Int64
		f := query.Chain(func(context.Context, priceOf) (price, error) {
			p := price{int(n.Add(1))}
			if p.Cents == 1 {
				time.Sleep(time.Hour) // virtual
			}
			return p, nil
		}, query.Cache[priceOf, price](b, query.CacheConfig{}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := f(ctx, priceOf{"tea"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 2, cents(t, f, "tea"))
		time.Sleep(time.Hour) // virtual
		require.Equal(t, 3, cents(t, f, "tea"), "the TTL is over, and what was cancelled isn't kept")
	})
}

// Who comes after a change doesn't wait for what was begun before, and that isn't kept.
func TestCacheChangeMeanwhile(t *testing.T) {
	for name, tell := range map[string]func(context.Context, *bus.Bus) error{
		"one": func(ctx context.Context, b *bus.Bus) error { return query.Changed(ctx, b, priceOf{"tea"}) },
		"all": query.ChangedAll[priceOf],
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newDesk()
				b := s.open(t, memory.New(memory.Encode()))
				f := cached(t, b, s, query.CacheConfig{})
				release := s.hold()
				before := later(t, f, "tea")
				s.set("tea", 1)
				require.NoError(t, tell(t.Context(), b))
				second := s.hold()
				after := later(t, f, "tea")
				require.Equal(t, 2, s.asks("tea"))
				release()
				require.Zero(t, <-before, "it waited since before")
				last := later(t, f, "tea")
				second()
				require.Equal(t, 1, <-after)
				require.Equal(t, 1, <-last)
				require.Equal(t, 1, cents(t, f, "tea"))
				require.Equal(t, 2, s.asks("tea"))
			})
		})
	}
}

// Errors and panics are for all who wait, and aren't kept.
func TestCacheErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDesk()
		b := s.open(t, memory.New(memory.Encode()))
		cached(t, b, s, query.CacheConfig{}) // the subscription is open
		n := 0
		f := query.Chain(func(context.Context, priceOf) (price, error) {
			n++
			synctest.Wait()
			switch n {
			case 1:
				return price{}, errors.New("away")
			case 2:
				panic("oops")
			case 3:
				runtime.Goexit()
			}
			return price{n}, nil
		}, query.Cache[priceOf, price](b, query.CacheConfig{}))
		for i := range 3 {
			errs := make(chan error, 2)
			for range 2 {
				go func() {
					_, err := f(t.Context(), priceOf{"tea"})
					errs <- err
				}()
			}
			first := <-errs
			require.Error(t, first)
			require.Equal(t, first, <-errs)
			var p *bus.PanicError
			require.Equal(t, i == 1, errors.As(first, &p))
			require.Equal(t, i+1, n)
		}
		require.Equal(t, 4, cents(t, f, "tea"))
		require.Equal(t, 4, cents(t, f, "tea"))
	})
}

// The one that wasn't used for longest makes room.
func TestCacheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDesk()
		b := s.open(t, memory.New(memory.Encode()))
		var stats query.CacheStats
		f := cached(t, b, s, query.CacheConfig{Max: 3, Stats: &stats})
		for _, item := range []string{"a", "b", "c", "a", "d", "a"} {
			cents(t, f, item)
		}
		require.Equal(t, 1, s.asks("a"))
		require.Equal(t, int64(1), stats.Evictions.Load())
		cents(t, f, "b")
		require.Equal(t, 2, s.asks("b"))
		require.Equal(t, int64(2), stats.Evictions.Load())
		cents(t, f, "d")
		require.Equal(t, 1, s.asks("d"))
	})
}

// Tenants don't see each other's answers, whatever the bytes are.
func TestCacheTenants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDesk()
		b := s.open(t, memory.New(memory.Encode()))
		f := cached(t, b, s, query.CacheConfig{})
		for i, tenant := range []string{"", "a", "b", `{"Item":"tea"}`} {
			s.set(tenant+"tea", i)
			ctx := event.WithOrigin(t.Context(), event.Origin{Tenant: tenant})
			for range 2 {
				p, err := f(ctx, priceOf{"tea"})
				require.NoError(t, err)
				require.Equal(t, i, p.Cents)
			}
		}
		require.Equal(t, 4, s.asks("tea"))
	})
}

// While changes aren't heard, nothing is kept, and what was kept isn't used.
func TestCacheWithoutSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDesk()
		ch := newUnsteady()
		ch.refuse()
		b := s.open(t, ch)
		f := query.Chain(s.answer, query.Cache[priceOf, price](b, query.CacheConfig{TTL: 24 * time.Hour}))
		cents(t, f, "tea")
		synctest.Wait()
		cents(t, f, "tea")
		require.Equal(t, 2, s.asks("tea"))
		ch.accept()
		time.Sleep(time.Minute) // virtual
		cents(t, f, "tea")
		cents(t, f, "tea")
		require.Equal(t, 3, s.asks("tea"), "it is kept now")
		ch.refuse()
		synctest.Wait()
		cents(t, f, "tea")
		cents(t, f, "tea")
		require.Equal(t, 5, s.asks("tea"))
		ch.accept()
		time.Sleep(time.Minute) // virtual
		cents(t, f, "tea")
		cents(t, f, "tea")
		require.Equal(t, 6, s.asks("tea"))
		ch.report()
		cents(t, f, "tea")
		cents(t, f, "tea")
		require.Equal(t, 8, s.asks("tea"))
		time.Sleep(time.Second) // virtual
		synctest.Wait()
		cents(t, f, "tea")
		cents(t, f, "tea")
		require.Equal(t, 9, s.asks("tea"))
	})
}

// A Bus that doesn't run keeps nothing, and one without a channel does.
func TestCacheBuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDesk()
		b := bus.New(bus.Config{Channel: memory.New()})
		f := query.Chain(s.answer, query.Cache[priceOf, price](b, query.CacheConfig{}))
		bus.Subscribe(b, "g", func(context.Context, priceSet) error { return nil })
		cents(t, f, "tea")
		cents(t, f, "tea")
		require.Equal(t, 2, s.asks("tea"))
		require.NoError(t, b.Start(t.Context()))
		cents(t, f, "tea") // changes may be heard already, or not yet
		synctest.Wait()
		cents(t, f, "tea")
		asks := s.asks("tea")
		require.Contains(t, []int{3, 4}, asks)
		cents(t, f, "tea")
		require.Equal(t, asks, s.asks("tea"))
		require.NoError(t, b.Shutdown(t.Context()))
		cents(t, f, "tea")
		cents(t, f, "tea")
		require.Equal(t, asks+2, s.asks("tea"))

		s = newDesk()
		b = s.open(t, nil)
		f = query.Chain(s.answer, query.Cache[priceOf, price](b, query.CacheConfig{}))
		cents(t, f, "tea")
		cents(t, f, "tea")
		require.Equal(t, 1, s.asks("tea"))
		require.NoError(t, query.Changed(t.Context(), b, priceOf{"tea"}))
		cents(t, f, "tea")
		require.Equal(t, 2, s.asks("tea"))
		synctest.Wait()
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		require.NotContains(t, string(stacks), "query.(*news).run", "there is nothing to listen to")

		b = bus.New(bus.Config{Channel: memory.New()})
		wrong := query.Cache[struct{}, price](b, query.CacheConfig{})
		p, err := query.Chain(func(context.Context, struct{}) (price, error) { return price{1}, nil }, wrong)(t.Context(), struct{}{})
		require.NoError(t, err)
		require.Equal(t, price{1}, p)
		require.ErrorContains(t, b.Start(t.Context()), "Cache")
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// Many who read and change at once: an answer is never older than a change that was known
// before somebody asked.
func TestCacheNeverOld(t *testing.T) {
	s := newDesk()
	b := s.open(t, nil)
	f := query.Chain(s.answer, query.Cache[priceOf, price](b, query.CacheConfig{Max: 5}))
	var latest [10]atomic.Int64
	var wg sync.WaitGroup
	for i := range latest {
		item := fmt.Sprint(i)
		wg.Go(func() {
			for n := range 300 {
				s.set(item, n+1)
				if err := query.Changed(t.Context(), b, priceOf{item}); err != nil {
					t.Error(err)
				}
				latest[i].Store(int64(n + 1))
			}
		})
	}
	for range 4 {
		wg.Go(func() {
			for range 2000 {
				i := rand.IntN(len(latest))
				known := latest[i].Load()
				p, err := f(t.Context(), priceOf{fmt.Sprint(i)})
				if err != nil || int64(p.Cents) < known {
					t.Errorf("%v, %d is older than %d", err, p.Cents, known)
				}
			}
		})
	}
	wg.Wait()
}
