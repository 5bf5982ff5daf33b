package command

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/request"
	"github.com/leat-go/leat/event"
)

// ErrNoHandler is returned for a command that nobody has ever handled, on channels that know
// their groups.
var ErrNoHandler = request.ErrNoHandler

// extSubject is the attribute that says who sent a command.
const extSubject = "commandsubject"

// Expires lets a command that no handler has begun within d answer [ErrExpired].
func Expires(d time.Duration) bus.PublishOption {
	return bus.Attribute(event.ExtExpiryTime, time.Now().Add(d).UTC().Format(time.RFC3339Nano))
}

// From says who sends a command: the operation's Subject.
func From(subject string) bus.PublishOption { return bus.Attribute(extSubject, subject) }

// Send sends a command, to be run by its handler somewhere, later, and returns its id. nil
// means that the channel has it. opts are those of [bus.Bus.Publish]: a key, a delay, an id;
// and [Expires]. Under a handler's context it is sent if the handler succeeds.
//
// It returns [ErrNoHandler] where the channel knows that nobody handles the type.
func Send(ctx context.Context, b *bus.Bus, c any, opts ...bus.PublishOption) (id string, err error) {
	cs := of(b)
	if err := cs.style.Accepts(ctx); err != nil {
		return "", err
	}
	if !cs.style.HasChannel() {
		return "", errors.New("command: Send needs a channel: without one there is Do")
	}
	s, err := cs.prepare(ctx, c, opts, nil)
	if err != nil {
		return "", err
	}
	if event.Handling(ctx) {
		return s.e.ID(), s.style.Send(ctx, s.topic, s.e, false)
	}
	return s.e.ID(), s.send(ctx)
}

// Do sends a command at once, also under a handler's context, and waits for its outcome,
// from whatever process. It returns the result, or the [event.Error] that is the answer, or
// [request.ErrNoAnswer] when ctx ended before, after 30 seconds if it has no deadline: the
// command may be run all the same. Of a command without a result R stays zero. One that was sent
// before, by its id, is waited for, and not sent again.
//
// A handler that waits for a command of its own type waits for a worker: see [bus.Workers].
//
// On a Bus without a channel the handler, which has to be on the same Bus, is called: nothing is tried
// again, and the error is the handler's.
func Do[R any](ctx context.Context, b *bus.Bus, c any, opts ...bus.PublishOption) (R, error) {
	var result R
	cs := of(b)
	ask := cs.do
	if !cs.style.HasChannel() {
		ask = cs.call
	}
	answer, err := ask(ctx, c, opts)
	switch {
	case err == nil:
		err = request.Of(b).Read(answer, &result)
	case ctx.Err() != nil && !errors.Is(err, request.ErrNoAnswer): // it ended before it came to waiting
		err = errors.Join(request.ErrNoAnswer, err)
	}
	return result, err
}

func (c *commands) do(ctx context.Context, cmd any, opts []bus.PublishOption) (event.Event, error) {
	call, err := c.requests.Open(ctx)
	if err != nil {
		return event.Event{}, err
	}
	defer call.End()
	s, err := c.prepare(ctx, cmd, opts, call.Attributes())
	if err != nil {
		return event.Event{}, err
	}
	err = s.accept(call.Context()) //nolint:contextcheck // it is ctx, with a deadline
	switch {
	case errors.Is(err, errSent): // perhaps it runs just now, and a second delivery would wait for the first
		return s.outcome(call.Context()) //nolint:contextcheck // the same
	case err != nil:
		return event.Event{}, err
	}
	return call.Ask(s.e, request.Repliers{}, s.transmit) //nolint:contextcheck // it is ctx, with a deadline
}

// outcome waits until the operation of a command is over that was sent before, and returns its
// result as an answer.
func (s *sending) outcome(ctx context.Context) (event.Event, error) {
	var last Operation
	for o, err := range Watch(ctx, s.operations(), s.e.ID(), 0) {
		if err != nil && ctx.Err() != nil {
			err = errors.Join(request.ErrNoAnswer, err)
		}
		if err != nil {
			return event.Event{}, err
		}
		last = o
	}
	switch {
	case last.State != Succeeded:
		return event.Event{}, problem(last.Problem)
	case last.Result == nil:
		return s.e.WithData("", nil), nil
	}
	return s.e.WithData(last.Result.ContentType, last.Result.Data), nil
}

