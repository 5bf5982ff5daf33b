package request

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
)

// Those who waited are used again, and no more than 1,024 of them are kept for that.
func TestFreeWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := Of(bus.New(bus.Config{App: "client", Channel: memory.New()}))
		in := new(inbox)
		for range 2 {
			var all []*waiter
			seen := make(map[*waiter]bool)
			for n := range 1100 {
				w, err := r.awaitFirst(in, Repliers{}, fmt.Sprint(n))
				require.NoError(t, err)
				require.False(t, seen[w], "two wait with one")
				seen[w] = true
				all = append(all, w)
				w.timer.Reset(defaultWait)
			}
			require.Len(t, r.waiting, 1100)
			for _, w := range all {
				r.stopWaiting(w)
			}
			require.Empty(t, r.waiting)
			require.Len(t, r.free, 1024)
		}
	})
}
