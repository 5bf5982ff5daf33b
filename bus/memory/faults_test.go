package memory_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// badKit is a kit on a channel with faults and one member, in a bubble.
func badKit(t *testing.T, f memory.Faults, test func(t *testing.T, k kit, c event.Consumer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.WithFaults(f))
		test(t, k, k.join("g", "t"))
	})
}

// named is a text event whose id is its text: what it suffers follows from the seed.
func named(text string) event.Event { return textEvent(text).WithID(text) }

// named produces them one by one.
func (k kit) named(texts ...string) {
	k.t.Helper()
	for _, text := range texts {
		k.produce("t", named(text))
	}
}

// next returns the next delivery, or false when nothing comes within an hour.
func next(t *testing.T, c event.Consumer) (event.Delivery, bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	var buf [1]event.Delivery
	n, err := c.Receive(ctx, buf[:])
	if errors.Is(err, context.DeadlineExceeded) {
		return event.Delivery{}, false
	}
	require.NoError(t, err)
	return buf[0], n == 1
}

// all acks what comes and returns the data in order.
func all(t *testing.T, c event.Consumer) (got []string) {
	t.Helper()
	for d, ok := next(t, c); ok; d, ok = next(t, c) {
		got = append(got, strings.TrimPrefix(string(d.Event.Data()), "k:"))
		_ = c.Settle(t.Context(), []event.Settlement{event.Ack(d.Token)}) // refused: it comes again
	}
	return got
}

func TestRedeliver(t *testing.T) {
	badKit(t, memory.Faults{Redeliver: 1}, func(t *testing.T, k kit, c event.Consumer) {
		k.named("k:1", "k:2", "3")
		got := all(t, c)
		require.Len(t, got, 3*4, "three times more each")
		require.Less(t, slices.Index(got, "1"), slices.Index(got, "2"), "the first deliveries of a key are in order")
		require.NoError(t, k.Quiet(t.Context()))
	})
}

// What comes again after an ack waits for nobody and keeps nobody waiting.
func TestRedeliveryDoesNotHoldTheKey(t *testing.T) {
	badKit(t, memory.Faults{Redeliver: 1, Delay: time.Minute}, func(t *testing.T, k kit, c event.Consumer) {
		k.named("k:1", "k:2", "k:3")
		got := all(t, c)
		require.Less(t, slices.Index(got, "3"), lastIndex(got, "1"))
	})
}

func lastIndex(list []string, s string) int {
	at := -1
	for i := range list {
		if list[i] == s {
			at = i
		}
	}
	return at
}

func TestLateness(t *testing.T) {
	badKit(t, memory.Faults{Delay: time.Minute}, func(t *testing.T, k kit, c event.Consumer) {
		var texts []string
		for i := range 20 {
			texts = append(texts, fmt.Sprint(i))
		}
		k.named(texts...)
		began, last := time.Now(), time.Duration(0)
		distinct := map[time.Duration]bool{}
		for range texts {
			d, ok := next(t, c)
			require.True(t, ok)
			require.Equal(t, 1, d.Attempt)
			last = time.Since(began)
			distinct[last] = true
			require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Ack(d.Token)}))
		}
		require.LessOrEqual(t, last, time.Minute)
		require.Greater(t, len(distinct), 15)
		k.named("k:1", "k:2", "k:3")
		require.Equal(t, []string{"1", "2", "3"}, all(t, c), "its key waits")
	})
}

// An ack that is lost leaves the event as it was: the attempt counts, its key waits.
func TestLoseAck(t *testing.T) {
	badKit(t, memory.Faults{LoseAck: 1, Delay: time.Second}, func(t *testing.T, k kit, c event.Consumer) {
		k.named("k:1", "k:2")
		for _, want := range []string{"1", "2"} {
			for attempt := 1; attempt <= 4; attempt++ {
				d, ok := next(t, c)
				require.True(t, ok)
				require.Equal(t, "k:"+want, string(d.Event.Data()))
				require.Equal(t, attempt, d.Attempt)
				require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Ack(d.Token)}))
			}
		}
		require.NoError(t, k.Quiet(t.Context()))
	})
}

