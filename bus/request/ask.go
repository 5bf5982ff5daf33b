package request

import (
	"context"
	"errors"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// defaultWait is how long an answer is waited for where the context has no deadline.
const defaultWait = 30 * time.Second

// ErrNoAnswer is returned when no answer came in time. What was asked for may have been
// done, or be done later.
var ErrNoAnswer = errors.New("request: no answer in time")

// Call is a request that is being made. It is used by one goroutine.
type Call struct {
	r       *Requests
	ctx     context.Context //nolint:containedctx // of the call, with its deadline
	cancel  context.CancelFunc
	address Address
}

// Open begins a call, and opens the inbox unless it is open. The call ends with ctx, or after
// 30 seconds if ctx has no deadline. End it by [Call.End].
func (r *Requests) Open(ctx context.Context) (*Call, error) {
	cancel := func() {}
	if _, ok := ctx.Deadline(); !ok {
		ctx, cancel = context.WithTimeout(ctx, defaultWait)
	}
	address, err := r.Address(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	return &Call{r: r, ctx: ctx, cancel: cancel, address: address}, nil
}

// End releases what the call has.
func (c *Call) End() { c.cancel() }

// Context is that of the call: it ends when nobody waits any more.
func (c *Call) Context() context.Context { return c.ctx }

// Options are what the request has to be prepared with, so that the answer finds its way.
func (c *Call) Options() []bus.PublishOption {
	by, _ := c.ctx.Deadline()
	return []bus.PublishOption{
		bus.Attribute(event.ExtReplyTo, c.address.String()),
		bus.Attribute(event.ExtReplyBy, by.UTC().Format(time.RFC3339Nano)),
	}
}

// Ask sends a request with send, and returns the first answer to it, or [ErrNoAnswer].
func (c *Call) Ask(request event.Event, send func(context.Context) error) (event.Event, error) {
	waits := make(chan event.Event, 1)
	if !c.r.await(request.ID(), waits) {
		return event.Event{}, errors.New("request: an answer to this id is waited for already")
	}
	defer c.r.stopWaiting(request.ID(), waits)
	if err := send(c.ctx); err != nil {
		return event.Event{}, err
	}
	select {
	case answer, ok := <-waits:
		if !ok {
			return event.Event{}, event.ErrClosed
		}
		return answer, nil
	case <-c.ctx.Done():
		return event.Event{}, errors.Join(ErrNoAnswer, context.Cause(c.ctx))
	}
}

func (r *Requests) await(id string, waits chan event.Event) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting[id] != nil {
		return false
	}
	r.waiting[id] = waits
	return true
}

func (r *Requests) stopWaiting(id string, waits chan event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting[id] == waits {
		delete(r.waiting, id)
	}
}
