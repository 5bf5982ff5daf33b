package memory_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

func TestRetryHoldsItsKey(t *testing.T) {
	for _, members := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			k := newKit(t)
			c := k.join("g", "a")
			if members == 2 {
				k.join("g", "a")
			}
			k.texts("a", "k:1", "k:2", "j:1")
			ds := k.receive(c, 1)
			require.Equal(t, []string{"k:1"}, data(ds))
			k.settle(c, event.Retry(ds[0].Token, time.Hour, 3))
			ds = k.receive(c, 10)
			require.Equal(t, []string{"j:1"}, data(ds))
			k.ack(c, ds...)
			began := time.Now()
			buf := make([]event.Delivery, 10)
			n, err := c.Receive(t.Context(), buf)
			require.NoError(t, err)
			require.Equal(t, []string{"k:1", "k:2"}, data(buf[:n]))
			require.Equal(t, time.Hour, time.Since(began).Round(time.Minute))
			require.Equal(t, 2, buf[0].Attempt)
			require.Equal(t, 3, buf[0].Failures)
		})
	}
}

// A key that waits keeps nobody else waiting.
func TestKeyStaysWithItsMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		a, b := k.join("g", "t"), k.join("g", "t")
		k.texts("t", "k:1", "j:1", "k:2", "j:2", "k:3", "3")
		da := k.receive(a, 1)
		require.Equal(t, []string{"k:1"}, data(da))
		db := k.receive(b, 10)
		require.Equal(t, []string{"j:1", "j:2", "3"}, data(db))
		da = append(da, k.receive(a, 10)...)
		require.Equal(t, []string{"k:1", "k:2", "k:3"}, data(da))
		k.texts("t", "k:4", "j:3")
		require.Equal(t, []string{"j:3"}, data(k.receive(b, 10)))
		k.ack(a, da...)
		require.Equal(t, []string{"k:4"}, data(k.receive(b, 10)), "with nothing in hand, the key is anybody's")
	})
}

// Who waits in Receive is told when a key that it may have is ready.
func TestMemberIsWokenForItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		a, b := k.join("g", "t"), k.join("g", "t")
		k.texts("t", "k:1")
		k.receive(a, 1)
		for range 4 { // whoever of the two is woken first
			got := k.goReceive(a)
			other := k.goReceive(b)
			synctest.Wait()
			k.texts("t", "anybody's")
			select {
			case <-got:
				got = k.goReceive(a)
			case <-other:
				other = k.goReceive(b)
			}
			synctest.Wait()
			k.texts("t", "k:2")
			require.Equal(t, "k:2", string((<-got).Event.Data()))
			k.texts("t", "anybody's")
			<-other
		}
	})
}

func (k kit) goReceive(c event.Consumer) <-chan event.Delivery {
	got := make(chan event.Delivery, 1)
	go func() {
		buf := make([]event.Delivery, 1)
		if n, _ := c.Receive(context.Background(), buf); n == 1 {
			got <- buf[0]
		}
	}()
	return got
}

// The second member comes when the first has much of a key in hand.
func TestMemberThatComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		a := k.join("g", "t")
		k.texts("t", "k:1", "k:2", "j:1")
		da := k.receive(a, 10)
		k.settle(a, event.Retry(da[0].Token, time.Second, 1))
		b := k.join("g", "t")
		k.texts("t", "k:3", "j:2", "i:1")
		require.Equal(t, []string{"i:1"}, data(k.receive(b, 10)))
		time.Sleep(time.Second) // virtual
		require.Empty(t, k.receive(b, 10), "k:2 is with the other")
		require.Equal(t, []string{"j:2", "k:1", "k:3"}, data(k.receive(a, 10)))
	})
}

func TestReleaseGoesBackInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		a, b := k.join("g", "t"), k.join("g", "t")
		k.texts("t", "k:1", "k:2", "k:3", "k:4")
		ds := k.receive(a, 3)
		_, _ = a.Begin(ds[0].Token)
		k.settle(a, event.Release(ds[1].Token), event.Release(ds[2].Token), event.Release(ds[0].Token))
		ds = k.receive(b, 10)
		require.Equal(t, []string{"k:1", "k:2", "k:3", "k:4"}, data(ds))
		require.Equal(t, 1, ds[0].Attempt, "a release doesn't count")
	})
}