// Leases are lost before the delivery is begun, while it runs, while it is held, and
// when it is settled.
func TestLoseLease(t *testing.T) {
	ways := map[string]int{}
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			k := newKit(t, memory.WithFaults(memory.Faults{Seed: seed, LoseLease: 1}))
			var lost []event.Token
			c := k.subscribe(event.Subscription{Group: "g", Topics: []string{"t"}, OnLost: func(ts []event.Token) { lost = append(lost, ts...) }})
			k.named("k:1")
			d, _ := next(t, c)
			run, ok := c.Begin(d.Token)
			if !ok {
				ways["begin"]++
				require.Equal(t, []event.Token{d.Token}, lost)
				d, _ = next(t, c)
				require.Equal(t, 1, d.Attempt, "what was not begun was not attempted")
				return
			}
			require.NoError(t, run.Err())
			if seed%2 == 0 {
				c.Hold(d.Token, 7)
			}
			time.Sleep(memory.DefaultLease) // virtual
			_ = k.Quiet(ended(t))           // somebody looks
			if run.Err() == nil {
				ways["settle"]++
				err := c.Settle(t.Context(), []event.Settlement{event.Ack(d.Token)})
				require.ErrorIs(t, err, event.ErrLeaseLost)
			} else {
				ways["in time"]++
			}
			require.ErrorIs(t, context.Cause(run), event.ErrLeaseLost)
			require.Empty(t, lost)
			d, ok = next(t, c)
			require.True(t, ok)
			require.Equal(t, 2, d.Attempt)
			require.Equal(t, 7*int(1-seed%2), d.Failures)
		})
	}
	require.Len(t, ways, 3, "%v", ways)
}

// ended returns a context that ends at once, in virtual time.
func ended(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	t.Cleanup(cancel)
	return ctx
}

// Who waits notices in time that a lease is lost.
func TestLostLeaseIsNoticedInTime(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			k := newKit(t, memory.WithFaults(memory.Faults{Seed: seed, LoseLease: 1}), memory.Lease(time.Hour))
			a := k.join("g", "t")
			k.named("k:1")
			d, _ := next(t, a)
			run, ok := a.Begin(d.Token)
			if !ok {
				return
			}
			go func() {
				var buf [1]event.Delivery
				_, _ = k.join("g", "t").Receive(t.Context(), buf[:])
			}()
			time.Sleep(2 * time.Hour) // virtual
			if run.Err() != nil {
				require.ErrorIs(t, context.Cause(run), event.ErrLeaseLost)
				return
			}
			require.ErrorIs(t, a.Settle(t.Context(), []event.Settlement{event.Ack(d.Token)}), event.ErrLeaseLost)
		})
	}
}

func TestFailSettle(t *testing.T) {
	badKit(t, memory.Faults{FailSettle: 1}, func(t *testing.T, k kit, c event.Consumer) {
		k.named("1", "2")
		a, _ := next(t, c)
		b, _ := next(t, c)
		both := []event.Settlement{event.Ack(a.Token), event.Ack(b.Token)}
		began := time.Now()
		var refused *event.SettleError
		for err := c.Settle(t.Context(), both); err != nil; err = c.Settle(t.Context(), both) {
			require.ErrorIs(t, err, memory.ErrFault)
			require.NotErrorAs(t, err, &refused)
			lag, _ := k.Lag(t.Context(), "t", "g")
			require.Equal(t, 2, lag.InHand, "nothing is recorded")
			time.Sleep(time.Millisecond) // virtual
		}
		require.Positive(t, time.Since(began))
		require.LessOrEqual(t, time.Since(began), 31*time.Millisecond)
		require.NoError(t, k.Quiet(t.Context()))
	})
}

// What is not accepted for sure is written in some cases and not in others, and the
// events of a key keep their order through repetitions.
func TestFailProduce(t *testing.T) {
	ways := map[string]int{}
	for seed := range uint64(60) {
		badKit(t, memory.Faults{Seed: seed, FailProduce: 0.7}, func(t *testing.T, k kit, c event.Consumer) {
			left := []event.Event{named("k:1"), named("k:2"), named("3")}
			tries := 0
			for ; len(left) > 0; tries++ {
				err := k.producer("t").Produce(t.Context(), left...)
				if err == nil {
					break
				}
				require.ErrorIs(t, err, memory.ErrFault)
				partly, ok := errors.AsType[*event.ProduceError](err)
				if !ok {
					ways["nothing"]++
					continue
				}
				var again []event.Event
				for _, f := range partly.Failed {
					require.True(t, f.Maybe)
					require.False(t, f.Final())
					require.Equal(t, left[f.Index].ID(), f.ID)
					again = append(again, left[f.Index])
				}
				left = again
			}
			require.LessOrEqual(t, tries, 9)
			got := all(t, c)
			require.Less(t, slices.Index(got, "1"), slices.Index(got, "2"), "%v", got)
			require.Contains(t, got, "3")
			if len(got) > 3 {
				ways["twice"]++
			} else if tries > 0 {
				ways["once"]++
			}
		})
	}
	require.Len(t, ways, 3, "%v", ways)
}

