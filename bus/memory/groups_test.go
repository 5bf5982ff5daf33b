package memory_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

func TestGroupsAreOwedWhatCameWhileTheyExisted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		k.texts("t", "nobody is there")
		a := k.join("a", "t")
		k.texts("t", "1")
		require.NoError(t, a.Close(t.Context()))
		k.texts("t", "2")
		require.NoError(t, k.EnsureGroup(t.Context(), "b", event.Start{}, "t"))
		k.texts("t", "3")
		a, b := k.join("a", "t"), k.join("b", "t")
		require.Equal(t, []string{"1", "2", "3"}, data(k.receive(a, 9)), "a group outlives its members")
		require.Equal(t, []string{"3"}, data(k.receive(b, 9)))
	})
}

// What one group has not settled is no history for another.
func TestHistoryIsTheRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Retain(3))
		k.join("slow", "t")
		k.texts("t", "1", "2")
		require.Equal(t, []string{"1", "2"}, data(k.receive(k.join("early", "t"), 9)))
		k.texts("t", "3", "4")
		time.Sleep(time.Second) // virtual
		now := time.Now()
		require.NoError(t, k.ProduceTo(t.Context(), "slow", "t", event.MarkReplayed, textEvent("for slow")))
		k.texts("t", "5")
		for name, c := range map[string]struct {
			from event.Start
			want []string
		}{
			"default": {event.Start{}, []string{"3", "4", "5"}},
			"oldest":  {event.Oldest(), []string{"3", "4", "5"}},
			"newest":  {event.Newest(), []string{}},
			"since":   {event.Since(now), []string{"5"}},
			"ever":    {event.Since(time.Time{}), []string{"3", "4", "5"}},
		} {
			m := k.subscribe(event.Subscription{Group: name, Topics: []string{"t"}, From: c.from})
			require.Equal(t, c.want, data(k.receive(m, 9)), name)
		}
		// A start that lies ahead is kept, too.
		future := k.subscribe(event.Subscription{Group: "future", Topics: []string{"t"}, From: event.Since(now.Add(time.Hour))})
		k.texts("t", "too early")
		time.Sleep(time.Hour) // virtual
		k.texts("t", "in time")
		require.Equal(t, []string{"in time"}, data(k.receive(future, 9)))
	})
}

func TestWithoutHistory(t *testing.T) {
	k := newKit(t)
	ctx := context.Background()
	for _, from := range []event.Start{event.Oldest(), event.Since(time.Now())} {
		_, err := k.Consumer(ctx, event.Subscription{Group: "g", Topics: []string{"t"}, From: from})
		require.ErrorIs(t, err, event.ErrNoHistory)
		require.ErrorIs(t, k.EnsureGroup(ctx, "g", from, "t"), event.ErrNoHistory)
		infos, err := k.Groups(ctx, "t")
		require.NoError(t, err)
		require.Empty(t, infos, "a refused group doesn't exist")
		require.NoError(t, k.EnsureGroup(ctx, "there", event.Start{}, "t"))
		require.ErrorIs(t, k.Seek(ctx, "t", "there", from), event.ErrNoHistory)
		require.NoError(t, k.RemoveGroup(ctx, "there", "t"))
	}
}

func TestBadSubscriptions(t *testing.T) {
	k := newKit(t)
	ctx := context.Background()
	for _, s := range []event.Subscription{
		{Group: "g"}, {Topics: []string{"t"}}, {Group: "g", Topics: []string{"t", ""}},
	} {
		_, err := k.Consumer(ctx, s)
		require.Error(t, err, "%+v", s)
	}
	require.Error(t, second(k.Producer(ctx, "")))
	require.Error(t, k.EnsureGroup(ctx, "g", event.Start{}))
	require.NoError(t, k.EnsureTopic(ctx, event.TopicSpec{Name: "t"}))
	ended, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, second(k.Consumer(ended, event.Subscription{Group: "g", Topics: []string{"t"}})), context.Canceled)
	require.ErrorIs(t, k.producer("t").Produce(ended, events(1)...), context.Canceled)
	c := k.join("g", "t", "t")
	require.ErrorIs(t, second(c.Receive(ended, make([]event.Delivery, 1))), context.Canceled)
	n, err := c.Receive(ctx, nil)
	require.Zero(t, n)
	require.NoError(t, err)
	k.texts("t", "1")
	n, err = c.Receive(ended, make([]event.Delivery, 1))
	require.Zero(t, n)
	require.ErrorIs(t, err, context.Canceled, "nothing is taken")
	require.Len(t, k.receive(c, 2), 1, "a topic named twice is one")
}

func TestCensus(t *testing.T) {
	k := newKit(t)
	ctx := context.Background()
	k.join("b", "t")
	k.join("b", "t", "u")
	require.NoError(t, k.EnsureGroup(ctx, "a", event.Start{}, "t"))
	k.subscribe(event.Subscription{Group: "private", Topics: []string{"t"}, Ephemeral: true})
	infos, err := k.Groups(ctx, "t")
	require.NoError(t, err)
	require.Equal(t, []event.GroupInfo{{Group: "a"}, {Group: "b", Members: 2}}, infos)
	infos, err = k.Groups(ctx, "nowhere")
	require.NoError(t, err)
	require.Empty(t, infos)
}

func TestRemoveGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Capacity(2))
		ctx := t.Context()
		c := k.join("g", "t", "u")
		require.ErrorContains(t, k.RemoveGroup(ctx, "g", "t"), `"g" has 1 members on topic "t"`)
		k.produce("t", events(2)...)
		k.settle(c, event.Dead(k.receive(c, 1)[0].Token, event.Cause{}))
		require.NoError(t, c.Close(ctx))
		k.produce("t", events(1)...)
		done := k.goProduce(ctx, "t", textEvent("in line"))
		require.True(t, pending(done))
		require.NoError(t, k.RemoveGroup(ctx, "g", "t", "unknown"))
		require.NoError(t, <-done)
		require.NoError(t, k.Quiet(ctx, "g"))
		require.Empty(t, k.letters("t", "g"), "its dead letters are gone too")
		require.ErrorIs(t, second(k.Lag(ctx, "t", "g")), event.ErrNotFound)
		require.NoError(t, second(k.Lag(ctx, "u", "g")), "its other topics stay")
		require.NoError(t, k.RemoveGroup(ctx, "g", "u"))
		require.NoError(t, k.RemoveGroup(ctx, "g", "u"))
		c = k.join("g", "t")
		require.Empty(t, k.receive(c, 9))
		k.texts("t", "new")
		require.Len(t, k.receive(c, 9), 1)
	})
}

func TestSeek(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Retain(10), memory.Capacity(1000))
		ctx := t.Context()
		c := k.join("g", "t")
		k.texts("t", "k:1", "k:2", "3", "4")
		ds := k.receive(c, 3)
		k.settle(c, event.Retry(ds[0].Token, time.Hour, 2), event.Ack(ds[2].Token), event.Dead(ds[1].Token, event.Cause{}))
		require.ErrorContains(t, k.Seek(ctx, "t", "g", event.Oldest()), `"g"`)
		require.NoError(t, c.Close(ctx))
		require.NoError(t, k.Seek(ctx, "t", "g", event.Oldest()))
		c = k.join("g", "t")
		ds = k.receive(c, 9)
		require.Equal(t, []string{"k:1", "k:2", "3", "4"}, data(ds))
		require.Equal(t, 1, ds[0].Attempt, "it begins anew")
		lag, err := k.Lag(ctx, "t", "g")
		require.NoError(t, err)
		require.Equal(t, 1, lag.Dead)
		require.NoError(t, c.Close(ctx))
		quiet := k.goQuiet("g")
		line := k.goProduce(ctx, "t", events(1000)...)
		require.True(t, pending(line))
		require.True(t, pending(quiet))
		require.NoError(t, k.Seek(ctx, "t", "g", event.Newest()))
		require.NoError(t, <-line)
		require.NoError(t, k.Seek(ctx, "t", "g", event.Newest()))
		require.NoError(t, <-quiet)
		require.ErrorIs(t, k.Seek(ctx, "t", "unknown", event.Newest()), event.ErrNotFound)
	})
}

func TestEphemeral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Retain(10), memory.Capacity(2), memory.DeadCapacity(1))
		ctx := t.Context()
		k.texts("t", "before")
		s := event.Subscription{Group: "replies", Topics: []string{"t"}, Ephemeral: true, From: event.Oldest()}
		a, b := k.subscribe(s), k.subscribe(s)
		k.texts("t", "1")
		ds := k.receive(a, 9)
		require.Equal(t, []string{"1"}, data(ds), "from newest")
		require.Equal(t, []string{"1"}, data(k.receive(b, 9)), "each gets everything")
		k.settle(a, event.Dead(ds[0].Token, event.Cause{}))
		k.texts("t", "2")
		k.settle(a, event.Dead(k.receive(a, 1)[0].Token, event.Cause{})) // no dead letters are kept
		require.NoError(t, b.Close(ctx))
		require.NoError(t, k.Quiet(ctx), "what a closed one had is gone")
		k.produce("t", events(2)...)
		done := k.goProduce(ctx, "t", textEvent("in line"))
		require.True(t, pending(done), "a slow one holds publishers up")
		require.NoError(t, a.Close(ctx))
		require.NoError(t, <-done)
	})
}

