package command_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/payload"
)

// Notifiers are told of a problem that is too large for the channel.
func TestLargeProblem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(chan command.Operation, 1)
		no := event.NewError("no", "sorry").WithDetails(strings.Repeat("x", 2000))
		b := bus.New(bus.Config{App: "shop", Channel: small{memory.New()}})
		command.Use(b, command.Config{
			Operations: command.NewMemory(command.MemoryConfig{}),
			Notify: map[string]command.Notifier{"chat": command.NotifierFunc(func(_ context.Context, o command.Operation) error {
				told <- o
				return nil
			})},
		})
		command.Handle(b, func(context.Context, placeOrder) error { return no })
		require.NoError(t, b.Start(t.Context()))
		_, err := command.Send(t.Context(), b, placeOrder{})
		require.NoError(t, err)
		synctest.Wait()
		require.Len(t, told, 1)
		require.Equal(t, no, (<-told).Problem)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// small is a channel that takes no large events.
type small struct{ *memory.Channel }

func (s small) Producer(ctx context.Context, topic string) (event.Producer, error) {
	p, err := s.Channel.Producer(ctx, topic)
	return bounded{p}, err
}

type bounded struct{ event.Producer }

func (b bounded) Produce(ctx context.Context, events ...event.Event) error {
	for _, e := range events {
		if len(e.Data()) > 1000 {
			return event.ErrTooLarge
		}
	}
	return b.Producer.Produce(ctx, events...)
}

// forgetsSent is a store that never notes that a command was sent.
type forgetsSent struct{ command.Operations }

func (s forgetsSent) Swap(ctx context.Context, o command.Operation) (command.Operation, error) {
	if o.State == command.Accepted {
		return o, errors.New("away")
	}
	return s.Operations.Swap(ctx, o)
}

// A delivery that finds the payload gone, since another of the same command has ended meanwhile, is
// answered and no dead letter.
func TestPayloadGoneMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var began, runs atomic.Int32
		second := event.MiddlewareFunc(func(next event.Handler) event.Handler {
			return func(ctx context.Context, e event.Event) error {
				if began.Add(1) == 2 {
					time.Sleep(time.Second) // virtual
				}
				return next(ctx, e)
			}
		})
		b := started(t, memory.New(), command.Config{
			Operations: forgetsSent{command.NewMemory(command.MemoryConfig{})},
			Payloads:   payload.NewMemory(payload.MemoryConfig{}), Payload: payload.Config{Above: 1},
		}, func(context.Context, placeOrder) error {
			runs.Add(1)
			time.Sleep(time.Millisecond) // virtual
			return nil
		}, bus.Workers(2), bus.With(second))
		require.NoError(t, b.Pause("place-order")) // both are sent before one begins
		for range 2 {
			_, err := command.Send(t.Context(), b, placeOrder{}, bus.ID("1"))
			require.NoError(t, err)
		}
		require.NoError(t, b.Resume("place-order"))
		time.Sleep(time.Minute) // virtual
		require.EqualValues(t, 2, began.Load())
		require.EqualValues(t, 1, runs.Load())
		for d, err := range b.DeadLetters(t.Context(), "place-order") {
			require.NoError(t, err)
			t.Errorf("a dead letter: %s", d.Cause.Text)
		}
	})
}

// What was sent inside of a handler can be sent again by the same id: it is run once.
func TestSentInsideAndOutside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type ship struct{ Item string }
		var runs atomic.Int32
		b := bus.New(bus.Config{App: "shop", Channel: memory.New()})
		command.Use(b, command.Config{Operations: command.NewMemory(command.MemoryConfig{Keep: time.Hour})})
		command.Handle(b, func(context.Context, ship) error { runs.Add(1); return nil })
		command.Handle(b, func(ctx context.Context, c placeOrder) error {
			_, err := command.Send(ctx, b, ship{c.Item}, bus.ID("ship-1"))
			return err
		})
		require.NoError(t, b.Start(t.Context()))
		_, err := command.Do[struct{}](t.Context(), b, placeOrder{})
		require.NoError(t, err)
		synctest.Wait()
		_, err = command.Send(t.Context(), b, ship{}, bus.ID("ship-1"))
		require.NoError(t, err)
		_, err = command.Do[struct{}](t.Context(), b, ship{}, bus.ID("ship-1"))
		require.NoError(t, err)
		require.EqualValues(t, 1, runs.Load())
		time.Sleep(90 * time.Minute) // virtual
		_, err = command.Send(t.Context(), b, ship{}, bus.ID("ship-1"))
		require.ErrorIs(t, err, command.ErrExists, "it is forgotten")
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// expiring counts what is let go.
type expiring struct {
	*payload.Memory

	n *atomic.Int32
}

