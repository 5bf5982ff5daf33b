package request

import (
	"context"
	"errors"
	"time"

	"github.com/leat-go/leat/event"
)

// defaultWait is how long an answer is waited for where the context has no deadline.
const defaultWait = 30 * time.Second

// ErrNoAnswer is returned when no answer came in time. What was asked for may have been
// done, or be done later.
var ErrNoAnswer = errors.New("request: no answer in time")

// Call is a request that is being made. It is used by one goroutine.
type Call struct {
	r      *Requests
	within Within
	in     *inbox
	by     string             // until when somebody waits
	has    [2]event.Extension // what the request has to have
}

// Open begins a call, and opens the inbox unless it is open. The call ends with ctx, or after
// 30 seconds if ctx has no deadline. End it by [Call.End].
func (r *Requests) Open(ctx context.Context) (*Call, error) {
	c := &Call{r: r}
	c.within.Context = ctx //nolint:fatcontext // of the call
	var ok bool
	if c.within.by, ok = ctx.Deadline(); ok {
		c.by = written(c.within.by)
	} else {
		c.within.by, c.by = r.defaultBy()
	}
	var err error
	if c.in, err = r.ready(&c.within); err != nil { //nolint:contextcheck // it is ctx, with a deadline
		c.End()
		return nil, err
	}
	return c, nil
}

// End releases what the call has.
func (c *Call) End() { c.within.End() }

// Context is that of the call: it ends when nobody waits any more.
func (c *Call) Context() context.Context { return &c.within }

// Attributes are what the request has to have, so that the answer finds its way.
func (c *Call) Attributes() []event.Extension {
	c.has = [2]event.Extension{
		{Name: event.ExtReplyBy, Value: c.by},
		{Name: event.ExtReplyTo, Value: c.in.to},
	}
	return c.has[:]
}

// Ask sends a request with send, and returns the first answer to it, or [ErrNoAnswer]. Where it is
// known who could answer, and none of them is there any more, it returns [ErrNoHandler].
func (c *Call) Ask(request event.Event, from Repliers, send func(context.Context) error) (event.Event, error) {
	w, err := c.r.awaitFirst(c.in, from, request.ID())
	if err != nil {
		return event.Event{}, err
	}
	defer c.r.stopWaiting(w)
	if err := send(&c.within); err != nil {
		return event.Event{}, err
	}
	w.timer.Reset(time.Until(c.within.by))
	done := c.within.Context.Done()
	if done == nil { // to select costs more
		o := <-w.first
		return o.answer, o.err
	}
	select {
	case o := <-w.first:
		return o.answer, o.err
	case <-done:
		return event.Event{}, errors.Join(ErrNoAnswer, context.Cause(c.within.Context))
	}
}
