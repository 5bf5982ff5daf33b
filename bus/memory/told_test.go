package memory_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// Who is told of an event is told in the goroutine that produces it, and has no delivery of it;
// what is to come later is delivered when it is due.
func TestOnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Capacity(2))
		var told []string
		tell := func(e event.Event) { told = append(told, string(e.Data())) } // the race detector sees who calls
		s := event.Subscription{Group: "inbox", Topics: []string{"t"}, Ephemeral: true, OnEvent: tell}
		c := k.subscribe(s)
		k.subscribe(s)
		for _, text := range []string{"1", "2", "3", "4"} { // it takes no room
			k.texts("t", text)
		}
		require.Equal(t, []string{"1", "1", "2", "2", "3", "3", "4", "4"}, told, "each subscription is told")
		k.produce("t", textEvent("later").WithNotBefore(time.Now().Add(time.Minute)), textEvent("now"))
		require.Equal(t, []string{"now", "now"}, told[8:])
		require.Equal(t, []string{"later"}, data(k.receiveFor(c, 2*time.Minute)))
		require.Len(t, told, 10)
		k.Crash(c)
		k.texts("t", "after")
		require.Equal(t, []string{"after"}, told[10:], "a crashed one isn't told")
	})
}

// A subscription that isn't private has deliveries, and so has each under Faults, which do
// what they do with these.
func TestOnEventIsLeftAlone(t *testing.T) {
	for name, c := range map[string]struct {
		s    event.Subscription
		opts []memory.Option
	}{
		"not ephemeral": {event.Subscription{Group: "g", Topics: []string{"t"}}, nil},
		"faults":        {event.Subscription{Topics: []string{"t"}, Ephemeral: true}, []memory.Option{memory.WithFaults(memory.Faults{Delay: time.Second})}},
	} {
		synctest.Test(t, func(t *testing.T) {
			k := newKit(t, c.opts...)
			var told atomic.Int32
			c.s.OnEvent = func(event.Event) { told.Add(1) }
			m := k.subscribe(c.s)
			k.texts("t", "1")
			require.Equal(t, []string{"1"}, data(k.receiveFor(m, time.Minute)), name)
			require.Zero(t, told.Load(), name)
		})
	}
}
