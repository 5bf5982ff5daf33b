package memory_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// die produces events and lets them die in a group.
func (k kit) die(c event.Consumer, topic string, texts ...string) {
	k.t.Helper()
	k.texts(topic, texts...)
	for _, d := range k.receive(c, len(texts)) {
		k.settle(c, event.Dead(d.Token, event.Cause{Code: "c", Text: string(d.Event.Data())}))
	}
}

func (k kit) letters(topic, group string) []event.DeadLetter {
	k.t.Helper()
	var ls []event.DeadLetter
	for l, err := range k.DeadLetters(k.t.Context(), topic, group) {
		require.NoError(k.t, err)
		ls = append(ls, l)
	}
	return ls
}

func TestDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		a, b := k.join("a", "t"), k.join("b", "t")
		k.texts("t", "1", "2")
		ds := k.receive(a, 2)
		time.Sleep(time.Hour) // virtual
		cause := event.Cause{Code: "c", Text: strings.Repeat("x", event.MaxCauseText+1), Handler: "h", Attempts: 3}
		k.settle(a, event.Dead(ds[0].Token, cause), event.Settlement{Token: ds[1].Token, Kind: event.SettleDead})
		ls := k.letters("t", "a")
		require.Len(t, ls, 2)
		l := ls[0]
		require.Equal(t, ds[0].Event, l.Event)
		require.Equal(t, cause.Bounded(), l.Cause)
		require.Equal(t, "t", l.Topic)
		require.Equal(t, "a", l.Group)
		require.Equal(t, ds[0].Position, l.Position)
		require.Equal(t, time.Now().UnixNano(), l.FailedAt.UnixNano())
		require.Empty(t, k.letters("t", "b"), "dead letters belong to one group")
		require.Len(t, k.receive(b, 9), 2)

		require.NoError(t, k.Discard(t.Context(), ls[0]))
		require.ErrorIs(t, k.Discard(t.Context(), ls[0]), event.ErrNotFound)
		require.ErrorIs(t, k.Discard(t.Context(), event.DeadLetter{Topic: "t", Group: "a", Handle: "x"}), event.ErrNotFound)
		require.Len(t, k.letters("t", "a"), 1)
	})
}

func TestFullDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.DeadCapacity(1))
		c, other := k.join("g", "t", "u"), k.join("g", "t", "u")
		k.die(c, "t", "1")
		k.texts("t", "2")
		d := k.receive(c, 1)[0]
		_, _ = c.Begin(d.Token)
		requireRefused(t, c.Settle(t.Context(), []event.Settlement{event.Dead(d.Token, event.Cause{})}), event.ErrFull)
		_, ok := c.Begin(d.Token)
		require.True(t, ok, "it stays in hand")
		k.die(c, "u", "another topic has room")
		requireRefused(t, c.Settle(t.Context(), []event.Settlement{event.Dead(d.Token, event.Cause{})}), event.ErrFull)
		require.NoError(t, c.Close(t.Context()), "nobody runs it")
		ds := k.receive(other, 9)
		require.Equal(t, []string{"2"}, data(ds), "nothing is dropped")
		require.NoError(t, k.Discard(t.Context(), k.letters("t", "g")[0]))
		k.settle(other, event.Dead(ds[0].Token, event.Cause{}))
	})
}

func TestRedrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Capacity(2))
		a, b := k.join("a", "t"), k.join("b", "t")
		k.die(a, "t", "k:1")
		k.ack(b, k.receive(b, 1)...)
		k.texts("t", "k:2", "j:1")
		l := k.letters("t", "a")[0]
		require.NoError(t, k.Redrive(t.Context(), l), "it needs no room")
		ds := k.receive(a, 9)
		require.Equal(t, []string{"k:1", "k:2", "j:1"}, data(ds), "ahead of what is newer")
		require.True(t, ds[0].Redriven)
		require.False(t, ds[1].Redriven)
		require.Equal(t, 1, ds[0].Attempt)
		require.Zero(t, ds[0].Failures)
		require.Equal(t, l.Position, ds[0].Position)
		require.Equal(t, []string{"k:2", "j:1"}, data(k.receive(b, 9)), "that group only")
		require.ErrorIs(t, k.Redrive(t.Context(), l), event.ErrNotFound)
	})
}

func TestRedriveOfARepairedEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		c := k.join("g", "t")
		k.die(c, "t", "k:1")
		l := k.letters("t", "g")[0]
		ctx := t.Context()
		require.ErrorContains(t, k.Redrive(ctx, l, l.Event.WithData("", nil)), "has the id")
		require.ErrorContains(t, k.Redrive(ctx, l, events(2)...), "one repaired event")
		require.Error(t, k.Redrive(ctx, l, l.Event.WithID("new").WithSource("")))
		require.Len(t, k.letters("t", "g"), 1, "a refused repair changes nothing")
		repaired := l.Event.WithID("new").WithExtension(event.ExtCausationID, "of the failed one")
		require.NoError(t, k.Redrive(ctx, l, repaired))
		d := k.receive(c, 1)[0]
		require.Equal(t, "new", d.Event.ID())
		require.Equal(t, l.Event.ID(), d.Event.Extension(event.ExtCausationID))
		require.True(t, d.Redriven)
		require.Empty(t, k.letters("t", "g"))

		k.die(c, "t", "2")
		l = k.letters("t", "g")[0]
		require.NoError(t, k.Redrive(ctx, l, l.Event.WithID("delayed").WithNotBefore(time.Now().Add(time.Hour))))
		require.Empty(t, k.receive(c, 1))
		time.Sleep(time.Hour) // virtual
		require.Len(t, k.receive(c, 1), 1)
	})
}

// What is redriven counts for those who come after.
func TestRedriveAndTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Capacity(2))
		c := k.join("g", "t")
		k.die(c, "t", "1", "2")
		k.texts("t", "3")
		for _, l := range k.letters("t", "g") {
			require.NoError(t, k.Redrive(t.Context(), l))
		}
		require.True(t, pending(k.goProduce(t.Context(), "t", textEvent("4"))))
	})
}

func TestRedriveKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		c := k.join("g", "t")
		k.die(c, "t", "k:1", "j:1", "k:2", "3")
		k.texts("t", "k:3")
		n, err := k.RedriveKey(t.Context(), "t", "g", "k")
		require.NoError(t, err)
		require.Equal(t, 2, n)
		require.Equal(t, []string{"k:1", "k:2", "k:3"}, data(k.receive(c, 9)))
		require.Len(t, k.letters("t", "g"), 2)
		require.ErrorIs(t, second(k.RedriveKey(t.Context(), "t", "unknown", "k")), event.ErrNotFound)
	})
}

// The loop over dead letters may change them, and end early.
func TestDeadLettersWhileTheyChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		c := k.join("g", "t")
		k.die(c, "t", "1", "2", "3")
		n := 0
		for l, err := range k.DeadLetters(t.Context(), "t", "g") {
			require.NoError(t, err)
			require.NoError(t, k.Redrive(t.Context(), l))
			if n++; n == 2 {
				break
			}
		}
		require.Len(t, k.letters("t", "g"), 1)
		require.Equal(t, []string{"1", "2"}, data(k.receive(c, 9)))
	})
}
