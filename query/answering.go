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

// answerPause is after what time a query comes again whose answer couldn't be sent.
const answerPause = 100 * time.Millisecond

// calledKey marks the context of a handler that is called in its own process.
type calledKey struct{}

// Wrap implements [event.Middleware].
func (a answering) Wrap(next event.Handler) event.Handler {
	return func(ctx context.Context, e event.Event) error {
		if ctx.Value(calledKey{}) != nil {
			return next(ctx, e)
		}
		wanted, ok := request.WantedBy(e)
		by, bounded := wanted.By()
		if !ok || !bounded || !time.Now().Before(by) {
			a.expired.Add(1)
			return nil
		}
		limited := request.NewWithin(ctx, by)
		err := next(limited, e)
		limited.End()
		if again(ctx, err) {
			return err
		}
		return a.answer(ctx, wanted, err)
	}
}

// again reports whether the query comes again, and isn't answered now.
func again(ctx context.Context, err error) bool {
	if err == nil {
		return false
	}
	if cause := context.Cause(ctx); errors.Is(cause, event.ErrClosed) || errors.Is(cause, event.ErrLeaseLost) {
		return true // somebody else answers
	}
	return event.VerdictOf(err).Kind == event.Postponed || errors.Is(err, event.ErrFull)
}

// answer sends what the handler said.
func (a answering) answer(ctx context.Context, wanted request.Wanted, err error) error {
	var said request.Answer
	if err != nil {
		said.Err = answerTo(err)
	} else {
		said.Result, _ = event.ResultOf(ctx)
	}
	if failed := a.requests.AnswerTo(ctx, wanted, said); failed != nil {
		return event.Postpone(answerPause, failed)
	}
	if err != nil {
		return event.Reject(err) // answered: it neither comes again nor is kept
	}
	return nil
}
