package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// Ended is the event that an operation is final. It is published by Buses that have a
// [Notifier]. It has no result of the command, and of a problem that is too large for the channel
// only the code: the store of operations has them.
type Ended struct{ Operation Operation }

// EventType implements what a message names itself by.
func (Ended) EventType() string { return "operation-ended" }

// EventKey keeps the events of an operation in order.
func (e Ended) EventKey() string { return e.Operation.ID }

// announce publishes that an operation is final, by the same id each time.
func (a *attempt) announce(ctx context.Context, o Operation) error {
	if !a.announces() {
		return nil
	}
	o.Result = nil
	id := event.DerivedID("operation-ended", a.e.Source(), o.ID, int(o.Version))
	err := a.b.Publish(ctx, Ended{o}, bus.Now(), bus.ID(id))
	if errors.Is(err, event.ErrTooLarge) {
		o.Progress, o.Problem = nil, brief(o.Problem)
		err = a.b.Publish(ctx, Ended{o}, bus.Now(), bus.ID(id))
	}
	if err != nil {
		return fmt.Errorf("command: tell that %s has ended: %w", o.ID, err)
	}
	return nil
}

// brief returns what is told of a problem that is too large for the channel: its code. The store
// of operations has the rest.
func brief(e *event.Error) *event.Error {
	if e == nil {
		return nil
	}
	return event.NewError(e.Code, "")
}

// notify subscribes a notifier to what ended.
func (c *commands) notify(name string, n Notifier) {
	bus.Subscribe(c.b, "notify-"+name, func(ctx context.Context, e Ended) error {
		o := e.Operation
		if ops := c.operations(); ops != nil {
			now, err := ops.Get(ctx, o.ID)
			switch {
			case err == nil && now.Version == o.Version:
				o = now
			case err != nil && !errors.Is(err, ErrNoOperation) && !errors.Is(err, ErrForgotten):
				return event.Postpone(storePause, err)
			}
		}
		return n.Notify(ctx, o)
	})
}
