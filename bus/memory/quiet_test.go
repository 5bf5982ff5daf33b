package memory_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

func TestLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		c := k.join("g", "t", "u")
		k.texts("u", "elsewhere")
		k.texts("t", "k:1", "k:2", "3", "4")
		k.produce("t", textEvent("later").WithNotBefore(time.Now().Add(time.Hour)))
		k.texts("t", "5", "6")
		time.Sleep(time.Minute) // virtual
		lag := func() event.Lag {
			l, err := k.Lag(t.Context(), "t", "g")
			require.NoError(t, err)
			l.OldestAge = l.OldestAge.Round(time.Second)
			return l
		}
		require.Equal(t, event.Lag{Waiting: 6, Delayed: 1, OldestAge: time.Minute}, lag())
		require.Equal(t, 7, lag().Unsettled())
		ds := k.receive(c, 100)
		require.Equal(t, event.Lag{InHand: 6, Delayed: 1, OldestAge: time.Minute}, lag())
		var mine []event.Delivery
		for _, d := range ds {
			if d.Topic == "t" {
				mine = append(mine, d)
			}
		}
		k.settle(c, event.Release(mine[1].Token), event.Retry(mine[0].Token, time.Hour, 1),
			event.Dead(mine[2].Token, event.Cause{}), event.Ack(mine[3].Token))
		require.Equal(t, event.Lag{Waiting: 1, InHand: 2, Delayed: 2, Dead: 1, OldestAge: time.Minute}, lag())
		time.Sleep(time.Hour) // virtual
		require.Equal(t, event.Lag{Waiting: 3, InHand: 2, Dead: 1, OldestAge: time.Hour + time.Minute}, lag())
		require.ErrorIs(t, second(k.Lag(t.Context(), "t", "unknown")), event.ErrNotFound)
		require.ErrorIs(t, second(k.Lag(t.Context(), "unknown", "g")), event.ErrNotFound)
	})
}

func (k kit) goQuiet(groups ...string) <-chan error {
	done := make(chan error, 1)
	go func() { done <- k.Quiet(context.Background(), groups...) }()
	return done
}

func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		require.NoError(t, k.Quiet(t.Context(), "unknown"))
		a, b := k.join("a", "t"), k.join("b", "t")
		k.texts("t", "1", "2")
		da, db := k.receive(a, 2), k.receive(b, 2)
		all, one := k.goQuiet(), k.goQuiet("a")
		k.ack(a, da[0])
		require.True(t, pending(one))
		k.settle(a, event.Dead(da[1].Token, event.Cause{}))
		require.NoError(t, <-one)
		require.True(t, pending(all))
		k.texts("t", "3")
		k.ack(b, db...)
		k.ack(a, k.receive(a, 1)...)
		require.True(t, pending(all))
		k.ack(b, k.receive(b, 1)...)
		require.NoError(t, <-all)

		require.NoError(t, k.Redrive(t.Context(), k.letters("t", "a")[0]))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, k.Quiet(ctx, "a"), context.DeadlineExceeded)
	})
}

// Nobody else waits, and what is to come is a matter of time: Quiet sees to it.
func TestQuietKeepsTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Lease(time.Minute))
		a := k.join("g", "t")
		k.texts("t", "1", "2")
		ds := k.receive(a, 2)
		begun, _ := a.Begin(ds[0].Token)
		started := time.Now()
		k.settle(a, event.Retry(ds[1].Token, 2*time.Minute, 1))
		k.Crash(a)
		quiet := k.goQuiet()
		<-begun.Done()
		require.Equal(t, time.Minute, time.Since(started).Round(time.Second))
		b := k.join("g", "t")
		began := time.Now()
		for _, want := range []time.Duration{0, time.Minute} {
			d := <-k.goReceive(b)
			require.Equal(t, want, time.Since(began).Round(time.Second))
			k.ack(b, d)
		}
		require.NoError(t, <-quiet)
	})
}

// When an earlier time comes up, those who wait already learn of it.
func TestEarlierTimeComesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		a, b := k.join("g", "t"), k.join("g", "t")
		k.texts("t", "1", "2")
		ds := k.receive(a, 2)
		k.settle(a, event.Retry(ds[0].Token, time.Hour, 1))
		got := k.goReceive(b)
		synctest.Wait()
		k.settle(a, event.Retry(ds[1].Token, time.Minute, 1))
		began := time.Now()
		require.Equal(t, "2", string((<-got).Event.Data()))
		require.Equal(t, time.Minute, time.Since(began).Round(time.Second))
	})
}

// Quiet never sees the moment between two groups when an event of one causes an
// event of the other.
func TestQuietAcrossGroups(t *testing.T) {
	k := newKit(t)
	topics := []string{"a", "b"}
	const hops = 2000
	var handled atomic.Int64
	for i, topic := range topics {
		c := k.join(topic, topic)
		for n := range 500 { // Quiet takes its time from one to the other
			require.NoError(t, k.EnsureGroup(context.Background(), fmt.Sprint(topic, n), event.Start{}, "idle"))
		}
		p := k.producer(topics[1-i])
		go func() {
			buf := make([]event.Delivery, 1)
			for {
				n, err := c.Receive(context.Background(), buf)
				if err != nil || n == 0 {
					return
				}
				handled.Add(1)
				if left := len(buf[0].Event.Data()); left > 0 {
					_ = p.Produce(context.Background(), event.New("/s", "t", buf[0].Event.Data()[1:]))
				}
				_ = c.Settle(context.Background(), []event.Settlement{event.Ack(buf[0].Token)})
			}
		}()
	}
	for range 20 {
		before := handled.Load()
		k.produce("a", event.New("/s", "t", make([]byte, hops)))
		require.NoError(t, k.Quiet(context.Background()))
		require.Equal(t, before+hops+1, handled.Load())
	}
}

// What is not due yet has no age, and then that since it is due.
func TestLagOfWhatIsScheduled(t *testing.T) {
	for _, looked := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			k := newKit(t)
			c := k.join("g", "t")
			age := func(want time.Duration) {
				t.Helper()
				l, err := k.Lag(t.Context(), "t", "g")
				require.NoError(t, err)
				require.Equal(t, want, l.OldestAge.Round(time.Second))
			}
			k.produce("t", in("1", time.Hour), in("2", 2*time.Hour), in("past", -time.Hour))
			if looked {
				k.ack(c, k.receive(c, 9)...)
				age(0)
			}
			time.Sleep(time.Minute) // virtual
			if looked {
				age(0)
			} else {
				age(time.Minute)
				k.ack(c, k.receive(c, 9)...)
			}
			k.requireLag("t", "g", event.Lag{Delayed: 2})
			time.Sleep(time.Hour) // virtual
			age(time.Minute)
			ds := k.receive(c, 9)
			time.Sleep(time.Minute) // virtual
			age(2 * time.Minute)
			k.settle(c, event.Retry(ds[0].Token, 24*time.Hour, 1))
			time.Sleep(time.Minute) // virtual
			age(3 * time.Minute)
		})
	}
}
