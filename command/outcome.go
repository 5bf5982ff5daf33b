package command

import (
	"context"
	"errors"
	"time"

	"github.com/leat-go/leat/bus/request"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/webanswer"
)

// errFailed is what others are told of a command whose attempts are used up. The handler's
// own error is in the dead letter: its text isn't for them.
var errFailed = event.NewError("failed", "the command could not be done")

// problem is an error as others may see it. Details that are no JSON could be neither kept nor
// sent.
func problem(e *event.Error) *event.Error {
	switch {
	case e == nil:
		return errFailed
	case len(e.Details) > 0 && webanswer.Sound(e.Details) == nil:
		return event.NewError(e.Code, e.Message)
	}
	return e
}

// before writes and tells how an attempt ended, ahead of its settlement. An error lets it be
// called again.
func (a *attempt) before(ctx context.Context, out event.Outcome) error {
	if out.Kind == event.OutcomeRetried && event.VerdictOf(out.Err).Kind == event.Postponed {
		return nil // nothing has happened
	}
	o, err := a.write(ctx, out)
	if err != nil {
		return err
	}
	a.dead = o.Dead
	if !o.State.Final() {
		return nil
	}
	if err := a.orphan(ctx, o); err != nil {
		return err
	}
	answer := request.Answer{}
	switch {
	case o.State != Succeeded:
		answer.Err = problem(o.Problem)
	case o.Result != nil:
		answer.Result = *o.Result
	}
	if err := a.requests.Answer(ctx, a.e, answer); err != nil {
		return err
	}
	return a.announce(ctx, o)
}

// write writes the state that follows from an outcome, and returns the operation.
func (a *attempt) write(ctx context.Context, out event.Outcome) (Operation, error) {
	if a.known.State.Final() {
		return a.known, nil
	}
	if a.ops == nil {
		o := a.fresh()
		a.end(&o, out)
		return o, nil
	}
	o, err := Change(ctx, a.ops, a.e.ID(), func(o *Operation) bool {
		if o.State.Final() {
			return false
		}
		a.end(o, out)
		return true
	})
	if errors.Is(err, ErrNoOperation) || errors.Is(err, ErrForgotten) { // kept too short
		o = a.fresh()
		a.end(&o, out)
		return o, nil
	}
	return o, err
}

// end changes an operation to how an attempt ended.
func (a *attempt) end(o *Operation, out event.Outcome) {
	no, _ := errors.AsType[*event.Error](out.Err)
	switch out.Kind {
	case event.OutcomeAcked:
		o.State, o.Problem = Succeeded, nil
		if r, ok := event.ResultOf(a.ctx); ok {
			o.Result = &r
		}
	case event.OutcomeRejected:
		o.State, o.Problem = stateOf(no), problem(no)
	case event.OutcomeDead:
		o.State, o.Problem, o.Dead = Failed, problem(no), true
	case event.OutcomeRetried:
		o.State = Retrying
	}
}

func stateOf(no *event.Error) State {
	switch no {
	case ErrExpired:
		return Expired
	case ErrCancelled:
		return Cancelled
	}
	return Failed
}

// orphanage is how long a payload is kept whose operation says that it isn't needed, until it
// is removed: the process may end in between.
const orphanage = time.Minute

// orphan lets a payload expire soon that nobody needs any more: the operation is in the store,
// and what comes again is answered from there.
func (a *attempt) orphan(ctx context.Context, o Operation) error {
	check := a.check()
	if check == nil || o.Version == 0 || o.Dead { // without a version it isn't in the store
		return nil
	}
	return check.Expire(ctx, a.e, orphanage)
}

// after removes what a command has left in the store of payloads, once nobody will ask for
// the command again. What it can't remove expires.
func (a *attempt) after(ctx context.Context, out event.Outcome) {
	check := a.check()
	settled := out.Kind == event.OutcomeAcked || out.Kind == event.OutcomeRejected
	if check == nil || !settled || a.dead { // a duplicate of a dead letter is settled, and that one needs it
		return
	}
	_ = check.Remove(ctx, a.e)
}
