package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/killtest"
)

// frail is a channel that knows its consumer, and what happens when that settles.
type frail struct {
	*memory.Channel

	pass     func(point string) error
	consumer event.Consumer
}

func (f *frail) Consumer(ctx context.Context, s event.Subscription) (event.Consumer, error) {
	c, err := f.Channel.Consumer(ctx, s)
	f.consumer = c
	return settling{c, f.pass}, err
}

type settling struct {
	event.Consumer

	pass func(point string) error
}

func (c settling) Settle(ctx context.Context, s []event.Settlement) error {
	if err := c.pass(killtest.BeforeSettle); err != nil {
		return err
	}
	return errors.Join(c.Consumer.Settle(ctx, s), c.pass(killtest.AfterSettle))
}

// The points of a delivery where its process can vanish.
const (
	pointBeforeHandler = "before the handler"
	pointBeforeEffect  = "before the effect"
	pointAfterEffect   = "after the effect"
	pointBeforeCommit  = "before the commit"
	pointAfterCommit   = "after the commit"
)

// crashing is a handler of Paid with its points.
func crashing(b *bus.Bus, money bank, once event.Middleware, pass func(point string) error, from bus.TopicOption, to string) {
	around := func(before, after string) event.Middleware {
		return event.MiddlewareFunc(func(next event.Handler) event.Handler {
			return func(ctx context.Context, e event.Event) error {
				if err := pass(before); err != nil {
					return err
				}
				if err := next(ctx, e); err != nil {
					return err
				}
				return pass(after)
			}
		})
	}
	bus.Subscribe(b, "billing", func(ctx context.Context, p Paid) error {
		if err := money.book(ctx, p.Cents); err != nil {
			return err
		}
		if err := pass(pointAfterEffect); err != nil {
			return err
		}
		return b.Publish(ctx, Booked{p.Customer}, bus.Topic(to))
	}, from, bus.With(around(pointBeforeHandler, pointAfterCommit), once, around(pointBeforeEffect, pointBeforeCommit)), bus.Workers(4))
}

// A consumer vanishes at each point of a delivery. What it was at ends there, as that of a
// process does that is dead; or it goes on, as one may that has lost its connection; or it
// stands still for a while. The effect is there once, and so is what follows.
func TestCrashAtEachPoint(t *testing.T) {
	for _, then := range []string{"dies", "goes on", "stands still"} {
		for _, point := range []string{
			pointBeforeHandler, pointBeforeEffect, pointAfterEffect, pointBeforeCommit, pointAfterCommit, killtest.BeforeSettle, killtest.AfterSettle,
		} {
			t.Run(point+" it "+then, func(t *testing.T) { crashAt(t, point, then) })
		}
	}
}

func crashAt(t *testing.T, point, then string) {
	t.Helper()
	const events = 40
	s, pool := newStore(t)
	money := newBank(t, pool)
	ch := memory.New(memory.Lease(50 * time.Millisecond))
	h := listen(t, ch, "booked")
	heal := make(chan struct{})
	victim := &frail{Channel: ch}
	var passes atomic.Int64
	victim.pass = func(at string) error {
		if at != point || passes.Add(1) != 5 {
			return nil
		}
		ch.Crash(victim.consumer)
		switch then {
		case "dies":
			return event.ErrLeaseLost
		case "stands still":
			<-heal
		}
		return nil
	}
	start := func(ch event.Channel, once event.Middleware, pass func(string) error) *bus.Bus {
		b := bus.New(bus.Config{App: "shop", Channel: ch, KeepChannel: true})
		crashing(b, money, once, pass, bus.Topic("paid"), "booked")
		require.NoError(t, b.Start(t.Context()))
		t.Cleanup(func() { require.NoError(t, b.Shutdown(context.WithoutCancel(t.Context()))) })
		return b
	}
	start(victim, s.InTx(), victim.pass)
	defer close(heal) // before it is shut down
	want, p := make(map[string]int), producer(t, ch)
	for i := range events {
		e := in(fmt.Sprint(i), Paid{Customer: fmt.Sprint(i % 8), Cents: i})
		want[e.ID()] = 1
		require.NoError(t, p.Produce(t.Context(), e, e))
	}
	require.Eventually(t, func() bool { return passes.Load() >= 5 }, 10*time.Second, time.Millisecond)
	once := s.InTx()
	b := start(ch, once, func(string) error { return nil })
	stop := relaying(t, s, b)
	defer stop()
	if then == "stands still" && (point == pointBeforeEffect || point == pointAfterEffect || point == pointBeforeCommit) {
		// its transaction is open, and has its event
		require.Eventually(t, func() bool { return once.Stats().Busy > 0 }, 10*time.Second, time.Millisecond)
		heal <- struct{}{}
	}
	quiet(t, ch)
	require.Equal(t, want, money.booked(t))
	follow := make(map[string]bool)
	for _, e := range h.wait(t, events) {
		follow[e.ID()] = true
	}
	for id := range want {
		require.True(t, follow[event.DerivedID("shop.billing", "/shop", id, 0)], "what follows %s", id)
	}
}

func producer(t *testing.T, ch event.Channel) event.Producer {
	t.Helper()
	p, err := ch.Producer(t.Context(), "paid")
	require.NoError(t, err)
	return p
}