// call calls the handler of a command, and returns its result as an answer.
func (c *commands) call(ctx context.Context, cmd any, opts []bus.PublishOption) (event.Event, error) {
	if err := c.style.Accepts(ctx); err != nil {
		return event.Event{}, err
	}
	s, err := c.prepare(ctx, cmd, opts, nil)
	if err != nil {
		return event.Event{}, err
	}
	if err := s.accept(ctx); err != nil && !errors.Is(err, errSent) { // one that is over isn't run again
		return event.Event{}, err
	}
	result, err := c.style.Call(ctx, s.e.Type(), s.e)
	if no, ok := errors.AsType[*event.Error](err); ok && event.VerdictOf(err).Kind == event.Rejected {
		err = no
	}
	return s.e.WithData(result.ContentType, result.Data), err
}

// sending is a command that is ready to be sent.
type sending struct {
	*commands

	topic       string
	e           event.Event
	fingerprint string
}

// prepare makes the event of a command, and puts a large payload where it is kept.
func (c *commands) prepare(ctx context.Context, cmd any, opts []bus.PublishOption, more []event.Extension) (*sending, error) {
	if _, raw := cmd.(event.Event); raw {
		return nil, errors.New("command: an event.Event is no command: send a value of its type")
	}
	topic, e, err := c.style.Prepare(ctx, cmd, opts, more)
	if err != nil {
		return nil, invalidError{err}
	}
	if err := c.handled(ctx, e.Type(), topic); err != nil {
		return nil, fmt.Errorf("command: %s: %w", e.Type(), err)
	}
	s := &sending{commands: c, topic: topic, fingerprint: fingerprint(e.Type(), e.Data())}
	if check := c.check(); check != nil {
		if e, err = check.Transform(ctx, e); err != nil {
			return nil, fmt.Errorf("command: %s: %w", e.Type(), err)
		}
	}
	s.e = e
	return s, nil
}

// handled returns [ErrNoHandler] for a command that nobody handles, as far as can be known.
func (c *commands) handled(ctx context.Context, typ, topic string) error {
	if c.style.HasChannel() {
		return c.requests.CheckHandler(ctx, typ, topic)
	}
	if !c.style.Calls(typ, typ) {
		return ErrNoHandler
	}
	return nil
}

// invalidError is the error of a command that can't become an event: nothing outside of the
// process was asked.
type invalidError struct{ error }

// Unwrap returns why.
func (e invalidError) Unwrap() error { return e.error }

// fingerprint tells commands apart that have the same id.
func fingerprint(typ string, data []byte) string {
	sum := sha256.Sum256(slices.Concat([]byte(typ), []byte{0}, data))
	return hex.EncodeToString(sum[:16])
}

// send writes that the command is accepted, and sends it, unless it was sent by this id before.
func (s *sending) send(ctx context.Context) error {
	err := s.accept(ctx)
	if errors.Is(err, errSent) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.transmit(ctx)
}

// transmit hands a command that is accepted to the channel.
func (s *sending) transmit(ctx context.Context) error {
	if err := s.style.Send(ctx, s.topic, s.e, true); err != nil {
		return err
	}
	if ops := s.operations(); ops != nil {
		s.sent(ctx, ops)
	}
	return nil
}

var errSent = errors.New("command: sent already")

// accept writes that the command is accepted. It returns errSent where it was sent already.
func (s *sending) accept(ctx context.Context) error {
	ops := s.operations()
	if ops == nil {
		return nil
	}
	o := newOperation(s.e)
	o.Fingerprint = s.fingerprint
	o, err := ops.Create(ctx, o)
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, ErrExists):
		return fmt.Errorf("command: the operation of %s: %w", s.e.Type(), err)
	case !o.of(s.e), o.Fingerprint != "" && o.Fingerprint != s.fingerprint: // it is another, or forgotten
		return fmt.Errorf("command: %s %s: %w, and it isn't of this command", s.e.Type(), s.e.ID(), err)
	case o.Sent:
		s.spare(ctx, o)
		return errSent
	}
	return nil
}

// spare lets the payload go that was put for a command which is over. What it can't let go
// expires.
func (s *sending) spare(ctx context.Context, o Operation) {
	if check := s.check(); check != nil && o.State.Final() && !o.Dead {
		_ = check.Expire(ctx, s.e, orphanage)
	}
}

// sent notes that the channel has the command. If it can't, whoever sends it again by the
// same id sends it twice, which is known by the id.
func (s *sending) sent(ctx context.Context, ops Operations) {
	_, _ = Change(context.WithoutCancel(ctx), ops, s.e.ID(), func(o *Operation) bool {
		was := o.Sent
		o.Sent = true
		return !was
	})
}
