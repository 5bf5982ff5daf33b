package memory_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

func (k kit) cancel(topic, id string, want bool) {
	k.t.Helper()
	found, err := k.Cancel(k.t.Context(), topic, id)
	require.NoError(k.t, err)
	require.Equal(k.t, want, found)
}

func in(text string, d time.Duration) event.Event {
	return textEvent(text).WithID(text).WithNotBefore(time.Now().Add(d))
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		c, other := k.join("g", "t", "u"), k.join("h", "t")
		e := k.subscribe(event.Subscription{Topics: []string{"t"}, Ephemeral: true})
		k.produce("t", in("k:1", time.Hour), in("k:2", time.Hour), in("3", time.Hour))
		k.produce("u", in("k:1", time.Hour))
		require.Empty(t, k.receive(c, 9), "now they are among the delays of one group")
		k.cancel("t", "k:1", true)
		k.cancel("t", "k:1", false)
		k.cancel("nowhere", "k:1", false)
		k.requireLag("t", "g", event.Lag{Delayed: 2})
		k.requireLag("t", "h", event.Lag{Delayed: 2})
		k.cancel("t", "3", true)
		time.Sleep(time.Hour) // virtual
		k.cancel("t", "k:2", false)
		require.ElementsMatch(t, []string{"k:2", "k:1"}, data(k.receive(c, 9)), "the one on the other topic comes")
		require.Equal(t, []string{"k:2"}, data(k.receive(other, 9)))
		require.Equal(t, []string{"k:2"}, data(k.receive(e, 9)))
		groups, err := k.Groups(t.Context(), "nowhere")
		require.NoError(t, err)
		require.Empty(t, groups)
		_, err = k.Cancel(canceled(), "t", "k:1")
		require.ErrorIs(t, err, context.Canceled)
	})
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// What is cancelled is in no history either.
func TestCancelInTheHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Retain(3))
		k.produce("t", textEvent("0"), textEvent("1"), in("2", time.Hour), textEvent("3"))
		k.cancel("t", "2", true)
		k.produce("t", textEvent("4"), textEvent("5"))
		c := k.subscribe(event.Subscription{Group: "g", Topics: []string{"t"}, From: event.Oldest()})
		require.Equal(t, []string{"3", "4", "5"}, data(k.receive(c, 9)))

		k.produce("t", in("6", time.Hour))
		time.Sleep(time.Hour) // virtual
		k.cancel("t", "6", false)
		c = k.subscribe(event.Subscription{Group: "h", Topics: []string{"t"}, From: event.Oldest()})
		require.Equal(t, []string{"4", "5", "6"}, data(k.receive(c, 9)), "it is due")
	})
}

// Only what waits for its NotBefore is cancelled: no retries, nothing in hand.
func TestCancelLeavesOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		c := k.join("g", "t")
		k.produce("t", textEvent("1").WithID("1"), in("2", time.Minute), in("3", time.Minute))
		time.Sleep(time.Minute) // virtual
		ds := k.receive(c, 9)
		require.Len(t, ds, 3)
		k.settle(c, event.Retry(ds[0].Token, time.Hour, 1), event.Retry(ds[1].Token, time.Hour, 1))
		for _, id := range []string{"1", "2", "3"} {
			k.cancel("t", id, false)
		}
		k.requireLag("t", "g", event.Lag{Delayed: 2, InHand: 1})
	})
}

// Who waits for quiet or for room is woken.
func TestCancelWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Capacity(2))
		k.join("g", "t")
		k.produce("t", in("1", time.Hour), in("2", time.Hour))
		produced := k.goProduce(t.Context(), "t", in("3", time.Hour))
		require.True(t, pending(produced))
		k.cancel("t", "1", true)
		require.NoError(t, <-produced)
		quiet := make(chan error, 1)
		go func() { quiet <- k.Quiet(context.Background()) }()
		k.cancel("t", "2", true)
		require.True(t, pending(quiet))
		start := time.Now()
		k.cancel("t", "3", true)
		require.NoError(t, <-quiet)
		require.Equal(t, start, time.Now())
	})
}

// Whether an event is due is decided once: what is cancelled comes to no group, and
// what is not to all of them, however close to its time.
func TestCancelAtTheTime(t *testing.T) {
	const tries, groups = 300, 40
	k := newKit(t, memory.Capacity(tries))
	var cs []event.Consumer
	for g := range groups {
		cs = append(cs, k.join(fmt.Sprint(g), "t"))
	}
	var left []string
	for i := range tries {
		due := time.Now().Add(50 * time.Microsecond)
		id := fmt.Sprint(i)
		k.produce("t", textEvent(id).WithID(id).WithNotBefore(due))
		for time.Until(due) > time.Duration(i%20)*time.Microsecond {
			continue // there is no other way to be that close
		}
		cancelled, err := k.Cancel(t.Context(), "t", id)
		require.NoError(t, err)
		if !cancelled {
			left = append(left, id)
		}
	}
	for _, c := range cs {
		var got []event.Delivery
		for len(got) < len(left) { // the clock is real, and the machine may be busy
			buf := make([]event.Delivery, tries)
			n, err := c.Receive(t.Context(), buf)
			require.NoError(t, err)
			got = append(got, buf[:n]...)
		}
		require.ElementsMatch(t, left, data(append(got, k.receive(c, 1)...)))
	}
}

// Calls on topics that share groups don't wait for each other for good.
func TestCancelOnManyTopics(t *testing.T) {
	k := newKit(t)
	const groups = 9
	for g := range groups {
		k.join(fmt.Sprint(g), "t")
		k.join(fmt.Sprint(groups-1-g), "u")
	}
	var calls sync.WaitGroup
	for _, topic := range []string{"t", "u"} {
		calls.Go(func() {
			for range 5000 {
				_, _ = k.Cancel(t.Context(), topic, "none")
			}
		})
	}
	calls.Wait()
}
