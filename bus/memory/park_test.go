package memory_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

var failed = event.Cause{Code: "c", Text: "failed", Handler: "h"}

// park produces events and parks the key of the first.
func (k kit) park(c event.Consumer, topic string, texts ...string) {
	k.t.Helper()
	k.texts(topic, texts...)
	k.settle(c, event.Park(k.receive(c, 1)[0].Token, failed))
}

func (k kit) requireLetters(topic, group string, texts ...string) []event.DeadLetter {
	k.t.Helper()
	ls := k.letters(topic, group)
	got := []string{}
	for _, l := range ls {
		got = append(got, string(l.Event.Data()))
	}
	require.Equal(k.t, append([]string{}, texts...), got)
	return ls
}

func (k kit) requireLag(topic, group string, want event.Lag) {
	k.t.Helper()
	got, err := k.Lag(k.t.Context(), topic, group)
	require.NoError(k.t, err)
	got.OldestAge = 0
	require.Equal(k.t, want, got)
}

func (k kit) redriveKey(topic, group, key string, want int) {
	k.t.Helper()
	n, err := k.RedriveKey(k.t.Context(), topic, group, key)
	require.NoError(k.t, err)
	require.Equal(k.t, want, n)
}

func TestPark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		c, other := k.join("g", "t"), k.join("h", "t")
		k.park(c, "t", "k:1", "j:1", "k:2", "3")
		k.texts("t", "k:3")
		k.requireLag("t", "g", event.Lag{Waiting: 2, Dead: 3}) // also when nobody receives
		require.Equal(t, []string{"j:1", "3"}, data(k.receive(c, 9)), "other keys go on")
		k.texts("t", "k:4")
		ls := k.requireLetters("t", "g", "k:1", "k:2", "k:3", "k:4")
		require.Equal(t, failed, ls[0].Cause)
		require.Equal(t, event.CodeParkedBehind, ls[3].Cause.Code)
		require.Equal(t, "waits behind "+ls[0].Event.ID()+" of the same key", ls[3].Cause.Text)
		require.Equal(t, "h", ls[3].Cause.Handler)
		require.Zero(t, ls[3].Cause.Attempts)
		require.Equal(t, int64(6), ls[3].Position.Offset)
		require.Len(t, k.receive(other, 9), 6, "of one group")

		k.redriveKey("t", "g", "k", 4)
		k.texts("t", "k:5")
		ds := k.receive(c, 9)
		require.Equal(t, []string{"k:1", "k:2", "k:3", "k:4", "k:5"}, data(ds))
		require.True(t, ds[3].Redriven)
		require.Equal(t, 1, ds[3].Attempt)
		require.False(t, ds[4].Redriven)
		k.redriveKey("t", "g", "k", 0)
	})
}

// Who waits for quiet or for room is woken by what is moved behind.
func TestParkWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Capacity(4))
		c := k.join("g", "t")
		k.texts("t", "k:1", "k:2", "k:3", "k:4")
		produced := k.goProduce(t.Context(), "t", textEvent("k:5"))
		require.True(t, pending(produced))
		k.settle(c, event.Park(k.receive(c, 1)[0].Token, failed))
		require.NoError(t, <-produced)
		require.Empty(t, k.receive(c, 9))
		k.requireLag("t", "g", event.Lag{Dead: 5})
		require.NoError(t, k.Quiet(t.Context()))

		k.texts("t", "k:6")
		require.NoError(t, k.Quiet(t.Context()), "also when nobody receives")
		got := make(chan []event.Delivery, 1)
		go func() { got <- k.receiveFor(c, time.Hour) }()
		synctest.Wait()
		k.texts("t", "k:7", "k:8", "k:9", "k:10", "k:11")
		k.requireLetters("t", "g", "k:1", "k:2", "k:3", "k:4", "k:5", "k:6", "k:7", "k:8", "k:9", "k:10", "k:11")
		k.texts("t", "j:1")
		require.Equal(t, []string{"j:1"}, data(<-got))
	})
}

