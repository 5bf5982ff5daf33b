package bus_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

type step struct {
	Order string
	N     int
}

func (s step) EventKey() string { return s.Order }

// steps handles steps in order and fails where it is told to.
type steps struct {
	mu       sync.Mutex
	fail     func(s step) error
	handled  map[string][]int
	settled  []bus.Settled
	stalls   []bus.StallReason
	attempts int
}

func (h *steps) handle(_ context.Context, s step) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fail != nil {
		if err := h.fail(s); err != nil {
			return err
		}
	}
	if h.handled == nil {
		h.handled = make(map[string][]int)
	}
	h.handled[s.Order] = append(h.handled[s.Order], s.N)
	return nil
}

func (h *steps) failOn(n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fail = func(s step) error {
		if s.N == n {
			return err
		}
		return nil
	}
}

func (h *steps) of(order string) []int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.handled[order])
}

func (h *steps) OnSettle(s bus.Settled) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.settled = append(h.settled, s)
}

func (h *steps) OnStall(s bus.Stall) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stalls = append(h.stalls, s.Reason)
}

// kinds counts how deliveries were settled, those left out that were taken away.
func (h *steps) kinds() map[event.SettleKind]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := make(map[event.SettleKind]int)
	for _, s := range h.settled {
		if s.Err == nil {
			n[s.Kind]++
		}
	}
	return n
}

func publishSteps(t *testing.T, b *bus.Bus, order string, from, to int) {
	t.Helper()
	var vs []any
	for n := from; n <= to; n++ {
		vs = append(vs, step{order, n})
	}
	require.NoError(t, b.PublishAll(t.Context(), vs...))
}

func TestParkKey(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		tries int
		code  string
	}{
		"last attempt": {errBoom, 3, "handler"},
		"permanent":    {event.Permanent(errBoom), 1, "permanent"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ch := memory.New()
				h := &steps{}
				h.failOn(2, c.err)
				b := bus.New(bus.Config{Channel: ch, Hooks: []any{h}})
				bus.Subscribe(b, "orders", h.handle, bus.ParkKey(), bus.Retry(bus.Backoff{Attempts: 3}), bus.Workers(4))
				start(t, b)
				publishSteps(t, b, "a", 1, 5)
				publishSteps(t, b, "b", 3, 5)
				quiet(t, ch)
				publishSteps(t, b, "a", 6, 6)
				quiet(t, ch)
				require.Equal(t, []int{1}, h.of("a"))
				require.Equal(t, []int{3, 4, 5}, h.of("b"), "other keys go on")
				ls := letters(t, b, "orders", "a")
				require.Len(t, ls, 5)
				require.Equal(t, c.code, ls[0].Cause.Code)
				require.Equal(t, c.tries, ls[0].Cause.Failures)
				require.Equal(t, event.CodeParkedBehind, ls[1].Cause.Code)
				require.Empty(t, letters(t, b, "orders", "b"))
				require.Len(t, letters(t, b, "orders"), 5)
				require.Equal(t, map[event.SettleKind]int{event.SettleAck: 4, event.SettlePark: 1}, h.kinds())

				h.failOn(0, nil)
				n, err := b.RedriveKey(t.Context(), "orders", "a")
				require.NoError(t, err)
				require.Equal(t, 5, n)
				publishSteps(t, b, "a", 7, 8)
				drain(t, b)
				require.Equal(t, []int{1, 2, 3, 4, 5, 6, 7, 8}, h.of("a"))
			})
		})
	}
}

