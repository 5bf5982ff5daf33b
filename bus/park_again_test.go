package bus_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

func (h *steps) OnAttempt(context.Context, bus.AttemptEnd) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.attempts++
}

// What goes behind a failed event does so without a run, and no hook is told.
func TestParkKeyIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		h := &steps{}
		h.failOn(1, event.Permanent(errBoom))
		b := bus.New(bus.Config{Channel: ch, Hooks: []any{h}})
		bus.Subscribe(b, "orders", h.handle, bus.ParkKey(), bus.Workers(4), bus.InFlight(8))
		publishLater := func(from, to int) {
			publishSteps(t, b, "a", from, to)
			quiet(t, ch)
		}
		start(t, b)
		publishLater(1, 6)
		publishLater(7, 9)
		require.Len(t, letters(t, b, "orders", "a"), 9)
		require.Equal(t, 1, h.attempts)
		require.Len(t, h.settled, 1)
		require.Empty(t, h.stalls)
		drain(t, b)
	})
}

// What fails for good once more is parked with those behind it. A Redrive of the one in
// front, or of its repair, is followed by them.
func TestParkKeyAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		h := &steps{}
		h.failOn(2, errBoom)
		b := bus.New(bus.Config{Channel: ch})
		bus.Subscribe(b, "orders", h.handle, bus.ParkKey(), bus.Retry(bus.Backoff{Attempts: 2}))
		start(t, b)
		publishSteps(t, b, "a", 1, 6)
		quiet(t, ch)
		ls := letters(t, b, "orders", "a")
		require.Len(t, ls, 5)
		require.ErrorContains(t, b.Redrive(t.Context(), ls[1]), "parked behind "+ls[0].Event.ID())

		h.failOn(4, errBoom)
		require.NoError(t, b.Redrive(t.Context(), ls[0]))
		quiet(t, ch)
		require.Equal(t, []int{1, 2, 3}, h.of("a"))
		ls = letters(t, b, "orders", "a")
		require.Len(t, ls, 3)
		require.Equal(t, 2, ls[0].Cause.Failures, "of this time")
		require.Equal(t, event.CodeParkedBehind, ls[1].Cause.Code)

		repaired := event.Attributes{
			Source: "/x", Type: "step", Key: "a", ContentType: "application/json", Data: []byte(`{"Order":"a","N":40}`),
		}.Event()
		require.NoError(t, b.Redrive(t.Context(), ls[0], repaired))
		publishSteps(t, b, "a", 7, 7)
		drain(t, b)
		require.Equal(t, []int{1, 2, 3, 40, 5, 6, 7}, h.of("a"))
	})
}

// ParkKey belongs to the handler whose event fails; what is kept behind it is all of the
// key, of whatever type.
func TestParkKeyIsOfItsHandler(t *testing.T) {
	type paid struct{ N int }
	type shipped struct{ N int }
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		var handled tally
		fail := true
		b := bus.New(bus.Config{Channel: ch})
		bus.Subscribe(b, "g", func(_ context.Context, e paid) error {
			if fail && e.N == 0 {
				return event.Permanent(errBoom)
			}
			handled.add("paid")
			return nil
		}, bus.Topic("orders"), bus.ParkKey())
		bus.Subscribe(b, "g", func(_ context.Context, e shipped) error {
			if fail && e.N == 0 {
				return event.Permanent(errBoom)
			}
			handled.add("shipped")
			return nil
		}, bus.Topic("orders"))
		start(t, b)
		send := func(key string, vs ...any) {
			for _, v := range vs {
				publish(t, b, v, bus.Topic("orders"), bus.Key(key))
			}
			quiet(t, ch)
		}
		send("a", shipped{0}, paid{1}, shipped{1})
		require.Equal(t, []string{"paid", "shipped"}, handled.names(), "the key goes on")
		send("b", paid{0}, paid{1}, shipped{1})
		require.Len(t, handled.names(), 2)
		require.Len(t, letters(t, b, "g", "b"), 3)
		fail = false
		n, err := b.RedriveKey(t.Context(), "g", "b")
		require.NoError(t, err)
		require.Equal(t, 3, n)
		drain(t, b)
		require.Equal(t, []string{"paid", "paid", "shipped"}, handled.names()[2:])
	})
}

// An event that a handler publishes can be cancelled once the handler has succeeded.
func TestCancelWhatAHandlerPublishes(t *testing.T) {
	type order struct{ ID string }
	type reminder struct{ ID string }
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		b := bus.New(bus.Config{Channel: ch})
		var inside bool
		reminded := 0
		bus.Subscribe(b, "sales", func(ctx context.Context, o order) (err error) {
			if err := b.Publish(ctx, reminder(o), bus.Delay(time.Hour), bus.ID("due-"+o.ID)); err != nil {
				return err
			}
			inside, err = b.Cancel(ctx, "reminder", "due-"+o.ID)
			return err
		})
		bus.Subscribe(b, "mailer", func(context.Context, reminder) error {
			reminded++
			return nil
		})
		start(t, b)
		publish(t, b, order{"42"})
		synctest.Wait()
		require.False(t, inside)
		found, err := b.Cancel(t.Context(), "reminder", "due-42")
		require.NoError(t, err)
		require.True(t, found)
		drain(t, b)
		require.Zero(t, reminded)
	})
}
