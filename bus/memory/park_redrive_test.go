package memory_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
)

// A parked key is redriven by its front, and not by those behind.
func TestRedriveTheFront(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		c := k.join("g", "t")
		k.die(c, "t", "k:0")
		k.park(c, "t", "k:1", "k:2", "k:3")
		ls := k.requireLetters("t", "g", "k:0", "k:1", "k:2", "k:3")
		for _, l := range []event.DeadLetter{ls[0], ls[2]} {
			err := k.Redrive(t.Context(), l)
			require.ErrorContains(t, err, "parked behind "+ls[1].Event.ID())
		}
		require.Error(t, k.Redrive(t.Context(), ls[1], ls[1].Event), "no good repair")
		k.requireLetters("t", "g", "k:0", "k:1", "k:2", "k:3")
		repaired := textEvent("repaired").WithKey("k")
		require.NoError(t, k.Redrive(t.Context(), ls[1], repaired))
		k.texts("t", "k:4")
		ds := k.receive(c, 9)
		require.Equal(t, []string{"repaired", "k:2", "k:3", "k:4"}, data(ds))
		require.True(t, ds[0].Redriven)
		require.Equal(t, ls[1].Event.ID(), ds[0].Event.Extension(event.ExtCausationID))
		require.NoError(t, k.Redrive(t.Context(), k.requireLetters("t", "g", "k:0")[0]))
	})
}

// A repaired event of another key that is parked goes behind that.
func TestRedriveIntoAnotherParkedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		c := k.join("g", "t")
		k.park(c, "t", "k:1")
		k.park(c, "t", "j:1", "j:2")
		ls := k.requireLetters("t", "g", "k:1", "j:1", "j:2")
		require.NoError(t, k.Redrive(t.Context(), ls[1], textEvent("repaired").WithKey("k")))
		require.Equal(t, []string{"j:2"}, data(k.receive(c, 9)))
		k.requireLetters("t", "g", "k:1", "repaired")
	})
}

func TestDiscardOfParkedOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		c := k.join("g", "t")
		k.park(c, "t", "k:1", "k:2", "k:3", "k:4")
		ls := k.requireLetters("t", "g", "k:1", "k:2", "k:3", "k:4")
		require.NoError(t, k.Discard(t.Context(), ls[0]))
		require.NoError(t, k.Discard(t.Context(), ls[2]))
		k.texts("t", "k:5")
		require.Empty(t, k.receive(c, 9), "the next is in front")
		ls = k.requireLetters("t", "g", "k:2", "k:4", "k:5")
		require.Contains(t, ls[2].Cause.Text, ls[0].Event.ID())
		require.Error(t, k.Redrive(t.Context(), ls[1]))
		for _, l := range ls {
			require.NoError(t, k.Discard(t.Context(), l))
		}
		k.texts("t", "k:6")
		require.Equal(t, []string{"k:6"}, data(k.receive(c, 9)), "the last lets the key go on")
	})
}