// With nobody else there, a publisher that waits for room and a waiter for quiet
// see to it themselves that a crashed ephemeral consumer is gone in time.
func TestCrashedEphemeral(t *testing.T) {
	for name, wait := range map[string]func(kit) error{
		"publisher": func(k kit) error { return k.producer("t").Produce(context.Background(), events(5)...) },
		"quiet":     func(k kit) error { return k.Quiet(context.Background()) },
	} {
		synctest.Test(t, func(t *testing.T) {
			k := newKit(t, memory.Capacity(2), memory.Lease(time.Minute))
			c := k.subscribe(event.Subscription{Topics: []string{"t", "u"}, Ephemeral: true})
			k.produce("t", events(2)...)
			ctx, _ := c.Begin(k.receive(c, 1)[0].Token)
			began := time.Now()
			done := make(chan error, 1)
			go func() { done <- wait(k) }()
			require.True(t, pending(done))
			k.Crash(c)
			require.NoError(t, <-done, name)
			require.Equal(t, time.Minute, time.Since(began).Round(time.Second))
			require.Equal(t, event.ErrLeaseLost, context.Cause(ctx))
		})
	}
}

func TestProduceTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Capacity(3), memory.Retain(5))
		ctx := t.Context()
		a, b := k.join("a", "t"), k.join("b", "t")
		k.texts("t", "k:1")
		require.NoError(t, k.ProduceTo(ctx, "a", "t", event.MarkReplayed, textEvent("k:2")))
		require.NoError(t, k.ProduceTo(ctx, "a", "t", event.MarkNone, textEvent("k:3")))
		ds := k.receive(a, 9)
		require.Equal(t, []string{"k:1", "k:2", "k:3"}, data(ds))
		require.False(t, ds[0].Replayed)
		require.True(t, ds[1].Replayed)
		require.False(t, ds[2].Replayed || ds[2].Redriven)
		require.Equal(t, []string{"k:1"}, data(k.receive(b, 9)))
		k.settle(a, event.Retry(ds[1].Token, 0, 1))
		require.True(t, k.receive(a, 9)[0].Replayed, "the mark stays")

		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		require.ErrorIs(t, k.ProduceTo(short, "a", "t", event.MarkReplayed, textEvent("x")), event.ErrFull)
		require.NoError(t, k.ProduceTo(ctx, "b", "t", event.MarkReplayed, textEvent("y")), "its own bound counts")
		require.ErrorIs(t, k.ProduceTo(ctx, "unknown", "t", event.MarkReplayed, textEvent("x")), event.ErrNotFound)

		done := make(chan error, 1)
		go func() { done <- k.ProduceTo(ctx, "a", "t", event.MarkReplayed, textEvent("in line")) }()
		require.True(t, pending(done))
		require.NoError(t, a.Close(ctx))
		require.NoError(t, k.RemoveGroup(ctx, "a", "t"))
		require.ErrorIs(t, <-done, event.ErrNotFound, "the group is gone")
	})
}

func TestInvalidEventsAreRefused(t *testing.T) {
	for _, opts := range [][]memory.Option{nil, {memory.Encode()}} {
		synctest.Test(t, func(t *testing.T) {
			k := newKit(t, opts...)
			c := k.join("g", "t")
			good := textEvent("k:1")
			bad := event.Attributes{ID: "bad", Type: "no source", Key: "k"}.Event()
			p := k.producer("t").(event.PositionProducer)
			at, err := p.ProduceAt(t.Context(), bad, good, bad, textEvent("k:2"))
			var some *event.ProduceError
			require.ErrorAs(t, err, &some)
			require.Len(t, some.Failed, 2)
			require.Equal(t, 0, some.Failed[0].Index)
			require.Equal(t, 2, some.Failed[1].Index)
			require.Equal(t, "bad", some.Failed[1].ID)
			require.True(t, some.Failed[0].Final())
			require.Equal(t, []event.Position{{}, {Offset: 1}, {}, {Offset: 2}}, at)
			require.Equal(t, []string{"k:1", "k:2"}, data(k.receive(c, 9)), "the others were accepted")
			_, err = p.ProduceAt(t.Context(), bad)
			require.ErrorAs(t, err, &some)
		})
	}
}

// Refused events and those that found no room are named together, in order.
func TestInvalidEventsWithoutRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Capacity(1))
		k.join("g", "t")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		bad := event.Attributes{ID: "bad", Type: "no source"}.Event()
		err := k.producer("t").Produce(ctx, textEvent("1"), textEvent("2"), bad, textEvent("3"))
		var some *event.ProduceError
		require.ErrorAs(t, err, &some)
		require.Len(t, some.Failed, 3)
		for i, f := range some.Failed {
			require.Equal(t, i+1, f.Index)
			require.Equal(t, i != 1, errors.Is(f.Err, event.ErrFull))
		}
	})
}

func TestEncode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plain, encoded := newKit(t), newKit(t, memory.Encode())
		e := event.Attributes{Source: "/s", Type: "t", Key: "k", Data: []byte{0xff, 0}, Extensions: []event.Extension{{Name: "tenant", Value: "ü"}}}.Event()
		for _, k := range []kit{plain, encoded} {
			c := k.join("g", "t")
			k.produce("t", e)
			got := k.receive(c, 1)[0].Event
			require.True(t, e.Equal(got))
			require.Equal(t, k == plain, e == got, "the same event, or one that made the round trip")
		}
	})
}
