package query_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
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

// Ten thousand watch one query: each change is asked for once, all see it, and nobody has a
// goroutine of the library's.
func TestWatchTenThousand(t *testing.T) {
	const watchers = 10_000
	synctest.Test(t, func(t *testing.T) {
		s := newDesk()
		b := s.open(t, memory.New(memory.Encode()))
		ctx, cancel := context.WithCancel(t.Context())
		watching(ctx, b, "tea") // the subscription is open
		before := runtime.NumGoroutine()
		var sum atomic.Int64
		for range watchers {
			go func() {
				for p, err := range query.Watch[price](ctx, b, priceOf{"tea"}) {
					if err == nil {
						sum.Add(int64(p.Cents))
					}
				}
			}()
		}
		synctest.Wait()
		require.Equal(t, 1, s.asks("tea"), "who comes later sees what is known")
		require.LessOrEqual(t, runtime.NumGoroutine()-before, watchers, "that of its caller and no other")
		for i := range 3 {
			s.set("tea", 1)
			sum.Store(0)
			s.set("tea", i+1)
			require.NoError(t, query.Changed(t.Context(), b, priceOf{"tea"}))
			synctest.Wait()
			require.Equal(t, int64((i+1)*watchers), sum.Load())
			require.Equal(t, i+2, s.asks("tea"))
		}
		cancel()
		synctest.Wait()
		require.Less(t, runtime.NumGoroutine(), before+10)
		require.NoError(t, query.Changed(context.WithoutCancel(t.Context()), b, priceOf{"tea"}))
		synctest.Wait()
		require.Equal(t, 4, s.asks("tea"), "nobody watches any more")
	})
}

// Who is slow gets the newest answer and none in between.
func TestWatchSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDesk()
		b := s.open(t, memory.New(memory.Encode()))
		var got []int
		for p, err := range query.Watch[price](t.Context(), b, priceOf{"tea"}) {
			require.NoError(t, err)
			got = append(got, p.Cents)
			if p.Cents == 100 {
				break
			}
			for i := range 100 {
				s.set("tea", i+1)
				require.NoError(t, query.Changed(t.Context(), b, priceOf{"tea"}))
				synctest.Wait()
			}
		}
		require.Equal(t, []int{0, 100}, got)
	})
}

// A change while the answer is being made isn't missed, and who comes after it doesn't get
// what was made before.
func TestWatchChangeMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDesk()
		b := s.open(t, memory.New(memory.Encode()))
		release := s.hold()
		first := watching(t.Context(), b, "tea")
		require.Equal(t, 1, s.asks("tea"))
		s.set("tea", 1)
		for range 10 {
			require.NoError(t, query.Changed(t.Context(), b, priceOf{"tea"}))
		}
		late := watching(t.Context(), b, "tea")
		require.Equal(t, 1, s.asks("tea"), "one at a time")
		release()
		require.Equal(t, []string{"1"}, late.take())
		got := first.take()
		require.Equal(t, "1", got[len(got)-1])
		require.Equal(t, 2, s.asks("tea"))
	})
}

// A change between the opening of the subscription and the asking isn't missed.
func TestWatchSubscribesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := newUnsteady()
		s := newDesk()
		a := s.open(t, ch)
		opened := 0
		b := bus.New(bus.Config{App: "desk", Channel: ch, KeepChannel: true})
		query.Handle(b, func(ctx context.Context, q priceOf) (price, error) {
			if opened == 0 {
				opened = ch.open()
				p, err := s.answer(ctx, q)
				s.set("tea", 1)
				return p, errors.Join(err, query.Changed(ctx, a, q))
			}
			return s.answer(ctx, q)
		})
		require.NoError(t, b.Start(t.Context()))
		sb := watching(t.Context(), b, "tea")
		got := sb.take()
		require.Equal(t, "1", got[len(got)-1])
		require.Equal(t, 1, opened)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// An error is seen, and the watch goes on: less and less often, and at once when something
// changes. The answer after it is seen too.
func TestWatchErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDesk()
		b := s.open(t, memory.New(memory.Encode()))
		s.fail(errors.New("away"))
		sb := watching(t.Context(), b, "tea")
		require.Equal(t, []string{"away"}, sb.take())
		for _, seconds := range []int{1, 2, 4, 8, 16, 30, 30, 30} {
			pause := time.Duration(seconds) * time.Second
			time.Sleep(pause - time.Nanosecond) // virtual
			require.Empty(t, sb.take())
			time.Sleep(time.Nanosecond) // virtual
			require.Equal(t, []string{"away"}, sb.take(), pause)
		}
		s.fail(nil)
		require.NoError(t, query.Changed(t.Context(), b, priceOf{"tea"}))
		require.Equal(t, []string{"0"}, sb.take())
		time.Sleep(time.Hour) // virtual
		n := s.asks("tea")
		require.Equal(t, 10, n)
		s.fail(errors.New("away"))
		require.NoError(t, query.Changed(t.Context(), b, priceOf{"tea"}))
		require.Equal(t, []string{"away"}, sb.take())
		s.fail(nil)
		time.Sleep(time.Second) // virtual
		require.Equal(t, []string{"0"}, sb.take(), "it is said that all is well again")
		s.fail(errors.New("away"))
		require.NoError(t, query.Changed(t.Context(), b, priceOf{"tea"}))
		synctest.Wait()
		s.fail(nil)
		late := watching(t.Context(), b, "tea")
		require.Equal(t, []string{"0"}, late.take(), "it doesn't begin with an old error")
	})
}

