package bus

import (
	"context"
	"sync"
)

// together is the context of a batch: it ends with the context of any of its
// deliveries, and with its cause. What that needs is made only when somebody asks.
type together struct {
	context.Context // the group's

	b      *Bus
	mu     sync.Mutex
	parts  []context.Context // of the deliveries
	merged context.Context
	cancel context.CancelCauseFunc
	stops  []func() bool
	over   bool // the handler returned
}

// Done returns a channel that is closed when the first of them ends.
func (t *together) Done() <-chan struct{} { return t.context().Done() }

// Err returns why the context ended, or nil.
func (t *together) Err() error { return t.context().Err() }

type togetherKey struct{}

// togetherOf returns the context of the batch that ctx belongs to, or nil.
func togetherOf(ctx context.Context) *together {
	t, _ := ctx.Value(togetherKey{}).(*together)
	return t
}

// runsBatch reports whether ctx is the context of a batch handler of this Bus that runs.
func (b *Bus) runsBatch(ctx context.Context) bool {
	t := togetherOf(ctx)
	return t != nil && t.b == b && !t.isOver()
}

// isOver reports whether the handler returned.
func (t *together) isOver() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.over
}

// Value returns the context itself under its key, and lets the standard library find
// the merged context once it is made.
func (t *together) Value(key any) any {
	if key == (togetherKey{}) {
		return t
	}
	t.mu.Lock()
	merged := t.merged
	t.mu.Unlock()
	if merged != nil {
		return merged.Value(key)
	}
	return t.Context.Value(key)
}

func (t *together) context() context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.merged != nil {
		return t.merged
	}
	t.merged, t.cancel = context.WithCancelCause(t.Context)
	if t.over {
		t.cancel(context.Canceled)
		return t.merged
	}
	t.stops = make([]func() bool, len(t.parts))
	for i, part := range t.parts {
		if part.Err() != nil {
			t.cancel(context.Cause(part))
			return t.merged
		}
		t.stops[i] = context.AfterFunc(part, func() { t.cancel(context.Cause(part)) })
	}
	return t.merged
}

// end ends the context: the handler returned. It returns the cause when a delivery's
// end came before.
func (t *together) end() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	var cause error
	for _, part := range t.parts {
		if part.Err() != nil {
			cause = context.Cause(part)
			break
		}
	}
	if t.merged == nil {
		return cause
	}
	for _, stop := range t.stops {
		if stop != nil {
			stop()
		}
	}
	t.cancel(context.Canceled)
	return cause
}
