package memory_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// gaps tells of each delivery its offset, and the gap before it.
func gaps(ds []event.Delivery) string {
	s := ""
	for _, d := range ds {
		s += fmt.Sprintf("%s at %d behind %d, ", d.Event.Data(), d.Position.Offset, d.Gap)
	}
	return s
}

func (k kit) to(group string, texts ...string) {
	k.t.Helper()
	for _, s := range texts {
		require.NoError(k.t, k.ProduceTo(k.t.Context(), group, "t", event.MarkReplayed, textEvent(s)))
	}
}

func (k kit) end() int64 {
	k.t.Helper()
	ends, err := k.Ends(k.t.Context(), "t")
	require.NoError(k.t, err)
	if len(ends) == 0 {
		return 0
	}
	require.Len(k.t, ends, 1)
	return ends[0].Offset
}

// What other groups get alone is a gap, and so is all before the first event of a group.
func TestGapsAreWhatOthersGetAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Retain(2))
		k.join("a", "t")
		k.texts("t", "1", "2")
		k.to("a", "3", "4")
		k.texts("t", "5")
		k.to("a", "6")
		b := k.join("b", "t")
		newest := k.subscribe(event.Subscription{Group: "newest", Topics: []string{"t"}, From: event.Newest()})
		later := k.subscribe(event.Subscription{Group: "later", Topics: []string{"t"}, From: event.Since(time.Now().Add(time.Hour))})
		k.to("a", "7")
		k.to("b", "8")
		k.texts("t", "9")
		require.Equal(t, int64(9), k.end())
		k.to("a", "10")
		require.Equal(t, int64(9), k.end(), "what one group gets doesn't count")
		require.Equal(t, "1 at 1 behind 0, 2 at 2 behind 0, 3 at 3 behind 0, 4 at 4 behind 0, 5 at 5 behind 0, "+
			"6 at 6 behind 0, 7 at 7 behind 0, 9 at 9 behind 1, 10 at 10 behind 0, ", gaps(k.receive(k.join("a", "t"), 20)))
		require.Equal(t, "2 at 2 behind 1, 5 at 5 behind 2, 8 at 8 behind 2, 9 at 9 behind 0, ", gaps(k.receive(b, 20)))
		require.Equal(t, "9 at 9 behind 8, ", gaps(k.receive(newest, 20)))
		time.Sleep(time.Hour) // virtual
		k.texts("t", "11")
		require.Equal(t, "11 at 11 behind 10, ", gaps(k.receive(later, 20)), "what came too early for the group is a gap")
	})
}

// Who comes when nobody was there is told of all that was settled as of gaps.
func TestGapsOfWhatWasSettledBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		m := k.join("a", "t")
		k.texts("t", "1", "k:2", "3", "k:4", "5")
		ds := k.receive(m, 5)
		require.NoError(t, m.Settle(t.Context(), []event.Settlement{event.Ack(ds[0].Token), event.Ack(ds[2].Token), event.Ack(ds[4].Token)}))
		require.NoError(t, m.Close(t.Context()))
		k.texts("t", "6")
		m = k.join("a", "t")
		require.Equal(t, "k:2 at 2 behind 1, k:4 at 4 behind 1, 6 at 6 behind 1, ", gaps(k.receive(m, 9)))
	})
}

// A delayed event comes later, with its own gap; one that was cancelled before a member
// looked at it never comes.
func TestGapsOfDelayedEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		m := k.join("a", "t")
		k.join("b", "t")
		later := func(s string) event.Event { return textEvent(s).WithNotBefore(time.Now().Add(time.Hour)) }
		k.to("b", "1")
		k.produce("t", later("2"))
		k.to("b", "3")
		gone := later("4")
		k.produce("t", gone)
		k.texts("t", "k:5", "k:6")
		found, err := k.Cancel(t.Context(), "t", gone.ID())
		require.NoError(t, err)
		require.True(t, found)
		first := k.receive(m, 1)
		require.Equal(t, "k:5 at 5 behind 2, ", gaps(first))
		require.NoError(t, m.Settle(t.Context(), []event.Settlement{event.Release(first[0].Token)}))
		require.Equal(t, "k:5 at 5 behind 2, k:6 at 6 behind 0, ", gaps(k.receive(m, 9)), "the same when it comes again")
		time.Sleep(time.Hour) // virtual
		require.Equal(t, "2 at 2 behind 1, ", gaps(k.receive(m, 9)))
	})
}

func TestEndsOfAClosedChannel(t *testing.T) {
	k := newKit(t)
	require.Zero(t, k.end())
	groups, err := k.Groups(t.Context(), "t")
	require.NoError(t, err)
	require.Empty(t, groups)
	require.NoError(t, k.Close(t.Context()))
	_, err = k.Ends(t.Context(), "t")
	require.ErrorIs(t, err, event.ErrClosed)
}
