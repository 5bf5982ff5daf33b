package bustest

import (
	"testing"
	"testing/synctest"
	"time"
)

// The clock of a bubble starts in 2000 and is never set back, and in 2262 the runtime
// gives up. So a bubble is left when it is old, between two runs, and a run has an end.
const (
	mostYears  = 100
	longestRun = mostYears * 365 * 24 * time.Hour
	oldBubble  = longestRun
)

// inBubble calls f in a bubble: in that of the caller if there is one, or in a new one.
func (x *exploration) inBubble(f func()) {
	t := x.t
	if t == nil {
		f()
		return
	}
	synctest.Test(t, func(*testing.T) {
		x.t = nil
		defer func() { x.t = t }()
		defer x.pool.drain()
		f()
	})
}
