package event

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Lease is the context of one delivery, for engines to return from Begin. It is
// cheap: a context of the standard library is made only when somebody asks for
// Done. The zero Lease is ready for use; many can share an allocation. It must
// not be copied.
//
// Children made with context.WithCancel and the like end with it, keep its cause,
// and need no goroutine.
type Lease struct {
	mu     sync.Mutex
	cause  error // once it ended
	std    context.Context
	cancel context.CancelCauseFunc
	made   atomic.Bool // std is set; saves the lock
}

var _ context.Context = (*Lease)(nil)

// End ends the context with a cause; nil stands for context.Canceled. Later calls
// change nothing.
func (l *Lease) End(cause error) {
	if cause == nil {
		cause = context.Canceled
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != nil {
		return
	}
	l.cause = cause
	if l.cancel != nil {
		l.cancel(cause) // calls nobody back: children end with it, AfterFuncs get goroutines
	}
}

// Deadline reports that there is none.
func (l *Lease) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done returns a channel that is closed when the lease ends.
func (l *Lease) Done() <-chan struct{} { return l.context().Done() }

// Err returns context.Canceled once the lease ended.
func (l *Lease) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != nil {
		return context.Canceled
	}
	return nil
}

// Value lets the standard library find its own context, for causes and children.
func (l *Lease) Value(key any) any {
	if !l.made.Load() {
		if l.Err() == nil {
			return nil
		}
	}
	return l.context().Value(key)
}

func (l *Lease) context() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.std == nil {
		l.std, l.cancel = context.WithCancelCause(context.Background())
		if l.cause != nil {
			l.cancel(l.cause) // has no children yet, so nothing runs
		}
		l.made.Store(true)
	}
	return l.std
}
