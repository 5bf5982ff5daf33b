package command_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/command"
)

// started returns a Bus that handles orders, until the test ends.
func started(t *testing.T, ch *memory.Channel, cfg command.Config, h func(context.Context, placeOrder) error, opts ...bus.SubscribeOption) *bus.Bus {
	t.Helper()
	b := bus.New(bus.Config{App: "shop", Channel: ch})
	command.Use(b, cfg)
	command.Handle(b, h, opts...)
	require.NoError(t, b.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, b.Shutdown(context.WithoutCancel(t.Context()))) })
	return b
}

// A command that comes too late isn't run, and says so, where no operations are kept, and where
// its own isn't kept any more.
func TestExpiryOfTheUnknown(t *testing.T) {
	for name, cfg := range map[string]command.Config{
		"not kept":  {},
		"forgotten": {Operations: command.NewMemory(command.MemoryConfig{Keep: 2 * time.Second})},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := started(t, memory.New(), cfg, func(context.Context, placeOrder) error {
					t.Error("it is run")
					return nil
				})
				require.NoError(t, b.Pause("place-order"))
				time.AfterFunc(3*time.Second, func() { _ = b.Resume("place-order") })
				_, err := command.Do[struct{}](t.Context(), b, placeOrder{}, command.Expires(time.Second))
				require.ErrorIs(t, err, command.ErrExpired)
			})
		})
	}
}

// A dead letter that is driven again is run, though its time is over and nothing of it is kept.
func TestExpiryOfTheRedriven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		b := started(t, memory.New(), command.Config{}, func(context.Context, placeOrder) error {
			if runs.Add(1) == 1 {
				return errors.New("broken")
			}
			return nil
		}, quickly(1))
		_, err := command.Send(t.Context(), b, placeOrder{}, command.Expires(time.Second))
		require.NoError(t, err)
		time.Sleep(2 * time.Second) // virtual
		for d, err := range b.DeadLetters(t.Context(), "place-order") {
			require.NoError(t, err)
			require.NoError(t, b.Redrive(t.Context(), d))
		}
		synctest.Wait()
		require.EqualValues(t, 2, runs.Load())
	})
}
