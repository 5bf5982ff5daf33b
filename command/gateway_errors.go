package command

import (
	"context"
	"errors"
	"net/http"

	"github.com/leat-go/leat/event"
)

// refusal returns what is said of an error. What isn't about the request itself is told to
// OnError, and to the client that it may try again.
func (g *gateway) refusal(r *http.Request, err error) refusal {
	if no, ok := errors.AsType[refusal](err); ok {
		return no
	}
	if !errors.Is(err, context.Canceled) || r.Context().Err() == nil { // else the client is gone
		g.tell(r, err)
	}
	switch {
	case errors.Is(err, event.ErrTooLarge):
		return errTooLarge
	case errors.Is(err, errNoStream):
		return refusal{status: http.StatusInternalServerError, code: "no_streams", detail: "streams aren't possible here"}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return errBusy
	}
	if _, ok := errors.AsType[invalidError](err); ok {
		return badRequest("invalid_command", "the values of the command aren't allowed together, or one of them isn't")
	}
	return errBusy
}

var errTooLarge = refusal{status: http.StatusRequestEntityTooLarge, code: "too_large", detail: "the command is too large"}