// Data that can't be decoded parks its key; types without a handler don't.
func TestParkKeyOfWhatNoHandlerSees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		h := &steps{}
		b := bus.New(bus.Config{Channel: ch, Hooks: []any{h}})
		bus.Subscribe(b, "orders", h.handle, bus.ParkKey(), bus.Strict())
		start(t, b)
		publish(t, b, event.Attributes{Source: "/x", Type: "unknown", Key: "a"}.Event(), bus.Topic("step"))
		publish(t, b, step{"a", 1})
		publish(t, b, event.Attributes{Source: "/x", Type: "step", Key: "a", ContentType: "application/json", Data: []byte("{")}.Event())
		publish(t, b, step{"a", 2})
		quiet(t, ch)
		require.Equal(t, []int{1}, h.of("a"))
		require.Len(t, letters(t, b, "orders", "a"), 3)
		require.Equal(t, map[event.SettleKind]int{event.SettleAck: 1, event.SettleDead: 1, event.SettlePark: 1}, h.kinds())
		drain(t, b)
	})
}

// An event that kills the process parks its key when the broker's limit is reached.
func TestParkKeyAtTheBrokersLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		h := &steps{}
		b := bus.New(bus.Config{Channel: &limited{Channel: ch, limit: func(g *event.Guarantees) { g.RedriveLimit = 1 }}, Hooks: []any{h}})
		bus.Subscribe(b, "orders", h.handle, bus.ParkKey())
		start(t, b)
		publishSteps(t, b, "a", 1, 2)
		quiet(t, ch)
		require.NoError(t, b.Shutdown(t.Context()))
		require.Equal(t, 1, h.kinds()[event.SettlePark])
		require.Zero(t, h.kinds()[event.SettleDead])
	})
}

// What is taken away with a key leaves its place in the window.
func TestParkKeyFreesTheWindow(t *testing.T) {
	for name, options := range map[string][]bus.SubscribeOption{
		"ordered":   {bus.Workers(2)},
		"unordered": {bus.Workers(2), bus.Unordered()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ch := memory.New()
				h := &steps{}
				h.failOn(1, errBoom)
				b := bus.New(bus.Config{Channel: ch})
				bus.Subscribe(b, "orders", h.handle, append(options, bus.ParkKey(), bus.InFlight(8), bus.Retry(bus.Backoff{Attempts: 2}))...)
				start(t, b)
				for i := range 40 {
					publishSteps(t, b, string(rune('A'+i)), 1, 6)
				}
				publishSteps(t, b, "good", 2, 30)
				quiet(t, ch)
				lag, err := ch.Lag(t.Context(), "step", "orders")
				require.NoError(t, err)
				require.Zero(t, lag.Unsettled())
				if name == "ordered" {
					require.Equal(t, 40*6, lag.Dead)
				}
				drain(t, b)
				require.Len(t, h.of("good"), 29)
			})
		})
	}
}

// When the dead letters are full, the key waits where it is.
func TestParkKeyInAFullStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New(memory.DeadCapacity(1))
		h := &steps{}
		h.failOn(1, event.Permanent(errBoom))
		b := bus.New(bus.Config{Channel: ch, Hooks: []any{h}})
		bus.Subscribe(b, "orders", h.handle, bus.ParkKey(), bus.Workers(2))
		start(t, b)
		publishSteps(t, b, "a", 1, 1)
		quiet(t, ch)
		publishSteps(t, b, "b", 1, 3)
		publishSteps(t, b, "c", 2, 3)
		time.Sleep(time.Hour) // virtual
		require.Empty(t, h.of("b"))
		require.Equal(t, []int{2, 3}, h.of("c"))
		require.Contains(t, h.stalls, bus.StallDead)
		require.NoError(t, b.Discard(t.Context(), letters(t, b, "orders")[0]))
		time.Sleep(time.Hour) // virtual
		require.Equal(t, "b", letters(t, b, "orders")[0].Event.Key())
		require.Empty(t, h.of("b"))
		h.failOn(0, nil)
		n, err := b.RedriveKey(t.Context(), "orders", "b")
		require.NoError(t, err)
		require.Equal(t, 1, n)
		drain(t, b)
		require.Equal(t, []int{1, 2, 3}, h.of("b"))
	})
}

// limited is a channel that promises less, and has no optional interface.
type limited struct {
	event.Channel

	limit func(g *event.Guarantees)
	asked int
}

