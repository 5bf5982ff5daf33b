package command_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
)

// Without a channel a handler is called, with all that is around it.
func TestWithoutChannel(t *testing.T) {
	b := bus.New(bus.Config{})
	ops := command.NewMemory(command.MemoryConfig{})
	command.Use(b, command.Config{Operations: ops})
	type ship struct{ Item string }
	var runs int
	broken := errors.New("broken")
	command.HandleResult(b, func(ctx context.Context, c PlaceOrder) (Receipt, error) {
		runs++
		switch c.Item {
		case "moon":
			return Receipt{}, ErrSoldOut
		case "broken":
			return Receipt{}, broken
		case "panic":
			panic("on purpose")
		case "publishes":
			return Receipt{}, b.Publish(ctx, Receipt{})
		}
		if _, err := command.Do[struct{}](ctx, b, ship(c)); err != nil {
			return Receipt{}, err
		}
		return Receipt{Number: "42"}, command.Progress(ctx, 50, "")
	}, bus.With(idempotency.Middleware(idempotency.NewMemory(idempotency.MemoryConfig{}))))
	var shipped []string
	command.Handle(b, func(ctx context.Context, c ship) error {
		info, ok := event.FromContext(ctx)
		require.True(t, ok)
		require.NotEmpty(t, info.Event.Extension(event.ExtCausationID))
		shipped = append(shipped, c.Item)
		return nil
	})
	_, err := command.Do[Receipt](t.Context(), b, PlaceOrder{})
	require.ErrorIs(t, err, bus.ErrNotStarted)
	require.NoError(t, b.Start(t.Context()))
	require.NoError(t, b.Ready())
	for range 2 { // the second is a duplicate
		r, err := command.Do[Receipt](t.Context(), b, PlaceOrder{Item: "tea"}, bus.ID("1"))
		require.NoError(t, err)
		require.Equal(t, Receipt{"42"}, r)
	}
	require.Equal(t, 1, runs)
	require.Equal(t, []string{"tea"}, shipped)
	o, err := ops.Get(t.Context(), "1")
	require.NoError(t, err)
	require.Equal(t, command.Succeeded, o.State)
	require.Equal(t, 50, o.Progress.Percent)

	_, err = command.Do[Receipt](t.Context(), b, PlaceOrder{Item: "moon"})
	require.Equal(t, error(ErrSoldOut), err)
	_, err = command.Do[Receipt](t.Context(), b, PlaceOrder{Item: "broken"}, bus.ID("2"))
	require.ErrorIs(t, err, broken)
	o, err = ops.Get(t.Context(), "2")
	require.NoError(t, err)
	require.Equal(t, command.Failed, o.State)
	_, err = command.Do[Receipt](t.Context(), b, PlaceOrder{Item: "panic"})
	_, ok := errors.AsType[*bus.PanicError](err)
	require.True(t, ok)
	_, err = command.Do[Receipt](t.Context(), b, PlaceOrder{Item: "publishes"})
	require.ErrorContains(t, err, "Config.Channel is nil")
	_, err = command.Do[Receipt](t.Context(), b, sameTopic{})
	require.ErrorIs(t, err, command.ErrNoHandler)
	_, err = command.Send(t.Context(), b, PlaceOrder{})
	require.ErrorContains(t, err, "needs a channel")
	require.ErrorContains(t, b.Publish(t.Context(), Receipt{}), "Config.Channel is nil")
	require.NoError(t, b.Drain(t.Context()))
	_, err = command.Do[Receipt](t.Context(), b, PlaceOrder{})
	require.ErrorIs(t, err, event.ErrClosed)
}

// Without a channel a command that can't begin hasn't failed: the caller can try again.
func TestWithoutChannelOrStore(t *testing.T) {
	b, ops := bus.New(bus.Config{}), &unswapped{Operations: command.NewMemory(command.MemoryConfig{})}
	command.Use(b, command.Config{Operations: ops})
	runs := 0
	command.Handle(b, func(context.Context, PlaceOrder) error { runs++; return nil })
	require.NoError(t, b.Start(t.Context()))
	ops.down = 1
	_, err := command.Do[struct{}](t.Context(), b, PlaceOrder{}, bus.ID("1"))
	require.ErrorIs(t, err, errDown)
	require.Zero(t, runs)
	_, err = command.Do[struct{}](t.Context(), b, PlaceOrder{}, bus.ID("1"))
	require.NoError(t, err)
	require.Equal(t, 1, runs)
}

// unswapped is a store that refuses as many changes as it is told to.
type unswapped struct {
	command.Operations

	down int
}

func (s *unswapped) Swap(ctx context.Context, o command.Operation) (command.Operation, error) {
	if s.down > 0 {
		s.down--
		return o, errDown
	}
	return s.Operations.Swap(ctx, o)
}

// A Bus whose groups listen needs a channel.
func TestNeedsAChannel(t *testing.T) {
	b := bus.New(bus.Config{})
	require.ErrorContains(t, b.Start(t.Context()), "Config.Channel is nil")
	command.Use(b, command.Config{Notify: map[string]command.Notifier{"chat": command.NotifierFunc(nil)}})
	command.Handle(b, func(context.Context, PlaceOrder) error { return nil })
	require.ErrorContains(t, b.Start(t.Context()), "Config.Channel is nil")
	require.NoError(t, b.Shutdown(t.Context()))
}
