package command

import (
	"context"
	"errors"

	"github.com/leat-go/leat/bus"
)

// The errors of [Cancel].
var (
	ErrRunning = errors.New("command: a handler is at work: it is too late to cancel")
	ErrOver    = errors.New("command: the operation is over: it is too late to cancel")
)

// Cancel lets no handler begin with a command any more, for as long as the store keeps the
// operation. It needs [Config].Operations. It returns [ErrRunning] while a handler is at work, or
// has postponed the command ([event.Postpone]), [ErrOver] for one that has ended another way, and
// the errors of [Operations]: there is no operation yet of what a handler has sent and no other has
// begun. Who waits for the command is told when the channel delivers it.
func Cancel(ctx context.Context, b *bus.Bus, id string) (Operation, error) {
	ops := of(b).operations()
	if ops == nil {
		return Operation{}, errors.New("command: cancel: there is no store of operations: see Use")
	}
	return cancel(ctx, ops, id)
}

func cancel(ctx context.Context, ops Operations, id string) (Operation, error) {
	var late error
	o, err := Change(ctx, ops, id, func(o *Operation) bool {
		late = nil
		switch o.State {
		case Accepted, Retrying:
			o.State, o.Problem = Cancelled, ErrCancelled
			return true
		case Running:
			late = ErrRunning
		case Succeeded, Failed, Expired:
			late = ErrOver
		case Cancelled:
		}
		return false
	})
	if err == nil {
		err = late
	}
	return o, err
}