func (l *limited) Guarantees(ctx context.Context, topic, group string) (event.Guarantees, error) {
	g, err := l.Channel.Guarantees(ctx, topic, group)
	if topic != "" && group == "" {
		l.asked++
	}
	l.limit(&g)
	return g, err
}

func TestParkKeyMistakes(t *testing.T) {
	noParks := func(g *event.Guarantees) { g.Parks = false }
	handle := func(context.Context, step) error { return nil }
	b := bus.New(bus.Config{Channel: &limited{Channel: memory.New(), limit: noParks}})
	bus.Subscribe(b, "a", handle, bus.ParkKey())
	bus.Subscribe(b, "b", handle, bus.ParkKey(), bus.BlockKey())
	bus.Subscribe(b, "c", handle)
	err := b.Start(t.Context())
	require.ErrorContains(t, err, `handler "a/step": topic "step": ParkKey: memory can't park keys`)
	require.ErrorContains(t, err, `group "b": BlockKey and ParkKey contradict each other`)
	require.NotContains(t, err.Error(), `"c`)
}

// parksOn is a channel that can park keys on one topic only.
type parksOn struct {
	event.Channel

	topic string
}

func (p parksOn) Guarantees(ctx context.Context, topic, group string) (event.Guarantees, error) {
	g, err := p.Channel.Guarantees(ctx, topic, group)
	g.Parks = topic == p.topic
	return g, err
}

// Keys have to be parked where the handler's events come from, and not elsewhere.
func TestParkKeyOnItsTopics(t *testing.T) {
	type other struct{ N int }
	b := bus.New(bus.Config{Channel: parksOn{memory.New(), "step"}})
	bus.Subscribe(b, "g", func(context.Context, step) error { return nil }, bus.ParkKey())
	bus.Subscribe(b, "g", func(context.Context, other) error { return nil })
	start(t, b)
}

func TestRedriveKeyErrors(t *testing.T) {
	handle := func(context.Context, step) error { return nil }
	b := bus.New(bus.Config{Channel: &limited{Channel: memory.New(), limit: func(*event.Guarantees) {}}})
	bus.Subscribe(b, "a", handle)
	start(t, b)
	_, err := b.RedriveKey(t.Context(), "a", "k")
	require.ErrorIs(t, err, event.ErrNotSupported)
	_, err = b.RedriveKey(t.Context(), "nobody", "k")
	require.Error(t, err)

	b = bus.New(bus.Config{Channel: memory.New()})
	bus.Subscribe(b, "a", handle)
	_, err = b.RedriveKey(t.Context(), "a", "k")
	require.ErrorIs(t, err, bus.ErrNotStarted)
	start(t, b)
	n, err := b.RedriveKey(t.Context(), "a", "k")
	require.NoError(t, err)
	require.Zero(t, n)
	require.NoError(t, b.Shutdown(t.Context()))
	_, err = b.RedriveKey(t.Context(), "a", "k")
	require.ErrorIs(t, err, event.ErrClosed)
}

// A key is redriven on every topic of its group.
func TestRedriveKeyOnEveryTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type other struct{ N int }
		ch := memory.New()
		good := false
		var handled []string
		handle := func(_ context.Context, e event.Event) error {
			if !good {
				return event.Permanent(errors.New("no"))
			}
			handled = append(handled, e.Type())
			return nil
		}
		b := bus.New(bus.Config{Channel: ch})
		bus.SubscribeRaw(b, "g", []string{"step", "other"}, handle, bus.ParkKey())
		start(t, b)
		publish(t, b, step{"k", 1})
		publish(t, b, other{1}, bus.Key("k"))
		publish(t, b, other{1}, bus.Key("j"))
		quiet(t, ch)
		good = true
		n, err := b.RedriveKey(t.Context(), "g", "k")
		require.NoError(t, err)
		require.Equal(t, 2, n)
		drain(t, b)
		require.ElementsMatch(t, []string{"step", "other"}, handled)
	})
}