// Who waits in Receive is told when something was given back.
func TestMemberIsWokenForWhatWasGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		a, b := k.join("g", "t"), k.join("g", "t")
		for _, text := range []string{"k:1", "1"} {
			k.texts("t", text)
			ds := k.receive(a, 1)
			got := k.goReceive(b)
			synctest.Wait()
			k.settle(a, event.Release(ds[0].Token))
			d := <-got
			require.Equal(t, text, string(d.Event.Data()))
			k.ack(b, d)
		}
	})
}

func TestDelayedEventTakesItsPlaceWhenDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		c := k.join("g", "t")
		k.produce("t", textEvent("k:delayed").WithNotBefore(time.Now().Add(time.Hour)))
		k.texts("t", "k:1")
		require.Equal(t, []string{"k:1"}, data(k.receive(c, 10)), "it keeps nobody waiting")
		k.produce("t", textEvent("k:past").WithNotBefore(time.Now().Add(-time.Hour)))
		require.Equal(t, []string{"k:past"}, data(k.receive(c, 10)))
		began := time.Now()
		d := <-k.goReceive(c)
		require.Equal(t, "k:delayed", string(d.Event.Data()))
		require.InDelta(t, time.Hour, time.Since(began), float64(time.Minute))
	})
}

// Of a group on one topic, first deliveries come in the order of acceptance; many
// topics and returned events get their turn.
func TestFirstInFirstOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		c := k.join("g", "t")
		var want []string
		for i := range 500 {
			want = append(want, fmt.Sprintf("%d:%d", i%7, i))
		}
		k.texts("t", want...)
		var got []string
		for len(got) < len(want) {
			ds := k.receive(c, 13)
			got = append(got, data(ds)...)
			k.ack(c, ds...)
		}
		require.Equal(t, want, got)
	})
}

func TestNobodyStarves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		c := k.join("g", "a", "b")
		k.texts("a", "bad", "1", "2", "3", "4")
		k.texts("b", "x")
		seen := map[string]int{}
		for range 40 {
			ds := k.receive(c, 1)
			s := string(ds[0].Event.Data())
			if seen[s]++; s == "bad" {
				k.settle(c, event.Retry(ds[0].Token, 0, seen[s]))
				continue
			}
			k.ack(c, ds...)
		}
		require.Len(t, seen, 6, "an event that always comes back keeps nobody waiting: %v", seen)
	})
}

func TestInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		c := k.subscribe(event.Subscription{Group: "g", Topics: []string{"t"}, InFlight: 2})
		k.texts("t", "1", "2", "3")
		ds := k.receive(c, 10)
		require.Len(t, ds, 2)
		got := k.goReceive(c)
		synctest.Wait()
		require.Empty(t, got)
		k.ack(c, ds[0])
		require.Equal(t, "3", string((<-got).Event.Data()))
	})
}

// One event wakes one of the members that wait, and what one can't take the next gets.
func TestWokenMembersPassOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		var gots []<-chan event.Delivery
		for range 5 {
			gots = append(gots, k.goReceive(k.join("g", "t")))
		}
		synctest.Wait()
		k.produce("t", events(5)...)
		for _, got := range gots {
			<-got
		}
	})
}

// A wake-up that goes to a member whose Receive ends is passed on to the next.
func TestWokenMemberThatLeaves(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			k := newKit(t)
			a, b := k.join("g", "t"), k.join("g", "t")
			ctx, cancel := context.WithCancel(t.Context())
			gone := make(chan int, 1)
			go func() {
				n, _ := a.Receive(ctx, make([]event.Delivery, 1))
				gone <- n
			}()
			synctest.Wait()
			got := k.goReceive(b)
			synctest.Wait()
			cancel()
			k.texts("t", "1")
			if <-gone == 0 {
				<-got
				return
			}
			k.texts("t", "2")
			<-got
		})
	}
}

// A wake-up that goes to a member whose hand has just become full is passed on.
func TestWokenMemberWhoseHandIsFull(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			k := newKit(t, memory.Capacity(4), memory.Reserve(0))
			a := k.subscribe(event.Subscription{Group: "g", Topics: []string{"t"}, InFlight: 1})
			b := k.join("g", "t")
			k.texts("t", "1")
			d := k.receive(a, 1)[0]
			k.produce("t", events(3)...)
			ds := k.receive(b, 3)
			ctx, _ := a.Begin(d.Token)
			require.ErrorIs(t, k.producer("t").Produce(ctx, events(2)...), event.ErrFull)
			a.Hold(d.Token, 0) // it waits for room and doesn't count
			first := k.goReceive(a)
			synctest.Wait()
			other := k.goReceive(b)
			synctest.Wait()
			k.settle(b, event.Release(ds[0].Token))
			_, _ = a.Begin(d.Token)
			select {
			case <-first:
			case <-other:
			}
		})
	}
}