func TestReorder(t *testing.T) {
	badKit(t, memory.Faults{Seed: 1, Reorder: 0.5}, func(t *testing.T, k kit, c event.Consumer) {
		for i := range 10 {
			k.named(fmt.Sprintf("k:%d", i), fmt.Sprint("x", i))
		}
		got := all(t, c)
		require.Len(t, got, 20)
		loose := func(s string) bool { return strings.HasPrefix(s, "x") }
		ofKey := slices.DeleteFunc(slices.Clone(got), loose)
		rest := slices.DeleteFunc(got, func(s string) bool { return !loose(s) })
		require.True(t, slices.IsSorted(ofKey), "of a key, never: %v", ofKey)
		require.False(t, slices.IsSorted(rest), "%v", rest)
	})
}

func TestFailReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.WithFaults(memory.Faults{FailReceive: 1}))
		var told []error
		c := k.subscribe(event.Subscription{Group: "g", Topics: []string{"t"}, OnError: func(err error) { told = append(told, err) }})
		k.named("1", "2")
		require.Len(t, all(t, c), 2)
		require.Len(t, told, 2)
		require.ErrorIs(t, told[0], memory.ErrFault)
	})
}

// fates is how often each event was delivered.
func fates(t *testing.T, seed uint64, r *rand.Rand) (got map[string]int) {
	t.Helper()
	f := memory.Faults{Seed: seed, Redeliver: 0.4, LoseAck: 0.4, LoseLease: 0.4, Delay: time.Second}
	badKit(t, f, func(t *testing.T, k kit, c event.Consumer) {
		var events []event.Event
		for i := range 30 {
			events = append(events, named(fmt.Sprint(i)))
		}
		r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		k.produce("t", events...)
		got = map[string]int{}
		for _, s := range all(t, c) {
			got[s]++
		}
	})
	return got
}

// What an event suffers depends on the seed and on the event, not on what else
// happens, or when.
func TestFateIsTheEventsOwn(t *testing.T) {
	first := fates(t, 7, rand.New(rand.NewPCG(1, 1)))
	require.Equal(t, first, fates(t, 7, rand.New(rand.NewPCG(2, 2))))
	require.NotEqual(t, first, fates(t, 8, rand.New(rand.NewPCG(1, 1))))
}

// With faults, one event of a key is in hand at a time: what is lost takes no other
// with it, and what comes again stands where it stood.
func TestOneOfAKeyInHand(t *testing.T) {
	badKit(t, memory.Faults{FailReceive: 0.1}, func(t *testing.T, k kit, c event.Consumer) {
		k.named("k:1", "k:2", "3")
		var buf [3]event.Delivery
		n, err := c.Receive(t.Context(), buf[:])
		require.NoError(t, err)
		require.Equal(t, 2, n)
		require.Equal(t, []string{"k:1", "3"}, []string{string(buf[0].Event.Data()), string(buf[1].Event.Data())})
		require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Ack(buf[0].Token)}))
		d, ok := next(t, c)
		require.True(t, ok)
		require.Equal(t, "k:2", string(d.Event.Data()))
	})
}

// A channel without faults is as it was, and so it is below the zero value.
func TestNoFaultsInTheZeroValue(t *testing.T) {
	below := memory.Faults{
		Redeliver: -1, Delay: -5, LoseAck: math.NaN(), LoseLease: -0.1, FailSettle: -1, FailProduce: math.Inf(-1), FailReceive: -1, Reorder: -1,
	}
	for _, f := range []memory.Faults{{Seed: 99}, below} {
		badKit(t, f, func(t *testing.T, k kit, c event.Consumer) {
			k.named("k:1", "k:2")
			var buf [2]event.Delivery
			n, err := c.Receive(t.Context(), buf[:])
			require.NoError(t, err)
			require.Equal(t, 2, n, "a channel without faults gives both at once")
		})
	}
}