func (k kit) receiveFor(c event.Consumer, d time.Duration) []event.Delivery {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	buf := make([]event.Delivery, 10)
	n, _ := c.Receive(ctx, buf)
	return buf[:n]
}

// What is in hand of a parked key and not begun is taken away; what is begun may end.
func TestParkTakesAway(t *testing.T) {
	for name, members := range map[string]int{"alone": 1, "with another": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKit(t)
				var lost []event.Token
				told := func(ts []event.Token) {
					lost = append(lost, ts...)
					_, err := k.Lag(t.Context(), "t", "g")
					require.NoError(t, err, "nothing is locked")
				}
				c := k.subscribe(event.Subscription{Group: "g", Topics: []string{"t"}, OnLost: told, InFlight: 6})
				for range members - 1 {
					k.join("g", "u")
				}
				k.texts("t", "k:1", "k:2", "k:3", "j:1", "k:4", "k:5", "k:6")
				ds := k.receive(c, 6)
				require.Equal(t, []string{"k:1", "k:2", "k:3", "j:1", "k:4", "k:5"}, data(ds))
				for _, i := range []int{0, 5} {
					_, _ = c.Begin(ds[i].Token)
				}
				runs, _ := c.Begin(ds[2].Token)
				waits, _ := c.Begin(ds[4].Token)
				c.Hold(ds[4].Token, 7)
				k.settle(c, event.Park(ds[0].Token, failed))
				require.Equal(t, []event.Token{ds[1].Token, ds[4].Token}, lost)
				_, ok := c.Begin(ds[1].Token)
				require.False(t, ok)
				requireRefused(t, c.Settle(t.Context(), []event.Settlement{event.Ack(ds[4].Token)}), event.ErrLeaseLost)
				require.ErrorIs(t, context.Cause(waits), event.ErrLeaseLost)
				k.requireLag("t", "g", event.Lag{InHand: 3, Dead: 4})
				ls := k.requireLetters("t", "g", "k:1", "k:2", "k:4", "k:6")
				require.Equal(t, 1, ls[2].Cause.Attempts)
				require.Equal(t, 7, ls[2].Cause.Failures)
				require.Zero(t, ls[1].Cause.Attempts, "it was not begun")

				require.NoError(t, runs.Err(), "what is begun may end")
				k.ack(c, ds[2])
				k.texts("t", "x", "y", "z", "7", "8")
				require.Len(t, k.receive(c, 9), 4, "there is room in the hand")
				c.Hold(ds[5].Token, 1) // it waits in vain
				require.Equal(t, ds[5].Token, lost[2])
				k.requireLetters("t", "g", "k:1", "k:2", "k:4", "k:6", "k:5")
				k.redriveKey("t", "g", "k", 5)
				k.ack(c, ds[3])
				require.Contains(t, data(k.receive(c, 9)), "k:1")
			})
		})
	}
}

// What is begun of a parked key and given back goes behind it; what dies is behind it.
func TestParkWhatWasBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		c := k.join("g", "t")
		k.texts("t", "k:1", "k:2", "k:3", "k:4", "k:5")
		ds := k.receive(c, 5)
		for _, d := range ds {
			_, ok := c.Begin(d.Token)
			require.True(t, ok)
		}
		k.settle(c, event.Retry(ds[4].Token, time.Hour, 2), event.Park(ds[0].Token, failed), event.Dead(ds[3].Token, event.Cause{Code: "own"}),
			event.Retry(ds[1].Token, time.Hour, 1))
		k.requireLag("t", "g", event.Lag{InHand: 1, Dead: 4})
		require.NoError(t, k.closeAtOnce(c))
		c = k.join("g", "t")
		require.Empty(t, k.receive(c, 9))
		ls := k.requireLetters("t", "g", "k:1", "k:4", "k:2", "k:5", "k:3")
		require.Equal(t, "own", ls[1].Cause.Code)
		require.Error(t, k.Redrive(t.Context(), ls[1]), "it is behind")
		require.NoError(t, k.Redrive(t.Context(), ls[0]))
		require.Equal(t, []string{"k:1", "k:2", "k:3", "k:4", "k:5"}, data(k.receive(c, 9)))
	})
}

