package command

import (
	"context"
	"errors"
	"net/http"

	"github.com/leat-go/leat/internal/webanswer"
)

// find returns an operation of a principal. That of another isn't there.
func (g *gateway) find(ctx context.Context, p Principal, id string) (Operation, error) {
	if !isID(id) {
		return Operation{}, errNotFound
	}
	ctx, cancel := g.bound(ctx)
	defer cancel()
	o, err := g.operations().Get(ctx, id)
	return owned(o, err, p, id)
}

// owned returns what a store says of an operation as a principal may know it.
func owned(o Operation, err error, p Principal, id string) (Operation, error) {
	switch {
	case errors.Is(err, ErrForgotten) && p.made(id):
		return o, errGone
	case errors.Is(err, ErrForgotten), errors.Is(err, ErrNoOperation):
		return Operation{}, errNotFound
	case err != nil:
		return Operation{}, err
	case !p.owns(o):
		return Operation{}, errNotFound
	}
	return o, nil
}

// get answers with an operation.
func (g *gateway) get(w http.ResponseWriter, r *http.Request, id string) error {
	o, err := g.watched(r, id)
	if err != nil {
		return err
	}
	if hasResult(o) {
		w.Header().Set("Location", g.path(o.ID)+"/result")
		g.writeView(w, http.StatusSeeOther, o)
		return nil
	}
	if g.tagged(w, r, o) {
		return nil
	}
	g.writeView(w, http.StatusOK, o)
	return nil
}

// watched returns the operation that a request is to see.
func (g *gateway) watched(r *http.Request, id string) (Operation, error) {
	p, err := g.principal(r, Access{Action: ActionWatch, Operation: id})
	if err != nil {
		return Operation{}, err
	}
	return g.find(r.Context(), p, id)
}

// tagged sets the tag of an operation, and answers a client that has it as it is.
func (*gateway) tagged(w http.ResponseWriter, r *http.Request, o Operation) bool {
	webanswer.Header(w)
	w.Header().Set("ETag", tag(o))
	if !unchanged(r.Header, tag(o)) {
		return false
	}
	if !o.State.Final() {
		webanswer.RetryAfter(w, pollAfter)
	}
	w.WriteHeader(http.StatusNotModified)
	return true
}

// result answers with the outcome of an operation.
func (g *gateway) result(w http.ResponseWriter, r *http.Request, id string) error {
	o, err := g.watched(r, id)
	switch {
	case err != nil:
		return err
	case !o.State.Final():
		return refusal{status: http.StatusNotFound, code: "no_result", detail: "the operation isn't over yet", after: pollAfter}
	case hasResult(o) && g.tagged(w, r, o):
		return nil
	}
	return g.outcome(w, o)
}

// cancel cancels an operation.
func (g *gateway) cancel(w http.ResponseWriter, r *http.Request, id string) error {
	p, err := g.principal(r, Access{Action: ActionCancel, Operation: id})
	if err != nil {
		return err
	}
	if _, err := g.find(r.Context(), p, id); err != nil {
		return err
	}
	ctx, end := g.bound(r.Context())
	defer end()
	o, err := cancel(ctx, g.operations(), id)
	switch {
	case errors.Is(err, ErrRunning):
		return refusal{status: http.StatusConflict, code: "running", detail: "a handler is at work: it is too late to cancel"}
	case errors.Is(err, ErrOver):
		return refusal{status: http.StatusConflict, code: "over", detail: "the operation is over: it is too late to cancel"}
	}
	if o, err = owned(o, err, p, id); err != nil {
		return err
	}
	g.writeView(w, http.StatusOK, o)
	return nil
}
