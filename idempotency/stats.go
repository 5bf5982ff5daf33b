package idempotency

import (
	"fmt"
	"sync/atomic"
)

// Stats counts what a middleware has done.
type Stats struct {
	Claimed    int64 // runs
	Suppressed int64 // duplicates that were answered without a run
	Busy       int64 // deliveries that were postponed because somebody was at it
	Mismatched int64 // ids that were used for another payload
	Fenced     int64 // runs whose claim was another's when they ended
	Failed     int64 // calls that the store didn't answer
}

type stats struct {
	claimed, suppressed, busy, mismatched, fenced, failures atomic.Int64
	row                                                     atomic.Int64 // failures since the last answer
}

func (s *stats) answered() { s.row.Store(0) }

// failed counts a failure and returns how many there were in a row.
func (s *stats) failed() int64 {
	s.failures.Add(1)
	return s.row.Add(1)
}

// Stats returns what the middleware has done so far.
func (o *Once) Stats() Stats {
	s := &o.stats
	return Stats{
		s.claimed.Load(), s.suppressed.Load(), s.busy.Load(), s.mismatched.Load(), s.fenced.Load(), s.failures.Load(),
	}
}

// Ready returns nil unless the store didn't answer last time.
func (o *Once) Ready() error {
	if n := o.stats.row.Load(); n > 0 {
		return fmt.Errorf("idempotency: the store has not answered %d times in a row", n)
	}
	return nil
}