func (k kit) closeAtOnce(c event.Consumer) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return c.Close(ctx)
}

func TestParkAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		c := k.join("g", "t")
		k.park(c, "t", "k:1", "k:2", "k:3", "k:4")
		k.requireLetters("t", "g", "k:1", "k:2", "k:3", "k:4")
		k.redriveKey("t", "g", "k", 4)
		k.texts("t", "k:5")
		ds := k.receive(c, 2)
		k.ack(c, ds[0])
		k.settle(c, event.Park(ds[1].Token, failed))
		ls := k.requireLetters("t", "g", "k:2", "k:3", "k:4", "k:5")
		require.Contains(t, ls[1].Cause.Text, ls[0].Event.ID())
		k.texts("t", "k:6")
		k.redriveKey("t", "g", "k", 5)
		require.Equal(t, []string{"k:2", "k:3", "k:4", "k:5", "k:6"}, data(k.receive(c, 9)))
	})
}

// The key is parked whoever comes and goes.
func TestParkSurvivesMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Retain(100), memory.Lease(time.Minute))
		c := k.join("g", "t")
		k.park(c, "t", "k:1")
		k.texts("t", "k:2", "j:1")
		k.ack(c, k.receive(c, 9)...)
		k.Crash(c)
		k.texts("t", "k:3", "j:2")
		c = k.join("g", "t")
		time.Sleep(time.Hour) // virtual
		require.Equal(t, []string{"j:2"}, data(k.receive(c, 9)))
		require.NoError(t, c.Close(t.Context()))
		k.texts("t", "k:4")
		c = k.join("g", "t")
		require.Equal(t, []string{"j:2"}, data(k.receive(c, 9)))
		require.NoError(t, k.closeAtOnce(c))
		k.requireLetters("t", "g", "k:1", "k:2", "k:3", "k:4")

		require.NoError(t, k.Seek(t.Context(), "t", "g", event.Newest()))
		k.texts("t", "k:5")
		c = k.join("g", "t")
		require.Empty(t, k.receive(c, 9))
		k.requireLetters("t", "g", "k:1", "k:2", "k:3", "k:4", "k:5")
		require.NoError(t, c.Close(t.Context()))

		require.NoError(t, k.EnsureGroup(t.Context(), "g", event.Newest(), "u"))
		require.NoError(t, k.RemoveGroup(t.Context(), "g", "t"))
		require.NoError(t, k.EnsureGroup(t.Context(), "g", event.Newest(), "other", "t"))
		c, _ = k.join("g", "t", "other", "u"), k.join("g", "t", "other", "u")
		k.texts("t", "k:6")
		k.texts("other", "k:7")
		require.Len(t, k.receive(c, 9), 2, "nothing is left of the group")
	})
}

// A key is parked on one topic, with what is in hand of it there.
func TestParkOnOneTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		c := k.join("g", "t", "u")
		k.texts("t", "k:1")
		k.texts("u", "k:2")
		ds := k.receive(c, 9)
		require.Len(t, ds, 2)
		k.settle(c, event.Park(ds[0].Token, failed))
		_, ok := c.Begin(ds[1].Token)
		require.True(t, ok)
	})
}

