package command_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/event"
)

type sameTopic struct{}

func (sameTopic) EventTopic() string { return "place-order" }

// Start names every mistake of the set-up at once.
func TestMistakes(t *testing.T) {
	b := bus.New(bus.Config{Channel: memory.New()})
	command.Handle(b, func(context.Context, PlaceOrder) error { return nil })
	command.HandleResult(b, func(context.Context, PlaceOrder) (Receipt, error) { return Receipt{}, nil })
	command.Handle[Receipt](b, nil)
	command.HandleResult[Receipt, int](b, nil)
	command.Handle(b, func(context.Context, int) error { return nil })
	command.Handle(b, func(context.Context, sameTopic) error { return nil })
	command.Use(b, command.Config{Notify: map[string]command.Notifier{"chat": nil}})
	command.Use(b, command.Config{})
	err := b.Start(t.Context())
	for _, want := range []string{
		`two handlers for "place-order": a command has exactly one`,
		`nil handler for command_test.Receipt`,
		`type int has no name of its own`,
		`"place-order" and "same-topic" have the same topic "place-order"`,
		`notifier "chat" is nil`,
		`Use was called already`,
	} {
		require.ErrorContains(t, err, want)
	}
}

// What isn't the command on its topic becomes a dead letter; what can't be decoded has
// failed.
func TestForeign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch, ops := memory.New(), command.NewMemory(command.MemoryConfig{})
		b := bus.New(bus.Config{Channel: ch})
		command.Use(b, command.Config{Operations: ops})
		command.Handle(b, func(context.Context, PlaceOrder) error { return nil })
		require.NoError(t, b.Start(t.Context()))
		require.PanicsWithValue(t, "bus: command.Use after Start: subscribe first, so that Start can check everything",
			func() { command.Use(b, command.Config{}) })
		require.NoError(t, b.Publish(t.Context(), event.New("/s", "other", nil).WithID("1"), bus.Topic("place-order")))
		require.NoError(t, b.Publish(t.Context(), event.New("/s", "place-order", []byte("{")).WithID("2")))
		require.NoError(t, ch.Quiet(t.Context()))
		var dead []string
		for d, err := range b.DeadLetters(t.Context(), "place-order") {
			require.NoError(t, err)
			dead = append(dead, d.Event.ID())
		}
		require.ElementsMatch(t, []string{"1", "2"}, dead)
		o, err := ops.Get(t.Context(), "2")
		require.NoError(t, err)
		require.Equal(t, command.Failed, o.State)
		require.True(t, o.Dead)
		require.ErrorIs(t, command.Progress(t.Context(), 1, ""), event.ErrNotHandling)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}
