package memory_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// handling returns a handler's context on top of that of a begun delivery.
func handling(begun context.Context, d event.Delivery) context.Context {
	return context.WithoutCancel(&event.Attempt{Context: begun, Info: event.Info{Event: d.Event, Topic: d.Topic}})
}

func events(n int) []event.Event {
	es := make([]event.Event, n)
	for i := range es {
		es[i] = textEvent(fmt.Sprint(i))
	}
	return es
}

// goProduce produces in a goroutine and returns where its error comes.
func (k kit) goProduce(ctx context.Context, topic string, es ...event.Event) <-chan error {
	done := make(chan error, 1)
	p := k.producer(topic)
	go func() { done <- p.Produce(ctx, es...) }()
	return done
}

func pending(done <-chan error) bool {
	synctest.Wait()
	return len(done) == 0
}

func TestPublishersWaitAtTheBoundOfTheFullestGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Capacity(8))
		k.texts("a", "for nobody, without a bound")
		fast, slow := k.join("fast", "a"), k.join("slow", "a")
		k.produce("a", events(8)...)
		k.ack(fast, k.receive(fast, 8)...)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := k.producer("a").Produce(ctx, textEvent("one more"))
		var full *event.FullError
		require.ErrorAs(t, err, &full)
		require.Equal(t, event.FullError{Topic: "a", Group: "slow", Waiting: 8, Bound: 8, Err: context.DeadlineExceeded}, *full)
		require.ErrorIs(t, err, event.ErrFull)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		// Delayed, held and retried ones count too.
		ds := k.receive(slow, 8)
		_, _ = slow.Begin(ds[0].Token)
		slow.Hold(ds[0].Token, 1)
		k.settle(slow, event.Retry(ds[1].Token, time.Hour, 1))
		done := k.goProduce(t.Context(), "a", textEvent("one more"))
		require.True(t, pending(done))
		k.settle(slow, event.Dead(ds[2].Token, event.Cause{}))
		require.False(t, pending(done))
		require.NoError(t, <-done)
		require.Equal(t, []string{"one more"}, data(k.receive(slow, 8)))
	})
}

func TestBlockedPublishersGoOnAtThreeQuarters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Capacity(16))
		c := k.join("g", "a")
		k.produce("a", events(16)...)
		first := k.goProduce(t.Context(), "a", textEvent("first"))
		require.True(t, pending(first))
		second := k.goProduce(t.Context(), "a", textEvent("second"), textEvent("third"))
		ds := k.receive(c, 4)
		k.ack(c, ds[:3]...)
		require.True(t, pending(first))
		k.ack(c, ds[3])
		require.False(t, pending(first))
		require.False(t, pending(second))
		require.Equal(t, []string{"first", "second", "third"}, data(k.receive(c, 32))[12:])
	})
}

// When little is left to deliver, any room will do: the rest is held, for an hour
// perhaps.
func TestBlockedPublishersDontWaitForWhatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Capacity(16))
		c := k.join("g", "a")
		k.produce("a", events(16)...)
		ds := k.receive(c, 16)
		done := k.goProduce(t.Context(), "a", textEvent("one more"))
		require.True(t, pending(done))
		k.ack(c, ds[0])
		require.False(t, pending(done))

		// The same when a Receive finds nothing more to deliver.
		k.ack(c, append(ds[1:], k.receive(c, 1)...)...)
		k.produce("a", events(16)...)
		done = k.goProduce(t.Context(), "a", textEvent("yet one more"))
		require.True(t, pending(done))
		k.ack(c, k.receive(c, 1)...)
		require.True(t, pending(done))
		require.Len(t, k.receive(c, 15), 15)
		require.True(t, pending(done))
		require.Equal(t, []string{"yet one more"}, data(k.receive(c, 1)))
	})
}

func TestCallLargerThanTheCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Capacity(8))
		c := k.join("g", "a")
		ctx, cancel := context.WithCancel(t.Context())
		es := events(50)
		done := k.goProduce(ctx, "a", es...)
		require.True(t, pending(done))
		other := k.goProduce(ctx, "a", textEvent("from somebody else"))
		var got []string
		for range 5 {
			ds := k.receive(c, 8)
			got = append(got, data(ds)...)
			k.ack(c, ds...)
		}
		synctest.Wait()
		cancel()
		err := <-done
		var some *event.ProduceError
		require.ErrorAs(t, err, &some)
		require.ErrorIs(t, err, event.ErrFull)
		require.ErrorIs(t, err, context.Canceled)
		require.False(t, some.Failed[0].Maybe)
		first := some.Failed[0].Index
		require.Len(t, some.Failed, 50-first)
		require.Equal(t, es[first].ID(), some.Failed[0].ID)
		require.ErrorIs(t, <-other, event.ErrFull)
		ds := k.receive(c, 100)
		got = append(got, data(ds)...)
		for i := range first {
			require.Equal(t, fmt.Sprint(i), got[i])
		}
		require.LessOrEqual(t, len(got), first+1)
	})
}

func TestNothingIsAcceptedFromACallThatNeverGotRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, opts := range [][]memory.Option{nil, {memory.Encode()}} {
			k := newKit(t, append(opts, memory.Capacity(2))...)
			c := k.join("g", "a")
			k.produce("a", events(2)...)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := k.producer("a").Produce(ctx, events(3)...)
			cancel()
			var some *event.ProduceError
			require.NotErrorAs(t, err, &some, "any other error means that nothing was accepted")
			require.ErrorIs(t, err, event.ErrFull)
			require.Len(t, k.receive(c, 10), 2)
		}
	})
}

// A publisher that gives up passes its turn on.
func TestPublisherThatGivesUpPassesItsTurnOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Capacity(4))
		c := k.join("g", "a")
		k.produce("a", events(4)...)
		ctx, cancel := context.WithCancel(t.Context())
		first := k.goProduce(ctx, "a", textEvent("first"))
		require.True(t, pending(first))
		second := k.goProduce(t.Context(), "a", textEvent("second"))
		require.True(t, pending(second))
		cancel()
		require.ErrorIs(t, <-first, context.Canceled)
		k.ack(c, k.receive(c, 4)...)
		require.NoError(t, <-second)
		require.Equal(t, []string{"second"}, data(k.receive(c, 4)))
	})
}

func TestHandlersHaveTheReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Capacity(4), memory.Reserve(2))
		c := k.join("g", "a")
		k.produce("a", events(4)...)
		d := k.receive(c, 1)[0]
		begun, _ := c.Begin(d.Token)
		k.receive(c, 1) // somebody else runs and needs no room
		ds := k.receive(c, 1)
		_, _ = c.Begin(ds[0].Token)
		ctx := handling(begun, d)
		p := k.producer("a")
		require.NoError(t, p.Produce(ctx, events(2)...))
		err := p.Produce(ctx, textEvent("x"))
		var full *event.FullError
		require.ErrorAs(t, err, &full)
		require.Equal(t, event.FullError{Topic: "a", Group: "g", Waiting: 6, Bound: 6}, *full)
		k.ack(c, ds...)
		require.ErrorIs(t, p.Produce(ctx, events(2)...), event.ErrFull, "all or nothing")
		require.NoError(t, p.Produce(ctx, events(1)...))
		// The bare context of a delivery doesn't wait either, nor does a handler's
		// context that comes from elsewhere.
		require.ErrorIs(t, p.Produce(begun, events(1)...), event.ErrFull)
		require.ErrorIs(t, p.Produce(handling(t.Context(), d), events(1)...), event.ErrFull)
	})
}

func TestHandlerThatAsksForMoreThanThereCanBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Capacity(4), memory.Reserve(2))
		c := k.join("g", "a")
		k.texts("a", "1")
		d := k.receive(c, 1)[0]
		begun, _ := c.Begin(d.Token)
		err := k.producer("a").Produce(handling(begun, d), events(17)...)
		require.ErrorIs(t, err, event.ErrTooLarge)
		var some *event.ProduceError
		require.ErrorAs(t, err, &some)
		require.Len(t, some.Failed, 17)
		require.True(t, some.Failed[0].Final(), "trying again can't help")
	})
}