func (s expiring) Expire(ctx context.Context, name string, keep time.Duration) error {
	s.n.Add(1)
	return s.Memory.Expire(ctx, name, keep)
}

// While nothing says that a command is done its payload stays until it is acknowledged: it may come
// again.
func TestPayloadOfTheForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int32
		store := payload.NewMemory(payload.MemoryConfig{})
		b := started(t, memory.New(), command.Config{
			Operations: command.NewMemory(command.MemoryConfig{Keep: time.Second}),
			Payloads:   expiring{store, &n}, Payload: payload.Config{Above: 1},
		}, func(context.Context, placeOrder) error {
			time.Sleep(2 * time.Second) // virtual
			return nil
		})
		_, err := command.Do[struct{}](t.Context(), b, placeOrder{})
		require.NoError(t, err)
		synctest.Wait()
		require.Zero(t, n.Load())
		left, _ := store.Len()
		require.Zero(t, left)
	})
}

// A command isn't taken for done because another one by the same id is: Send refuses it, and sent
// by a handler it is a dead letter.
func TestOneIDTwoCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type ship struct{ Item string }
		ops := command.NewMemory(command.MemoryConfig{})
		b := bus.New(bus.Config{App: "shop", Channel: memory.New()})
		command.Use(b, command.Config{Operations: ops})
		command.Handle(b, func(context.Context, ship) error {
			t.Error("it is run")
			return nil
		})
		command.Handle(b, func(ctx context.Context, c placeOrder) error {
			if c.Item == "" {
				return nil
			}
			_, err := command.Send(ctx, b, ship{c.Item}, bus.ID("1"))
			return err
		})
		require.NoError(t, b.Start(t.Context()))
		tenant := func(name string) context.Context { return event.WithOrigin(t.Context(), event.Origin{Tenant: name}) }
		_, err := command.Send(tenant("a"), b, placeOrder{}, bus.ID("1"))
		require.NoError(t, err)
		_, err = command.Send(tenant("b"), b, placeOrder{}, bus.ID("1"))
		require.ErrorIs(t, err, command.ErrExists)
		_, err = command.Send(tenant("a"), b, ship{}, bus.ID("1"))
		require.ErrorIs(t, err, command.ErrExists)
		_, err = command.Do[struct{}](tenant("a"), b, placeOrder{Item: "tea"}, bus.ID("2"))
		require.NoError(t, err)
		synctest.Wait()
		n := 0
		for d, err := range b.DeadLetters(t.Context(), "ship") {
			require.NoError(t, err)
			require.Contains(t, d.Cause.Text, "another command")
			n++
		}
		require.Equal(t, 1, n)
		o, err := ops.Get(t.Context(), "1")
		require.NoError(t, err)
		require.Equal(t, command.Succeeded, o.State)
		require.Equal(t, "place-order", o.Name)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// A command that is sent again when it is over leaves no payload behind.
func TestPayloadOfARepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := payload.NewMemory(payload.MemoryConfig{})
		b := started(t, memory.New(), command.Config{
			Operations: command.NewMemory(command.MemoryConfig{}), Payloads: store, Payload: payload.Config{Above: 1},
		}, func(context.Context, placeOrder) error { return nil })
		for range 2 {
			_, err := command.Send(t.Context(), b, placeOrder{}, bus.ID("1"))
			require.NoError(t, err)
			synctest.Wait()
		}
		time.Sleep(time.Minute) // virtual
		n, _ := store.Len()
		require.Zero(t, n)
	})
}

// Details that are no JSON are dropped: a store that keeps JSON could never take the operation,
// and the command would wait for ever.
func TestUnsoundProblem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ops := command.NewMemory(command.MemoryConfig{})
		b := started(t, memory.New(), command.Config{Operations: ops}, func(context.Context, placeOrder) error {
			return &event.Error{Code: "no", Message: "sorry", Details: json.RawMessage("{")}
		})
		_, err := command.Do[struct{}](t.Context(), b, placeOrder{}, bus.ID("1"))
		require.Equal(t, event.NewError("no", "sorry"), err)
		o, err := ops.Get(t.Context(), "1")
		require.NoError(t, err)
		_, err = o.MarshalBinary()
		require.NoError(t, err)
	})
}
