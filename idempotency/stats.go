package idempotency

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/leat-go/leat/event"
)

// Stats counts what a middleware has done.
type Stats struct {
	Claimed    int64 // runs
	Suppressed int64 // duplicates that were answered without a run
	Busy       int64 // deliveries that were postponed because somebody was at it
	Mismatched int64 // ids that were used for another payload
	Fenced     int64 // runs whose claim was another's when they ended
	Failed     int64 // calls that the store didn't answer

	Interrupted int64 // transactions that the database ended: they are begun again
}

type stats struct {
	claimed, suppressed, busy, mismatched, fenced, failures, interrupted atomic.Int64
	interruptions                                                        atomic.Int64 // since the last success
	row                                                                  atomic.Int64 // failures since the last answer
}

func (s *stats) answered() { s.row.Store(0) }

// failed counts a failure and returns how many there were in a row.
func (s *stats) failed() int64 {
	s.failures.Add(1)
	return s.row.Add(1)
}

// away postpones what the store didn't answer for.
func (s *stats) away(err error) error {
	n := s.failed()
	return event.Postpone(min(100*time.Millisecond<<min(n-1, 7), 10*time.Second), fmt.Errorf("idempotency: the store: %w", err))
}

func (s *stats) read() Stats {
	return Stats{
		s.claimed.Load(), s.suppressed.Load(), s.busy.Load(), s.mismatched.Load(), s.fenced.Load(), s.failures.Load(),
		s.interrupted.Load(),
	}
}

func (s *stats) ready() error {
	if n := s.row.Load(); n > 0 {
		return fmt.Errorf("idempotency: the store has not answered %d times in a row", n)
	}
	return nil
}
