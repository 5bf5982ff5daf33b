package query

import (
	"context"
	"errors"
	"time"

	"github.com/leat-go/leat/bus/request"
	"github.com/leat-go/leat/event"
)

// answering is the middleware that answers. It is outside of those of the handler, so that
// what they say is an answer too.
type answering struct{ *queries }

var _ event.Middleware = answering{}

// After what time a query comes again whose answer couldn't be sent: each time after twice as
// long, since what it says of who waits, and for how long, comes from outside.
const (
	answerFirst = 100 * time.Millisecond
	answerMax   = 30 * time.Second
)

func answerPause(ctx context.Context) time.Duration {
	info, _ := event.FromContext(ctx)
	return min(answerFirst<<min(max(info.Attempt-1, 0), 10), answerMax)
}

// calledKey is where a call in the handler's own process keeps a *called.
type calledKey struct{}

// called is what became of a call.
type called struct{ err error } // as the handler returned it

// Wrap implements [event.Middleware].
func (a answering) Wrap(next event.Handler) event.Handler {
	return func(ctx context.Context, e event.Event) error { //nolint:contextcheck // a handler's is what it becomes
		if c, ok := ctx.Value(calledKey{}).(*called); ok {
			if c.err = next(ctx, e); c.err == nil || again(ctx, c.err) {
				return c.err
			}
			return event.Reject(c.err) // it is an answer here, too
		}
		wanted, ok := a.requests.WantedBy(e)
		by, bounded := wanted.By()
		if !ok || !bounded || !time.Now().Before(by) {
			a.expired.Add(1)
			return nil
		}
		limited := request.NewWithin(ctx, by)
		err := next(limited, e)
		over := limited.Err() != nil
		limited.End()
		if again(ctx, err) {
			return err
		}
		if over { // the handler's time; that of who waits may not be
			longer := request.NewWithin(context.WithoutCancel(ctx), by)
			defer longer.End()
			ctx = longer
		}
		return a.answer(ctx, wanted, err)
	}
}

// answer sends what the handler said.
func (a answering) answer(ctx context.Context, wanted request.Wanted, err error) error {
	var said request.Answer
	if err != nil {
		said.Err = a.answerTo(err)
	} else {
		said.Result, _ = event.ResultOf(ctx)
	}
	if failed := a.requests.AnswerTo(ctx, wanted, said); failed != nil {
		return event.Postpone(answerPause(ctx), failed)
	}
	if err != nil {
		return event.Reject(err) // answered: it neither comes again nor is kept
	}
	return nil
}

// again reports whether the query comes again, and isn't answered now.
func again(ctx context.Context, err error) bool {
	if err == nil {
		return false
	}
	if cause := context.Cause(ctx); errors.Is(cause, event.ErrClosed) || errors.Is(cause, event.ErrLeaseLost) {
		return true // somebody else answers
	}
	return event.VerdictOf(err).Kind == event.Postponed
}
