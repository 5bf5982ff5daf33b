package bus_test

import (
	"context"
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
)

type knock struct{ Door, Times int }

// Where one delivery comes at a time the fetcher works and a worker fetches in its place:
// none is lost, none comes twice, and there are never more at work than workers.
func TestFetcherAndWorkersChangePlaces(t *testing.T) {
	for _, workers := range []int{1, 3} {
		const doors, times = 8, 1000
		b := bus.New(bus.Config{App: "shop", Channel: memory.New()})
		var opened [doors]chan int
		var atWork, most atomic.Int32
		bus.Subscribe(b, "opens", func(_ context.Context, k knock) error {
			for n := atWork.Add(1); ; {
				if before := most.Load(); n <= before || most.CompareAndSwap(before, n) {
					break
				}
			}
			for range 10 {
				runtime.Gosched() // so that others may come in
			}
			atWork.Add(-1)
			opened[k.Door] <- k.Times
			return nil
		}, bus.Workers(workers), bus.Unordered())
		require.NoError(t, b.Start(t.Context()))
		var knocking sync.WaitGroup
		for door := range doors {
			opened[door] = make(chan int, times)
			knocking.Go(func() {
				for n := range times {
					if !assertPublished(t, b, knock{door, n}) {
						return
					}
					if got := <-opened[door]; got != n {
						t.Errorf("door %d: knocked %d times, opened at %d", door, n, got)
						return
					}
				}
			})
		}
		knocking.Wait()
		require.NoError(t, b.Drain(t.Context()))
		require.LessOrEqual(t, int(most.Load()), workers)
		for door := range doors {
			require.Empty(t, opened[door])
		}
	}
}

func assertPublished(t *testing.T, b *bus.Bus, v any) bool {
	t.Helper()
	err := b.Publish(t.Context(), v)
	if err != nil {
		t.Error(err)
	}
	return err == nil
}

type late struct{ N int }

// Who comes again while the fetcher works in a worker's place waits for it.
func TestPlacesAreNoMoreThanWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bus.New(bus.Config{App: "shop", Channel: memory.New()})
		start := time.Now()
		var atWork, most, opened int32 // the race detector sees two at once
		work := func() {
			if atWork++; atWork > most {
				most = atWork
			}
			runtime.Gosched()
			atWork--
		}
		bus.Subscribe(b, "opens", func(context.Context, knock) error {
			opened++
			work()
			return nil
		}, bus.Workers(1))
		bus.Subscribe(b, "opens", func(context.Context, late) error {
			work()
			if time.Since(start) < time.Second {
				return event.Postpone(time.Millisecond, nil)
			}
			return nil
		})
		require.NoError(t, b.Start(t.Context()))
		for n := range 5 {
			require.NoError(t, b.Publish(t.Context(), late{n}))
		}
		for n := range 1000 {
			require.NoError(t, b.Publish(t.Context(), knock{Times: n}))
			time.Sleep(time.Millisecond) // virtual
		}
		require.NoError(t, b.Drain(t.Context()))
		require.EqualValues(t, 1, most)
		require.EqualValues(t, 1000, opened)
	})
}

// slowSettling is a consumer whose first Settle waits.
type slowSettling struct {
	event.Consumer

	once sync.Once
	goOn chan struct{}
}

func (s *slowSettling) Settle(ctx context.Context, ss []event.Settlement) error {
	s.once.Do(func() { <-s.goOn })
	return s.Consumer.Settle(ctx, ss)
}

// Unless the channel says that Settle waits for nothing, no worker waits for it.
func TestSettleHoldsNoWorkerUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slowSettling{goOn: make(chan struct{})}
		b := bus.New(bus.Config{App: "shop", Channel: &altered{
			Channel: memory.New(),
			promise: func(g *event.Guarantees) { g.SettlesAtOnce = false },
			consumer: func(_ event.Subscription, c event.Consumer) (event.Consumer, error) {
				s.Consumer = c
				return s, nil
			},
		}})
		bus.Subscribe(b, "opens", func(_ context.Context, k knock) error {
			if k.Times == 1 {
				close(s.goOn)
			}
			return nil
		}, bus.Workers(1), bus.InFlight(2), bus.Topic("a"), bus.Topic("b"))
		require.NoError(t, b.Start(t.Context()))
		for n := range 2 {
			require.NoError(t, b.Publish(t.Context(), knock{Times: n}, bus.Topic("a")))
			synctest.Wait()
		}
		require.NoError(t, b.Drain(t.Context()))
	})
}
