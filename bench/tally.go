package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/leat-go/leat/event"
)

// patience is how long a run may take after everything was sent.
const patience = time.Minute

var errAgain = errors.New("bench: not at the first try")

// tally counts what handlers have done in a run.
type tally struct {
	left   atomic.Int64
	done   chan struct{}
	failed []bool // by number: failed once; nil: no handler fails
}

func newTally() *tally { return &tally{done: make(chan struct{}, 1)} }

// expect begins a run that ends after n events; retry lets each fail once.
func (t *tally) expect(n int, retry bool) {
	t.left.Store(int64(n))
	t.failed = nil
	if retry {
		t.failed = make([]bool, n)
	}
}

// event is the handler of raw events.
func (t *tally) event(_ context.Context, e event.Event) error { return t.handle(e.Data()) }

// handle is what all handlers of raw events do with the data.
func (t *tally) handle(data []byte) error {
	if t.failed != nil {
		if i := number(data); !t.failed[i] {
			t.failed[i] = true
			return errAgain
		}
	}
	t.one()
	return nil
}

func (t *tally) one() {
	if t.left.Add(-1) == 0 {
		t.done <- struct{}{}
	}
}

// wait waits for the last event of the run.
func (t *tally) wait() error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-t.done:
	case <-timer.C:
	}
	switch left := t.left.Load(); {
	case left > 0:
		return fmt.Errorf("bench: %d events were not handled", left)
	case left < 0:
		return fmt.Errorf("bench: %d events too many were handled", -left)
	}
	return nil
}