// What moves behind is told to who waits for quiet, whatever moved it.
func TestParkAndQuiet(t *testing.T) {
	for name, last := range map[string]func(k kit, c event.Consumer, ds []event.Delivery){
		"park": func(k kit, c event.Consumer, ds []event.Delivery) {
			k.settle(c, event.Park(ds[0].Token, failed))
		},
		"hold": func(k kit, c event.Consumer, ds []event.Delivery) {
			_, _ = c.Begin(ds[1].Token)
			k.settle(c, event.Park(ds[0].Token, failed))
			c.Hold(ds[1].Token, 1)
		},
		"retry": func(k kit, c event.Consumer, ds []event.Delivery) {
			_, _ = c.Begin(ds[1].Token)
			k.settle(c, event.Park(ds[0].Token, failed))
			k.settle(c, event.Retry(ds[1].Token, time.Hour, 1))
		},
		"close": func(k kit, c event.Consumer, ds []event.Delivery) {
			_, _ = c.Begin(ds[1].Token)
			k.settle(c, event.Park(ds[0].Token, failed))
			require.NoError(k.t, k.closeAtOnce(c))
		},
		"hold while closing": func(k kit, c event.Consumer, ds []event.Delivery) {
			_, _ = c.Begin(ds[1].Token)
			k.settle(c, event.Park(ds[0].Token, failed))
			k.texts("t", "x")
			other := k.receive(c, 1)[0]
			_, _ = c.Begin(other.Token)
			go func() { _ = c.Close(context.Background()) }()
			synctest.Wait()
			k.ack(c, other)
			c.Hold(ds[1].Token, 1)
		},
		"discard": func(k kit, c event.Consumer, ds []event.Delivery) {
			for range 4 {
				k.die(c, "t", "x")
			}
			k.settle(c, event.Park(ds[0].Token, failed))
			synctest.Wait()
			require.NoError(k.t, k.Discard(context.Background(), k.letters("t", "g")[0]))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKit(t, memory.DeadCapacity(5))
				c := k.join("g", "t")
				k.texts("t", "k:1", "k:2")
				ds := k.receive(c, 2)
				quiet := make(chan error, 1)
				go func() { quiet <- k.Quiet(context.Background()) }()
				require.True(t, pending(quiet))
				last(k, c, ds)
				synctest.Wait()
				require.Len(t, quiet, 1)
			})
		})
	}
}

// What is held while its member closes goes behind at once, and leaves its room.
func TestParkAndHoldWhileClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Capacity(3))
		c := k.join("g", "t")
		k.texts("t", "k:1", "k:2", "x")
		ds := k.receive(c, 3)
		for _, d := range ds {
			_, ok := c.Begin(d.Token)
			require.True(t, ok)
		}
		k.settle(c, event.Park(ds[0].Token, failed))
		k.texts("t", "y")
		closed := make(chan error, 1)
		go func() { closed <- c.Close(context.Background()) }()
		produced := k.goProduce(t.Context(), "t", textEvent("z"))
		require.True(t, pending(produced))
		require.True(t, pending(closed))
		c.Hold(ds[1].Token, 1)
		require.NoError(t, <-produced)
		require.True(t, pending(closed))
		k.requireLetters("t", "g", "k:1", "k:2")
		k.ack(c, ds[2])
		require.NoError(t, <-closed)
	})
}

// A long id doesn't go beyond the bounds of a cause.
func TestParkBehindALongID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		c := k.join("g", "t")
		k.produce("t", textEvent("k:1").WithID(strings.Repeat("i", 2*event.MaxCauseText)), textEvent("k:2"))
		k.settle(c, event.Park(k.receive(c, 1)[0].Token, failed))
		require.Len(t, k.requireLetters("t", "g", "k:1", "k:2")[1].Cause.Text, event.MaxCauseText)
	})
}

// What went over the bound and belongs behind a parked key doesn't keep its room.
func TestParkOverTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Capacity(1), memory.Reserve(0))
		g, h := k.join("g", "t"), k.join("h", "t")
		k.texts("t", "k:1")
		k.settle(g, event.Park(k.receive(g, 1)[0].Token, failed))
		k.ack(h, k.receive(h, 1)...)
		k.texts("t", "j:1")
		k.ack(g, k.receive(g, 1)...)
		d := k.receive(h, 1)[0]
		go func() { k.receiveFor(g, time.Hour) }()
		synctest.Wait()
		ctx, _ := h.Begin(d.Token)
		p := k.producer("t")
		require.NoError(t, p.Produce(ctx, textEvent("k:2")))
		require.Equal(t, 1, k.HighestOverBound())
		produced := k.goProduce(t.Context(), "t", textEvent("i:1"))
		require.True(t, pending(produced))
		k.ack(h, d)
		k.ack(h, k.receive(h, 1)...)
		require.False(t, pending(produced))
	})
}

func TestParkWithoutKeyOrStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		c := k.join("g", "t")
		k.park(c, "t", "1", "2")
		require.Equal(t, []string{"2"}, data(k.receive(c, 9)))
		k.requireLetters("t", "g", "1")
		e := k.subscribe(event.Subscription{Topics: []string{"t"}, Ephemeral: true})
		k.texts("t", "k:1", "k:2", "k:3")
		ds := k.receive(e, 2)
		k.settle(e, event.Park(ds[0].Token, failed))
		_, ok := e.Begin(ds[1].Token)
		require.True(t, ok, "no dead letters, nothing to wait behind")
		require.Equal(t, []string{"k:3"}, data(k.receive(e, 9)))
	})
}

// What has a NotBefore goes behind when it is due.
func TestParkAndDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		c := k.join("g", "t")
		k.produce("t", textEvent("k:0").WithNotBefore(time.Now().Add(time.Minute)))
		k.park(c, "t", "k:1")
		k.produce("t", textEvent("k:2").WithNotBefore(time.Now().Add(2*time.Minute)))
		k.requireLag("t", "g", event.Lag{Delayed: 2, Dead: 1})
		quiet := make(chan error, 1)
		go func() { quiet <- k.Quiet(context.Background()) }()
		time.Sleep(time.Minute) // virtual
		require.Empty(t, k.receive(c, 9))
		k.requireLag("t", "g", event.Lag{Delayed: 1, Dead: 2})
		time.Sleep(time.Minute) // virtual
		require.NoError(t, <-quiet)
		k.requireLetters("t", "g", "k:1", "k:0", "k:2")
		k.redriveKey("t", "g", "k", 3)
		require.Equal(t, []string{"k:0", "k:1", "k:2"}, data(k.receive(c, 9)), "in the order of acceptance")
	})
}

// What finds no room behind a parked key waits, and moves when there is some.
func TestParkInAFullStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.DeadCapacity(3), memory.Capacity(4))
		c := k.join("g", "t")
		k.die(c, "t", "1", "2", "3")
		k.texts("t", "k:1", "k:2")
		ds := k.receive(c, 2)
		requireRefused(t, c.Settle(t.Context(), []event.Settlement{event.Park(ds[0].Token, failed)}), event.ErrFull)
		_, ok := c.Begin(ds[1].Token)
		require.True(t, ok, "nothing is parked yet")
		c.Hold(ds[1].Token, 0)
		require.NoError(t, k.Discard(t.Context(), k.letters("t", "g")[0]))
		k.settle(c, event.Park(ds[0].Token, failed))
		_, ok = c.Begin(ds[1].Token)
		require.False(t, ok, "it is taken away, if there is room for it or not")
		k.texts("t", "k:3", "j:1")
		require.Equal(t, []string{"j:1"}, data(k.receive(c, 9)))
		k.requireLag("t", "g", event.Lag{Waiting: 2, InHand: 1, Dead: 3})
		produced := k.goProduce(t.Context(), "t", events(2)...)
		require.True(t, pending(produced), "they count")
		quiet := make(chan error, 1)
		go func() { quiet <- k.Quiet(context.Background()) }()
		require.True(t, pending(quiet))

		require.NoError(t, k.Discard(t.Context(), k.letters("t", "g")[0]))
		k.requireLetters("t", "g", "3", "k:1", "k:2")
		require.NoError(t, k.Redrive(t.Context(), k.letters("t", "g")[0]))
		k.requireLetters("t", "g", "k:1", "k:2", "k:3")
		require.NoError(t, <-produced)
		ds = k.receive(c, 9)
		require.Len(t, ds, 3)
		k.ack(c, ds...)
		require.Error(t, k.Discard(t.Context(), event.DeadLetter{}))
	})
}
