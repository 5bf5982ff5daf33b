package query

import (
	"context"
	"errors"

	"github.com/leat-go/leat/bus/request"
	"github.com/leat-go/leat/event"
)

// Errors of asking.
var (
	// ErrNoHandler is returned where the channel knows that nobody is there to answer, also
	// when the last one goes while somebody waits.
	ErrNoHandler = request.ErrNoHandler
	// ErrNoAnswer is returned when a query was sent and no answer came in time.
	ErrNoAnswer = request.ErrNoAnswer
)

// Errors that are answers from another process, beside those that handlers make with
// [event.NewError].
var (
	// ErrFailed says that the handler failed. Its own error stays where it is: hooks are told.
	ErrFailed = event.NewError("failed", "the query could not be answered")
	// ErrInvalid says that the query is none that the handler can read, or that its catalog refuses.
	ErrInvalid = event.NewError("invalid_query", "the query could not be read")
	// ErrTimedOut says that a time limit of the handler was over: [bus.Timeout], or one of its own.
	ErrTimedOut = event.NewError("timed_out", "the query took too long")
	// ErrTooLarge says that the channel can't carry the answer.
	ErrTooLarge = request.ErrResultTooLarge
)

// handlerError is an error that the handler returned, which therefore could read the query.
type handlerError struct{ error }

// Unwrap returns it.
func (e handlerError) Unwrap() error { return e.error }

// answerTo is what others are told of an error.
func (qs *queries) answerTo(err error) *event.Error {
	if no, ok := errors.AsType[*event.Error](err); ok {
		return no
	}
	if _, ran := errors.AsType[handlerError](err); !ran && qs.style.Unreadable(err) {
		return ErrInvalid
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return ErrTimedOut
	}
	return ErrFailed
}
