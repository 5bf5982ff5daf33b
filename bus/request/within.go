package request

import (
	"context"
	"sync/atomic"
	"time"
)

// Within is a context that ends at a time at the latest. Unlike one of [context.WithDeadline] it
// costs next to nothing until somebody asks for Done, and few do who work for a request.
type Within struct {
	context.Context // that it ends with, too

	by   time.Time
	over atomic.Bool
	std  atomic.Pointer[standard]
}

// standard is a context of the standard library, once it is needed.
type standard struct {
	context.Context

	cancel context.CancelFunc
}

var _ context.Context = (*Within)(nil)

// NewWithin returns a context that ends with ctx, or at a time. End it by [Within.End].
func NewWithin(ctx context.Context, by time.Time) *Within {
	if end, ok := ctx.Deadline(); ok && end.Before(by) {
		by = end
	}
	return &Within{Context: ctx, by: by}
}

// End ends the context.
func (w *Within) End() {
	w.over.Store(true)
	if s := w.std.Load(); s != nil {
		s.cancel()
	}
}

// Deadline returns when the context ends.
func (w *Within) Deadline() (time.Time, bool) { return w.by, true }

// Done returns a channel that is closed when the context ends.
func (w *Within) Done() <-chan struct{} { return w.standard().Done() }

// Err returns why the context ended, or nil.
func (w *Within) Err() error {
	if s := w.std.Load(); s != nil {
		return s.Err()
	}
	if w.over.Load() || w.Context.Err() != nil || !time.Now().Before(w.by) {
		return w.standard().Err()
	}
	return nil
}

// Value lets the standard library find its own context, for causes and children.
func (w *Within) Value(key any) any {
	if s := w.std.Load(); s != nil {
		return s.Value(key)
	}
	return w.Context.Value(key)
}

func (w *Within) standard() *standard {
	if s := w.std.Load(); s != nil {
		return s
	}
	s := new(standard)
	s.Context, s.cancel = context.WithDeadline(w.Context, w.by)
	if !w.std.CompareAndSwap(nil, s) {
		s.cancel() // nobody holds it
		s = w.std.Load()
	}
	if w.over.Load() {
		s.cancel()
	}
	return s
}
