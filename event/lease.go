package event

import (
	"context"
	"sync/atomic"
	"time"
)

// Lease is the context of one delivery, for engines to return from Begin. It is
// cheap: one word; a context of the standard library is made only when somebody
// asks for Done, or when it ends. The zero Lease is ready for use; many can share
// an allocation. It must not be copied.
//
// Children made with context.WithCancel and the like end with it, keep its cause,
// and need no goroutine.
type Lease struct {
	std atomic.Pointer[leaseContext]
}

type leaseContext struct {
	context.Context

	cancel context.CancelCauseFunc
}

var _ context.Context = (*Lease)(nil)

// End ends the context with a cause; nil stands for context.Canceled. Later calls
// change nothing.
func (l *Lease) End(cause error) { l.context().cancel(cause) }

// Deadline reports that there is none.
func (l *Lease) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done returns a channel that is closed when the lease ends.
func (l *Lease) Done() <-chan struct{} { return l.context().Done() }

// Err returns context.Canceled once the lease ended.
func (l *Lease) Err() error {
	if c := l.std.Load(); c != nil {
		return c.Err()
	}
	return nil
}

// Value lets the standard library find its own context, for causes and children.
func (l *Lease) Value(key any) any {
	if c := l.std.Load(); c != nil {
		return c.Value(key)
	}
	return nil
}

func (l *Lease) context() *leaseContext {
	if c := l.std.Load(); c != nil {
		return c
	}
	c := new(leaseContext)
	c.Context, c.cancel = context.WithCancelCause(context.Background())
	if l.std.CompareAndSwap(nil, c) {
		return c
	}
	return l.std.Load() // nobody holds the other
}
