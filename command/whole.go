package command

import (
	"context"
	"errors"
	"time"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/payload"
)

// whole is the middleware that brings a payload back. It is inside of those of the handler,
// which see the command as it was sent.
type whole struct{ *commands }

var (
	_ event.Middleware   = whole{}
	_ event.StartChecker = whole{}
)

// Wrap implements [event.Middleware].
func (w whole) Wrap(next event.Handler) event.Handler {
	next = beginning(next)
	return func(ctx context.Context, e event.Event) error {
		check := w.check()
		if check == nil {
			return next(ctx, e)
		}
		err := check.Wrap(next)(ctx, e)
		if a, ok := ctx.Value(attemptKey{}).(*attempt); ok && errors.Is(err, payload.ErrGone) {
			return a.meanwhile(ctx, err)
		}
		return err
	}
}

// beginning lets a handler begin only with what hasn't expired, and notes that it has begun.
func beginning(next event.Handler) event.Handler {
	return func(ctx context.Context, e event.Event) error {
		a, ok := ctx.Value(attemptKey{}).(*attempt)
		if !ok || a.ops == nil || e.Extension(event.ExtExpiryTime) == "" {
			return next(ctx, e)
		}
		now := time.Now()
		o, err := Change(ctx, a.ops, e.ID(), func(o *Operation) bool { return o.handle(now) })
		switch {
		case errors.Is(err, ErrNoOperation), errors.Is(err, ErrForgotten):
		case err != nil:
			return event.Postpone(storePause, err)
		case o.State == Expired:
			return a.again(ctx, o)
		}
		return next(ctx, e)
	}
}

// handle changes an operation to one that a handler has begun, unless it is too late. It may
// have waited since its attempt began: for its payload, or for another delivery of it.
func (o *Operation) handle(now time.Time) bool {
	if o.Begun || o.State.Final() {
		return false
	}
	o.Begun = true
	if expired(*o, now) {
		o.State, o.Problem, o.Begun = Expired, ErrExpired, false
	}
	return true
}

// meanwhile returns what became of a command whose payload is gone: a delivery of the same command
// may have ended since this one began. Else it returns err.
func (a *attempt) meanwhile(ctx context.Context, err error) error {
	if a.ops == nil {
		return err
	}
	o, failed := a.ops.Get(ctx, a.e.ID())
	switch {
	case errors.Is(failed, ErrNoOperation), errors.Is(failed, ErrForgotten):
		return err
	case failed != nil:
		return event.Postpone(storePause, failed)
	case o.State.Final():
		return a.again(ctx, o)
	}
	return err
}

// CheckStart implements [event.StartChecker].
func (w whole) CheckStart(s event.Subscription, g event.Guarantees) error {
	if check := w.check(); check != nil {
		return check.CheckStart(s, g)
	}
	return nil
}
