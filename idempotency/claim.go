package idempotency

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/leat-go/leat/event"
)

// holding is a claim that is ours while something runs: it is extended before it ends,
// and the run's context ends when it is lost.
type holding struct {
	store Store
	key   Key
	fence uint64
	lease time.Duration
	tell  func(error)

	ctx    context.Context // of the run
	cancel context.CancelCauseFunc

	mu    sync.Mutex
	timer *time.Timer
	until time.Time // end of the lease, as we know it
	done  bool
}

// hold keeps a claim until its end is called.
func hold(ctx context.Context, store Store, key Key, g Grant, lease time.Duration, asked time.Time, tell func(error)) *holding {
	h := &holding{store: store, key: key, fence: g.Fence, lease: lease, tell: tell, until: asked.Add(lease)}
	h.ctx, h.cancel = context.WithCancelCause(context.WithValue(ctx, fenceKey{}, g.Fence))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.timer = time.AfterFunc(time.Until(asked.Add(lease/3)), h.beat) // at once where the answer took longer
	return h
}

// beat extends the lease. When that fails it is tried again until the lease is over, which
// ends the run also while there is no answer: not every client heeds its context.
func (h *holding) beat() {
	h.mu.Lock()
	until := h.until
	h.mu.Unlock()
	over := time.AfterFunc(time.Until(until), func() { h.cancel(event.ErrLeaseLost) })
	defer over.Stop()
	asked := time.Now()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.ctx), h.lease/3)
	err := h.store.Extend(ctx, h.key, h.fence, h.lease)
	cancel()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.done {
		return
	}
	next := h.lease / 3
	switch {
	case err == nil:
		h.until = asked.Add(h.lease)
	case errors.Is(err, ErrFenced):
		h.cancel(event.ErrLeaseLost)
		return
	default:
		h.tell(err)
		next = h.lease / 10
	}
	if left := time.Until(h.until); left <= 0 {
		h.cancel(event.ErrLeaseLost)
		return
	} else if left < next {
		next = left
	}
	h.timer.Reset(next)
}

// end lets the claim not be extended any more.
func (h *holding) end() {
	h.mu.Lock()
	h.done = true
	h.timer.Stop()
	h.mu.Unlock()
	h.cancel(context.Canceled)
}

type fenceKey struct{}

// Fence returns the number of the claim under which ctx runs, for what the handler
// calls: it is higher than that of any claim of the same key before, so that whoever
// remembers the highest can refuse one who was overtaken. 0: there is no claim.
func Fence(ctx context.Context) uint64 {
	n, _ := ctx.Value(fenceKey{}).(uint64)
	return n
}
