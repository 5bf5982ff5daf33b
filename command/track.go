package command

import (
	"context"
	"errors"
	"time"

	"github.com/leat-go/leat/event"
)

// tracking is the middleware that tells what becomes of a command. It is outside of those of
// the handler, so that it sees how the attempt ended, also for what they suppressed.
type tracking struct{ *commands }

var _ event.Middleware = tracking{}

// storePause is after what time a command comes again whose operation couldn't be written.
const storePause = time.Second

// Wrap implements [event.Middleware].
func (c tracking) Wrap(next event.Handler) event.Handler {
	return func(ctx context.Context, e event.Event) error {
		a := &attempt{commands: c.commands, e: e, ctx: ctx, ops: c.operations()}
		a.info, _ = event.FromContext(ctx)
		if err := event.OnOutcome(ctx, a.before, a.after); err != nil {
			return err
		}
		known, err := a.begin(ctx)
		switch {
		case errors.Is(err, errAnother):
			a.ops = nil // what is kept is not its own
			return event.Permanent(err)
		case err != nil:
			return event.Postpone(storePause, err)
		case known.State.Final():
			return a.again(ctx, known)
		}
		return next(context.WithValue(ctx, attemptKey{}, a), e)
	}
}

// attempt is one run of a command's handler.
type attempt struct {
	*commands

	ctx   context.Context //nolint:containedctx // the handler's, which has its result
	e     event.Event
	info  event.Info
	ops   Operations
	known Operation // final: the handler hasn't run
	dead  bool      // it stands in the dead letters
}

type attemptKey struct{}

// begin writes that a handler is at work, and returns the operation: it is final when none
// is to be.
func (a *attempt) begin(ctx context.Context) (Operation, error) {
	now := time.Now()
	if a.ops == nil {
		return a.unknown(now), nil
	}
	o, err := Change(ctx, a.ops, a.e.ID(), func(o *Operation) bool { return o.of(a.e) && a.run(o, now) })
	switch {
	case err == nil && !o.of(a.e):
		return o, errAnother
	case errors.Is(err, ErrNoOperation):
		o = a.fresh()
		a.run(&o, now)
		o, err = a.ops.Create(ctx, o)
		if errors.Is(err, ErrExists) {
			return a.begin(ctx)
		}
	case errors.Is(err, ErrForgotten):
		return a.unknown(now), nil
	}
	return o, err
}

// unknown is the operation of a command of which nothing is kept. Only at its first attempt is it
// sure that none began before.
func (a *attempt) unknown(now time.Time) Operation {
	o := a.fresh()
	if a.info.Attempt <= 1 && !a.info.Redriven && expired(o, now) {
		o.State, o.Problem = Expired, ErrExpired
	}
	return o
}

// fresh is an operation of which nothing is known but the command.
func (a *attempt) fresh() Operation {
	o := newOperation(a.e)
	o.Sent, o.State, o.Attempt = true, Running, a.info.Attempt
	return o
}

// run changes an operation to that of an attempt. One of which no handler has begun may have
// expired; one that a handler has begun has perhaps had its effect, and goes on.
func (a *attempt) run(o *Operation, now time.Time) bool {
	driven := o.Dead && a.info.Redriven
	if o.State.Final() && !driven {
		return false
	}
	o.Sent, o.Dead, o.State, o.Problem, o.Progress = true, false, Running, nil, nil
	o.Attempt = max(o.Attempt, a.info.Attempt)
	if !o.Begun && expired(*o, now) {
		o.State, o.Problem = Expired, ErrExpired
	}
	return true
}

func expired(o Operation, now time.Time) bool { return !o.Expires.IsZero() && now.After(o.Expires) }

// again answers with what is known of an operation that is over.
func (a *attempt) again(ctx context.Context, o Operation) error {
	a.known = o
	switch o.State {
	case Succeeded:
		if o.Result != nil {
			return event.SetResult(ctx, o.Result.ContentType, o.Result.Data)
		}
		return nil
	case Expired:
		return event.Reject(ErrExpired)
	case Cancelled:
		return event.Reject(ErrCancelled)
	case Failed, Accepted, Running, Retrying:
	}
	return event.Reject(problem(o.Problem))
}

// errAnother is the error of a command whose id another one has: it must not be taken for done
// because that one is.
var errAnother = errors.New("command: the id is that of another command")

// of reports whether an operation can be that of a command: its type and tenant are the same.
func (o *Operation) of(e event.Event) bool {
	return o.Name == e.Type() && o.Tenant == e.Extension(event.ExtTenant)
}

// newOperation returns the operation of a command that nothing has become of yet.
func newOperation(e event.Event) Operation {
	o := Operation{
		ID: e.ID(), Name: e.Type(), State: Accepted,
		Tenant: e.Extension(event.ExtTenant), Subject: e.Extension(extSubject),
		NotBefore: e.NotBefore(),
	}
	if t, err := time.Parse(time.RFC3339Nano, e.Extension(event.ExtExpiryTime)); err == nil {
		o.Expires = t
	}
	return o
}