// A wake-up that goes to a member that is closed or crashes is passed on.
func TestWokenMemberThatIsClosed(t *testing.T) {
	for i := range 100 {
		synctest.Test(t, func(t *testing.T) {
			k := newKit(t)
			a, b := k.join("g", "t"), k.join("g", "t")
			first := k.goReceive(a)
			synctest.Wait()
			other := k.goReceive(b)
			synctest.Wait()
			k.texts("t", "1")
			if i%2 == 0 {
				k.Crash(a)
			} else {
				require.NoError(t, a.Close(t.Context()))
			}
			select {
			case <-first: // it was faster
			case <-other:
			}
		})
	}
}

// What a closing member gives back wakes another, not the one that leaves.
func TestClosedMemberWakesAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		a, b := k.join("g", "t"), k.join("g", "t")
		k.texts("t", "1", "k:1")
		k.receive(a, 2)
		k.goReceive(a)
		synctest.Wait()
		first, other := k.goReceive(b), k.goReceive(k.join("g", "t"))
		synctest.Wait()
		require.NoError(t, a.Close(t.Context()))
		<-first
		<-other
	})
}

// Members that wait are woken in turn.
func TestMembersAreWokenInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		a, b := k.join("g", "t"), k.join("g", "t")
		for range 10 {
			gotA, gotB := k.goReceive(a), k.goReceive(b)
			synctest.Wait()
			k.texts("t", "1")
			synctest.Wait()
			require.Equal(t, 1, len(gotA)+len(gotB))
			k.texts("t", "2")
			k.ack(a, <-gotA)
			k.ack(b, <-gotB)
		}
		turns := map[int]int{}
		gotA, gotB := k.goReceive(a), k.goReceive(b)
		for range 10 {
			synctest.Wait()
			k.texts("t", "1")
			select {
			case d := <-gotA:
				turns[0]++
				k.ack(a, d)
				gotA = k.goReceive(a)
			case d := <-gotB:
				turns[1]++
				k.ack(b, d)
				gotB = k.goReceive(b)
			}
		}
		require.Equal(t, map[int]int{0: 5, 1: 5}, turns)
	})
}

// The longest delay there is does not overflow.
func TestLongestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		c := k.join("g", "t")
		k.texts("t", "1")
		k.produce("t", textEvent("2").WithNotBefore(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)))
		time.Sleep(time.Second) // virtual
		k.settle(c, event.Retry(k.receive(c, 1)[0].Token, math.MaxInt64, 1))
		ctx, cancel := context.WithTimeout(t.Context(), 200*365*24*time.Hour)
		defer cancel()
		_, err := c.Receive(ctx, make([]event.Delivery, 1))
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// Delays are kept in order when some from among them go.
func TestDelaysAfterASeek(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			k := newKit(t)
			first, second := k.join("g", "t"), k.join("g", "u")
			due := map[string]time.Time{}
			for i := range 100 {
				at := time.Now().Add(time.Duration(1+r.IntN(1000)) * time.Second)
				due[fmt.Sprint(i)] = at
				k.produce([]string{"t", "u"}[i%2], textEvent(fmt.Sprint(i)).WithNotBefore(at))
			}
			k.receive(first, 1)
			k.receive(second, 1)
			require.NoError(t, first.Close(t.Context()))
			require.NoError(t, k.Seek(t.Context(), "t", "g", event.Newest()))
			for range 50 {
				d := <-k.goReceive(second)
				require.True(t, due[string(d.Event.Data())].Equal(d.Event.NotBefore()))
				require.Equal(t, d.Event.NotBefore().Unix(), time.Now().Unix())
				k.ack(second, d)
			}
		})
	}
}

func TestFairWithinSmallBuffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Capacity(1000))
		c := k.join("g", "a", "b", "c")
		k.produce("a", events(100)...)
		k.texts("b", "b")
		k.texts("c", "c")
		var got []string
		for range 6 {
			got = append(got, data(k.receive(c, 1))...)
		}
		require.Contains(t, got, "b")
		require.Contains(t, got, "c")
	})
}
