package command

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// submission is a command on its way from a request to the channel.
type submission struct {
	*gateway

	p           Principal
	cmd         any
	id          string
	fingerprint string // of the body
	keyed       bool   // the id may have been used
}

// errNotSent is what an operation has while nobody sends its command: who did couldn't, and who
// repeats the request may.
var errNotSent = event.NewError("not_sent", "the command could not be sent: repeat the request")

// accept sends the command of a request and returns its operation, or the one that there is
// already.
func (s *submission) accept(ctx context.Context) (Operation, error) {
	if s.keyed {
		o, err := s.operations().Get(ctx, s.id)
		if !errors.Is(err, ErrNoOperation) {
			return s.known(ctx, o, err)
		}
	}
	sending, err := s.prepare(ctx)
	if err != nil {
		return Operation{}, err
	}
	o := newOperation(sending.e)
	o.Fingerprint = s.fingerprint
	o, err = s.operations().Create(ctx, o)
	switch {
	case errors.Is(err, ErrExists) && o.State == "":
		return s.known(ctx, o, ErrForgotten)
	case errors.Is(err, ErrExists):
		return s.known(ctx, o, nil)
	case err != nil:
		return o, err
	}
	return s.send(ctx, sending, o)
}

// known returns the operation of a request that came before, when it was the same one, and
// sends its command if nobody has.
func (s *submission) known(ctx context.Context, o Operation, err error) (Operation, error) {
	o, err = owned(o, err, s.p, s.id)
	switch {
	case err != nil:
		return o, err
	case o.Fingerprint != s.fingerprint && o.Fingerprint != "":
		return o, refusal{
			status: http.StatusUnprocessableEntity, code: "key_reused",
			detail: "the " + keyHeader + " was used for a request with another body",
		}
	case o.Sent || o.State.Final():
		return o, nil
	}
	o, err = s.take(ctx)
	if err != nil || o.Sent || o.State.Final() {
		return o, err
	}
	sending, err := s.prepare(ctx)
	if err != nil {
		s.unsent(ctx)
		return o, err
	}
	return s.send(ctx, sending, o)
}

// take claims an operation whose command nobody sends: the one who did has said so, or hasn't
// been heard of for three times as long as it may take. Of those that try, one succeeds.
func (s *submission) take(ctx context.Context) (Operation, error) {
	var left time.Duration
	o, err := Change(ctx, s.operations(), s.id, func(o *Operation) bool {
		left = 0
		if o.Sent || o.State.Final() {
			return false
		}
		if o.Problem == nil {
			left = time.Until(o.Updated.Add(3 * s.cfg.SendTimeout))
		}
		o.Problem = nil
		return left <= 0
	})
	if err == nil && left > 0 {
		return o, refusal{
			status: http.StatusConflict, code: "in_progress", after: pollAfter,
			detail: "another request with this " + keyHeader + " is sending the command",
		}
	}
	return o, err
}

// prepare makes the event of the command, which is of the principal and nobody else.
func (s *submission) prepare(ctx context.Context) (*sending, error) {
	if err := s.style.Accepts(ctx); err != nil {
		return nil, err
	}
	origin, _ := event.OriginFrom(ctx)
	origin.Tenant = s.p.Tenant
	return s.commands.prepare(event.WithOrigin(ctx, origin), s.cmd, []bus.PublishOption{bus.ID(s.id), From(s.p.Subject)}, nil)
}

// send sends the command, and notes in its operation whether it could.
func (s *submission) send(ctx context.Context, ready *sending, o Operation) (Operation, error) {
	if err := s.style.Send(ctx, ready.topic, ready.e, true); err != nil {
		if !maybeSent(err) {
			s.unsent(ctx)
		}
		return o, err
	}
	o.Sent = true
	now, err := s.note(ctx, func(o *Operation) bool {
		was := o.Sent
		o.Sent = true
		return !was
	})
	if err != nil {
		return o, nil //nolint:nilerr // it is sent: who repeats the request sends it twice, by the same id
	}
	return now, nil
}

// unsent lets the next request with the key send the command at once.
func (s *submission) unsent(ctx context.Context) {
	_, _ = s.note(ctx, func(o *Operation) bool { // else it can when it isn't heard of for long
		if o.Sent || o.State != Accepted {
			return false
		}
		o.Problem = errNotSent
		return true
	})
}

// note changes the operation, also when the client is gone.
func (s *submission) note(ctx context.Context, change func(*Operation) bool) (Operation, error) {
	ctx, cancel := s.bound(context.WithoutCancel(ctx))
	defer cancel()
	return Change(ctx, s.operations(), s.id, change)
}

// maybeSent reports whether the channel may have a command in spite of an error.
func maybeSent(err error) bool {
	some, ok := errors.AsType[*event.ProduceError](err)
	if !ok {
		return false
	}
	for _, f := range some.Failed {
		if f.Maybe {
			return true
		}
	}
	return false
}
