package bustest

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// hunt is what the searchers of one Search share: schedules by number, of which each
// is tried by one of them. What they find does not depend on how many they are.
type hunt struct {
	first  int
	next   atomic.Int64
	end    atomic.Int64 // the one after the last that is worth a try
	traces []uint64     // of the schedules from first
	origin uint64       // the trace of the undisturbed run

	mu     sync.Mutex
	err    error // of the set-up
	failed bool  // schedule end-1 did
}

func newHunt(x *exploration) *hunt {
	first, end := x.numbers()
	h := &hunt{first: first, traces: make([]uint64, max(end-first, 0))}
	h.next.Store(int64(first))
	h.end.Store(int64(end))
	return h
}

// take returns the next schedule, while there is one.
func (h *hunt) take() (i int, left bool) {
	i = int(h.next.Add(1) - 1)
	return i, i < int(h.end.Load())
}

// stop makes schedule i the last: it failed, or can't be run.
func (h *hunt) stop(i int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i < int(h.end.Load()) {
		h.end.Store(int64(i + 1))
		h.err, h.failed = err, err == nil
	}
}

// report says what was tried.
func (h *hunt) report() Report {
	n := int(h.end.Load()) - h.first
	hash := mix(fnvOffset, h.origin)
	for _, trace := range h.traces[:n] {
		hash = mix(hash, trace)
	}
	return Report{Schedules: n, Trace: hash}
}

// search tries schedules until none is left, or one fails.
func (x *exploration) search(h *hunt) {
	if err := x.learn(); err != nil {
		h.stop(h.first-1, err)
		return
	}
	h.mu.Lock()
	h.origin = x.reference.trace
	h.mu.Unlock()
	for more := true; more; {
		x.inBubble(func() { more = x.searchOn(h) })
	}
}

// searchOn tries schedules until the bubble is old, and reports whether there may be more.
func (x *exploration) searchOn(h *hunt) (more bool) {
	for began := time.Now(); time.Since(began) < oldBubble; {
		i, left := h.take()
		if !left {
			return false
		}
		r, _, err := x.try(i)
		if err != nil {
			h.stop(i, err)
			return false
		}
		h.traces[i-h.first] = r.trace
		if r.differs(x.reference) != "" {
			h.stop(i, nil)
			return false
		}
		x.defaults = r.defaults[:0]
	}
	return true
}

// tell tries a schedule that failed again, makes it short and tells what happens.
func (x *exploration) tell(i int, trace uint64) (*Failure, error) {
	if err := x.learn(); err != nil {
		return nil, err
	}
	r, eager, err := x.try(i)
	if err != nil {
		return nil, err
	}
	if r.trace != trace || r.differs(x.reference) == "" {
		return nil, x.notAgain(i)
	}
	return x.shrink(i, plan{eager: eager, deviations: slices.Clone(r.did)})
}

func (x *exploration) notAgain(i int) error {
	return fmt.Errorf("schedule %d of seed %d fails, and not again: the application depends on "+
		"something else than what it is given, such as the order of a map", i, x.seed)
}
