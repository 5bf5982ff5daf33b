package command

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// Handle lets h run the commands of type C. There is exactly one handler for a type on a
// Bus; a second is a mistake that Start reports. The group is named after the type,
// without the application: all Buses that handle it share its commands, and each
// command is run by one of them. opts are those of [bus.Subscribe].
//
// An [event.NewError] that h returns, wrapped or not, is the answer no: it isn't tried again,
// and whoever asked gets it. Marks of package event around it mean what they say. Every
// other error is a failure, tried again as [bus.Retry] says; at the end the
// command has failed, and is a dead letter.
func Handle[C any](b *bus.Bus, h func(context.Context, C) error, opts ...bus.SubscribeOption) {
	if h == nil {
		b.Style().Mistake(fmt.Errorf("command: nil handler for %v", reflect.TypeFor[C]()))
		return
	}
	subscribe(b, func(ctx context.Context, c C) error { return answered(h(ctx, c)) }, opts)
}

// HandleResult is Handle for a handler that has a result. Whoever waits for it gets it
// ([Do]), also when the command had been handled before.
func HandleResult[C, R any](b *bus.Bus, h func(context.Context, C) (R, error), opts ...bus.SubscribeOption) {
	if h == nil {
		b.Style().Mistake(fmt.Errorf("command: nil handler for %v", reflect.TypeFor[C]()))
		return
	}
	subscribe(b, func(ctx context.Context, c C) error {
		result, err := h(ctx, c)
		if err != nil {
			return answered(err)
		}
		contentType, data, err := b.Style().Encode(result)
		if err != nil {
			return event.Permanent(fmt.Errorf("command: a result of type %T can't be encoded: %w", result, err))
		}
		return event.SetResult(ctx, contentType, data)
	}, opts)
}

// answered turns an error that is an answer into one that says so.
func answered(err error) error {
	if event.VerdictOf(err) != (event.Verdict{Kind: event.Failed}) {
		return err // nil, or it says itself what it is
	}
	if _, ok := errors.AsType[*event.Error](err); ok {
		return event.Reject(err)
	}
	return err
}

func subscribe[C any](b *bus.Bus, h func(context.Context, C) error, opts []bus.SubscribeOption) {
	style := b.Style()
	style.MustBeNew("command.Handle")
	typ, topic, err := style.Message(reflect.TypeFor[C]())
	if err != nil {
		style.Mistake(fmt.Errorf("command: %w", err))
		return
	}
	c := of(b)
	if err := c.own(typ, topic); err != nil {
		style.Mistake(err)
		return
	}
	// Nobody in the group will ever know a type that isn't its own: a dead letter says so.
	all := append([]bus.SubscribeOption{bus.AcrossApps(), bus.Strict(), style.Callable(), bus.With(tracking{c})}, opts...)
	bus.Subscribe(b, typ, h, append(all, bus.With(whole{c}))...)
}
