package memory_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

func (k kit) goClose(ctx context.Context, c event.Consumer) <-chan error {
	done := make(chan error, 1)
	go func() { done <- c.Close(ctx) }()
	return done
}

func TestCloseGivesBackAtOnceWhatNobodyRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		a, b := k.join("g", "t"), k.join("g", "t")
		k.texts("t", "k:1", "k:2", "k:3", "j:1", "j:2")
		ds := k.receive(a, 5)
		_, _ = a.Begin(ds[0].Token)
		a.Hold(ds[0].Token, 4)
		running, _ := a.Begin(ds[3].Token)
		receiving := make(chan error, 1)
		go func() { receiving <- second(a.Receive(context.Background(), make([]event.Delivery, 1))) }()
		synctest.Wait()
		closed := k.goClose(t.Context(), a)
		synctest.Wait()
		require.Empty(t, closed, "j:1 runs")
		require.ErrorIs(t, <-receiving, event.ErrClosed)
		_, err := a.Receive(t.Context(), make([]event.Delivery, 1))
		require.ErrorIs(t, err, event.ErrClosed)

		got := k.receive(b, 10)
		require.Equal(t, []string{"k:1", "k:2", "k:3"}, data(got), "in order; j:2 waits for j:1")
		require.Equal(t, 2, got[0].Attempt, "it was run")
		require.Equal(t, 4, got[0].Failures)
		require.Equal(t, 1, got[1].Attempt, "it was not begun")
		_, ok := a.Begin(ds[1].Token)
		require.False(t, ok)

		require.NoError(t, running.Err())
		k.ack(a, ds[3])
		require.NoError(t, <-closed)
		require.Equal(t, []string{"j:2"}, data(k.receive(b, 10)))
		require.ErrorIs(t, a.Settle(t.Context(), nil), event.ErrClosed)
	})
}

func TestCloseEndsAReceiveThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		c := k.join("g", "t")
		receiving := make(chan error, 1)
		go func() { receiving <- second(c.Receive(context.Background(), make([]event.Delivery, 1))) }()
		synctest.Wait()
		require.NoError(t, c.Close(t.Context()))
		require.ErrorIs(t, <-receiving, event.ErrClosed)
	})
}

func TestHoldDuringCloseGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		a, b := k.join("g", "t"), k.join("g", "t")
		k.texts("t", "1")
		d := k.receive(a, 1)[0]
		_, _ = a.Begin(d.Token)
		closed := k.goClose(t.Context(), a)
		synctest.Wait()
		a.Hold(d.Token, 2)
		require.NoError(t, <-closed)
		ds := k.receive(b, 1)
		require.Equal(t, 2, ds[0].Failures)
		require.Equal(t, 2, ds[0].Attempt)
	})
}

func TestCloseCancelsWhatRunsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		a := k.subscribe(event.Subscription{Group: "g", Topics: []string{"t"}, CancelGrace: time.Minute})
		b := k.join("g", "t")
		k.texts("t", "1", "2")
		ds := k.receive(a, 2)
		one, _ := a.Begin(ds[0].Token)
		two, _ := a.Begin(ds[1].Token)
		child, cancelChild := context.WithTimeout(two, time.Hour)
		defer cancelChild()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		closed := k.goClose(ctx, a)
		<-child.Done()
		require.Equal(t, time.Minute, time.Since(began))
		require.Equal(t, event.ErrClosed, context.Cause(one))
		require.Equal(t, event.ErrClosed, context.Cause(child))
		require.Empty(t, k.receive(b, 1), "they have a grace")
		k.settle(a, event.Ack(ds[0].Token))
		require.NoError(t, <-closed)
		require.Equal(t, 2*time.Minute, time.Since(began))
		got := k.receive(b, 2)
		require.Equal(t, []string{"2"}, data(got))
		require.Equal(t, 2, got[0].Attempt, "it was begun")
	})
}

func TestTokensOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		a, b, c := k.join("g", "t"), k.join("g", "t"), k.join("h", "t")
		k.texts("t", "1")
		d := k.receive(a, 1)[0]
		k.receive(c, 1)
		for _, other := range []event.Consumer{b, c} {
			_, ok := other.Begin(d.Token)
			require.False(t, ok)
			other.Hold(d.Token, 9)
			requireRefused(t, other.Settle(t.Context(), []event.Settlement{event.Ack(d.Token)}), event.ErrLeaseLost)
		}
		for _, bad := range []event.Token{{}, {1 << 40, 1}, {0, d.Token[1]}, {d.Token[0], 0}} {
			_, ok := a.Begin(bad)
			require.False(t, ok)
		}
		err := a.Settle(t.Context(), []event.Settlement{event.Ack(d.Token), event.Ack(d.Token)})
		var some *event.SettleError
		require.ErrorAs(t, err, &some)
		require.Equal(t, map[int]error{1: event.ErrLeaseLost}, some.Failed)
	})
}

func requireRefused(t *testing.T, err, want error) {
	t.Helper()
	var some *event.SettleError
	require.ErrorAs(t, err, &some)
	require.Len(t, some.Failed, 1)
	require.ErrorIs(t, some.Failed[0], want)
}

func TestRunsOfADeliveryHaveOneContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		c := k.join("g", "t")
		k.texts("t", "1")
		d := k.receive(c, 1)[0]
		first, _ := c.Begin(d.Token)
		c.Hold(d.Token, 1)
		second, _ := c.Begin(d.Token)
		require.Same(t, first, second)
		k.settle(c, event.Retry(d.Token, 0, 1))
		d = k.receive(c, 1)[0]
		third, _ := c.Begin(d.Token)
		require.NotSame(t, first, third, "another delivery has another")
	})
}

func TestCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lost []event.Token
		k := newKit(t, memory.Lease(time.Minute))
		a := k.subscribe(event.Subscription{Group: "g", Topics: []string{"t"}, OnLost: func(ts []event.Token) { lost = ts }})
		b := k.join("g", "t")
		k.texts("t", "k:1", "k:2", "j:1")
		ds := k.receive(a, 3)
		ctx, _ := a.Begin(ds[0].Token)
		_, _ = a.Begin(ds[2].Token)
		a.Hold(ds[2].Token, 5)
		time.Sleep(time.Hour) // virtual: leases are renewed
		receiving := make(chan error, 1)
		go func() { receiving <- second(a.Receive(context.Background(), make([]event.Delivery, 1))) }()
		synctest.Wait()
		k.Crash(a)
		require.ErrorIs(t, <-receiving, event.ErrClosed)
		began := time.Now()
		_, ok := a.Begin(ds[1].Token)
		require.False(t, ok)
		_, err := a.Receive(t.Context(), make([]event.Delivery, 1))
		require.ErrorIs(t, err, event.ErrClosed)
		require.ErrorIs(t, a.Settle(t.Context(), []event.Settlement{event.Ack(ds[0].Token)}), event.ErrClosed)
		k.texts("t", "k:3")
		require.Empty(t, k.receive(b, 10))
		require.NoError(t, ctx.Err())

		d := <-k.goReceive(b)
		require.Equal(t, time.Minute, time.Since(began).Round(time.Second), "when the lease is over")
		require.Equal(t, event.ErrLeaseLost, context.Cause(ctx))
		require.Equal(t, []event.Token{ds[1].Token}, lost, "what was not begun")
		got := append([]event.Delivery{d}, k.receive(b, 10)...)
		require.ElementsMatch(t, []string{"k:1", "k:2", "k:3", "j:1"}, data(got))
		for _, d := range got {
			want := 2
			if string(d.Event.Data()) == "k:3" {
				want = 1
			}
			require.Equal(t, want, d.Attempt)
			if string(d.Event.Data()) == "j:1" {
				require.Equal(t, 5, d.Failures, "kept when it was held")
			}
		}
		k.Crash(a) // nothing more to crash
		require.NoError(t, a.Close(t.Context()))
	})
}

func TestCrashWhileClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Lease(time.Minute))
		a, b := k.join("g", "t"), k.join("g", "t")
		k.texts("t", "1")
		_, _ = a.Begin(k.receive(a, 1)[0].Token)
		closed := k.goClose(t.Context(), a)
		synctest.Wait()
		k.Crash(a)
		require.NoError(t, <-closed)
		require.Empty(t, k.receive(b, 1))
		time.Sleep(time.Minute) // virtual
		require.Len(t, k.receive(b, 1), 1)
	})
}

func TestCloseOfTheChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Capacity(2))
		c := k.join("g", "t")
		k.produce("t", events(2)...)
		d := k.receive(c, 1)[0]
		ctx, _ := c.Begin(d.Token)
		p := k.producer("t")
		blocked := k.goProduce(t.Context(), "t", events(1)...)
		other := k.join("g", "u")
		receiving := make(chan error, 1)
		go func() { receiving <- second(other.Receive(context.Background(), make([]event.Delivery, 1))) }()
		quiet := make(chan error, 1)
		go func() { quiet <- k.Quiet(context.Background()) }()
		closing := k.goClose(t.Context(), c)
		synctest.Wait()
		require.NoError(t, k.Close(t.Context()))
		require.ErrorIs(t, <-blocked, event.ErrClosed)
		require.ErrorIs(t, <-quiet, event.ErrClosed)
		require.NoError(t, <-closing)
		require.ErrorIs(t, <-receiving, event.ErrClosed)
		require.Equal(t, event.ErrClosed, context.Cause(ctx))

		bg := t.Context()
		for name, err := range map[string]error{
			"Produce":      p.Produce(bg, events(1)...),
			"Produce none": p.Produce(bg),
			"ProduceTo":    k.ProduceTo(bg, "g", "t", event.MarkReplayed, events(1)...),
			"Settle":       c.Settle(bg, []event.Settlement{event.Ack(d.Token)}),
			"Producer":     second(k.Producer(bg, "t")),
			"Consumer":     second(k.Consumer(bg, event.Subscription{Group: "g", Topics: []string{"t"}})),
			"Guarantees":   second(k.Guarantees(bg, "t", "g")),
			"Groups":       second(k.Groups(bg, "t")),
			"Lag":          second(k.Lag(bg, "t", "g")),
			"Quiet":        k.Quiet(bg),
			"Seek":         k.Seek(bg, "t", "g", event.Newest()),
			"EnsureTopic":  k.EnsureTopic(bg, event.TopicSpec{Name: "t"}),
			"EnsureGroup":  k.EnsureGroup(bg, "g", event.Start{}, "t"),
			"RemoveGroup":  k.RemoveGroup(bg, "g", "t"),
			"Redrive":      k.Redrive(bg, event.DeadLetter{}),
			"Discard":      k.Discard(bg, event.DeadLetter{}),
			"RedriveKey":   second(k.RedriveKey(bg, "t", "g", "k")),
		} {
			require.ErrorIs(t, err, event.ErrClosed, name)
		}
		for _, err := range k.DeadLetters(bg, "t", "g") {
			require.ErrorIs(t, err, event.ErrClosed)
		}
		_, err := c.Receive(bg, make([]event.Delivery, 1))
		require.ErrorIs(t, err, event.ErrClosed)
		_, ok := c.Begin(d.Token)
		require.False(t, ok)
		c.Hold(d.Token, 1)
		k.Crash(c)
		require.NoError(t, c.Close(bg))
		require.NoError(t, k.Close(bg), "closing again is nothing")
	})
}

func second[T any](_ T, err error) error { return err }
