package bus_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

type Job struct{ N int }

// A hundred times a Bus is shut down while publishers and handlers are at work.
// Every accepted event was handled or is still in the channel, where the next Bus
// finds it; none is a dead letter, though every attempt counts: what a shutdown
// cancels is no failure.
func TestShutdownUnderLoad(t *testing.T) {
	for round := range 100 {
		synctest.Test(t, func(t *testing.T) { shutdownUnderLoad(t, round) })
	}
}

func shutdownUnderLoad(t *testing.T, round int) {
	t.Helper()
	ch := memory.New(memory.Capacity(128))
	var accepted, handled sync.Map
	var failed sync.Map
	attempts := 1 + round%2
	newBus := func() *bus.Bus {
		b := bus.New(bus.Config{Channel: ch, KeepChannel: true})
		bus.Subscribe(b, "work", func(ctx context.Context, j Job) error {
			select {
			case <-time.After(time.Duration(j.N%7) * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
			if _, again := failed.LoadOrStore(j.N, true); attempts > 1 && j.N%11 == 0 && !again {
				return errBoom
			}
			handled.Store(j.N, true)
			return nil
		}, bus.Workers(1+round%5), bus.Retry(bus.Backoff{First: time.Millisecond, Max: time.Millisecond, Attempts: attempts}))
		return b
	}
	b := newBus()
	start(t, b)
	var next atomic.Int64
	var publishers sync.WaitGroup
	for range 3 {
		publishers.Go(func() {
			for {
				n := int(next.Add(1))
				if err := b.Publish(t.Context(), Job{n}, bus.Key(string(rune('a'+n%13)))); err != nil {
					if !errors.Is(err, event.ErrClosed) {
						t.Errorf("publish: %v", err)
					}
					return
				}
				accepted.Store(n, true)
			}
		})
	}
	time.Sleep(time.Duration(5+round) * time.Millisecond) // virtual
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(round%4)*time.Millisecond)
	defer cancel()
	if err := b.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	publishers.Wait()

	second := newBus()
	start(t, second)
	lag, err := ch.Lag(t.Context(), "job", "work")
	if err != nil {
		t.Fatal(err)
	}
	drain(t, second)
	after, err := ch.Lag(t.Context(), "job", "work")
	if err != nil {
		t.Fatal(err)
	}
	if lag.Dead > 0 || after.Dead > 0 {
		t.Errorf("round %d: %d dead letters because of a shutdown, then %d", round, lag.Dead, after.Dead)
	}
	if err := ch.Close(t.Context()); err != nil {
		t.Error(err)
	}
	accepted.Range(func(n, _ any) bool {
		if _, ok := handled.Load(n); !ok {
			t.Errorf("round %d: event %d was accepted and never handled", round, n)
		}
		return true
	})
}

// Two Buses on one channel share the events of a group.
func TestTwoBusesCompete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		var runs [2]tally
		var buses [2]*bus.Bus
		for i := range buses {
			buses[i] = bus.New(bus.Config{Channel: ch, KeepChannel: true})
			bus.Subscribe(buses[i], "g", func(_ context.Context, j Job) error {
				time.Sleep(time.Millisecond) // virtual
				runs[i].add("run")
				return nil
			})
			start(t, buses[i])
		}
		for n := range 100 {
			publish(t, buses[0], Job{n})
		}
		for _, b := range buses {
			drain(t, b)
		}
		if a, b := runs[0].total(), runs[1].total(); a+b != 100 || a == 0 || b == 0 {
			t.Errorf("the members handled %d and %d of 100 events", a, b)
		}
		if err := ch.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
