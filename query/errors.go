package query

import (
	"context"
	"errors"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/request"
	"github.com/leat-go/leat/event"
)

// Errors of asking.
var (
	// ErrNoHandler is returned where the channel knows that nobody is there to answer, also
	// when the last one goes while somebody waits.
	ErrNoHandler = request.ErrNoHandler
	// ErrNoAnswer is returned when no answer came in time.
	ErrNoAnswer = request.ErrNoAnswer
)

// Errors that are answers from another process, beside those that handlers make with
// [event.NewError].
var (
	// ErrFailed says that the handler failed. Its own error stays where it is: hooks are told.
	ErrFailed = event.NewError("failed", "the query could not be answered")
	// ErrInvalid says that the query is none that the handler can read.
	ErrInvalid = event.NewError("invalid_query", "the query could not be read")
	// ErrTimedOut says that the handler's own time was over.
	ErrTimedOut = event.NewError("timed_out", "the query took too long")
	// ErrTooLarge says that the channel can't carry the answer.
	ErrTooLarge = request.ErrResultTooLarge
)

// answerTo is what others are told of an error.
func answerTo(err error) *event.Error {
	if no, ok := errors.AsType[*event.Error](err); ok {
		return no
	}
	if _, ok := errors.AsType[*bus.DecodeError](err); ok {
		return ErrInvalid
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return ErrTimedOut
	}
	return ErrFailed
}