// A panic is an error, and so is an answer that can't be encoded.
func TestWatchPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type odd struct{ F func() }
		type ask struct{ N int }
		b := bus.New(bus.Config{Channel: memory.New()})
		query.Handle(b, func(_ context.Context, q ask) (odd, error) {
			if q.N == 0 {
				panic("oops")
			}
			return odd{func() {}}, nil
		})
		require.NoError(t, b.Start(t.Context()))
		for n := range 2 {
			for o, err := range query.Watch[odd](t.Context(), b, ask{n}) {
				require.Error(t, err)
				require.Nil(t, o.F)
				break
			}
		}
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// A handler that ends its goroutine is a failure, and the watch goes on.
func TestWatchGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bus.New(bus.Config{Channel: memory.New()})
		calls := 0
		query.Handle(b, func(context.Context, priceOf) (price, error) {
			if calls++; calls == 1 {
				runtime.Goexit()
			}
			return price{Cents: calls}, nil
		})
		require.NoError(t, b.Start(t.Context()))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var errs int
		for p, err := range query.Watch[price](ctx, b, priceOf{"tea"}) {
			if err == nil {
				require.Equal(t, 2, p.Cents)
				break
			}
			require.NoError(t, ctx.Err(), "it hangs")
			errs++
		}
		require.Equal(t, 1, errs)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// What isn't told is asked for as often as somebody wants, once for all.
func TestWatchRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDesk()
		b := s.open(t, memory.New(memory.Encode()))
		never := watching(t.Context(), b, "tea")
		minutely := watching(t.Context(), b, "tea", query.Refresh(time.Minute), nil)
		also := watching(t.Context(), b, "tea", query.Refresh(time.Minute))
		s.set("tea", 1)
		time.Sleep(59 * time.Second) // virtual
		require.Equal(t, []string{"0"}, never.take())
		require.Equal(t, []string{"0"}, also.take())
		time.Sleep(time.Second) // virtual
		require.Equal(t, []string{"0", "1"}, minutely.take())
		require.Equal(t, []string{"1"}, never.take())
		require.Equal(t, []string{"1"}, also.take())
		time.Sleep(10 * time.Minute) // virtual
		synctest.Wait()
		require.Equal(t, 12, s.asks("tea"))
	})
}

// A watch ends with its context, with the cause, and with the Bus; it doesn't begin on one that
// doesn't run, or with what is no query.
func TestWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDesk()
		ch := memory.New(memory.Encode())
		a := s.open(t, ch)
		b := bus.New(bus.Config{Channel: ch, KeepChannel: true})
		query.Handle(b, s.answer)
		require.Equal(t, []string{bus.ErrNotStarted.Error()}, watching(t.Context(), b, "tea").take())
		require.NoError(t, b.Start(t.Context()))
		ctx, cancel := context.WithCancelCause(t.Context())
		sa, sb := watching(ctx, a, "tea"), watching(t.Context(), b, "tea")
		cancel(errors.New("enough"))
		require.Equal(t, []string{"0", "enough"}, sa.take())
		require.True(t, sa.over())
		require.Equal(t, []string{"enough"}, watching(ctx, a, "tea").take())
		require.False(t, sb.over())
		require.NoError(t, b.Shutdown(t.Context()))
		require.Equal(t, []string{"0", event.ErrClosed.Error()}, sb.take())
		require.True(t, sb.over())
		require.Equal(t, []string{event.ErrClosed.Error()}, watching(t.Context(), b, "tea").take())
		for _, err := range query.Watch[price](t.Context(), a, struct{}{}) {
			require.Error(t, err)
		}
		type bad struct{ F func() }
		for _, err := range query.Watch[price](t.Context(), a, bad{}) {
			require.ErrorContains(t, err, "can't be encoded")
		}
	})
}

// When nobody watches any more, what is being asked is cancelled; and it is when it
// takes too long.
func TestWatchCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDesk()
		b := s.open(t, memory.New(memory.Encode()))
		release := s.hold()
		defer release()
		ctx, cancel := context.WithCancel(t.Context())
		sb := watching(ctx, b, "tea")
		cancel()
		require.True(t, sb.over())
		require.Equal(t, 1, s.cancelled())
		again := watching(t.Context(), b, "tea")
		time.Sleep(30*time.Second - 1) // virtual
		require.Empty(t, again.take())
		time.Sleep(time.Nanosecond) // virtual
		require.Equal(t, []string{context.DeadlineExceeded.Error()}, again.take())
	})
}

// A Shutdown ends what is being asked.
func TestWatchShutdownMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDesk()
		ch := memory.New(memory.Encode())
		b := bus.New(bus.Config{Channel: ch})
		query.Handle(b, s.answer)
		require.NoError(t, b.Start(t.Context()))
		defer s.hold()()
		sb := watching(t.Context(), b, "tea")
		require.NoError(t, b.Shutdown(t.Context()))
		require.Equal(t, []string{event.ErrClosed.Error()}, sb.take())
	})
}

// Answers of the same query with other values of the context are those of the tenant.
func TestWatchTenants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDesk()
		b := s.open(t, memory.New(memory.Encode()))
		var all []*seen
		for i := range 3 {
			s.set(fmt.Sprint(i, "tea"), i)
			ctx := event.WithOrigin(t.Context(), event.Origin{Tenant: fmt.Sprint(i)})
			all = append(all, watching(ctx, b, "tea"))
		}
		for i, w := range all {
			require.Equal(t, []string{fmt.Sprint(i)}, w.take())
		}
	})
}
