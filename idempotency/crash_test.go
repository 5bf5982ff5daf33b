package idempotency_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
)

// The points of a delivery where its process can vanish.
const (
	beforeClaim  = "before the claim"
	beforeEffect = "before the effect"
	afterEffect  = "after the effect"
	afterRecord  = "after the record"
	beforeAck    = "before the ack"
	afterAck     = "after the ack"
)

// frail is a channel whose consumer passes points.
type frail struct {
	*memory.Channel

	pass     func(ctx context.Context, point string) error
	consumer event.Consumer
}

func (f *frail) Consumer(ctx context.Context, s event.Subscription) (event.Consumer, error) {
	c, err := f.Channel.Consumer(ctx, s)
	f.consumer = c
	return settling{c, f.pass}, err
}

type settling struct {
	event.Consumer

	pass func(ctx context.Context, point string) error
}

func (c settling) Settle(ctx context.Context, s []event.Settlement) error {
	if err := c.pass(ctx, beforeAck); err != nil {
		return err
	}
	if err := c.Consumer.Settle(ctx, s); err != nil {
		return err
	}
	return c.pass(ctx, afterAck)
}

// A consumer vanishes at a point of a delivery. If it goes on, as a process does that has
// lost its connection, no effect is doubled. If it does nothing more, as one that is dead,
// the effect is doubled that has no record, and no other; none is lost.
func TestCrash(t *testing.T) {
	for _, dies := range []bool{false, true} {
		for _, point := range []string{beforeClaim, beforeEffect, afterEffect, afterRecord, beforeAck, afterAck} {
			t.Run(fmt.Sprint(point, " dies:", dies), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { crashAt(t, point, dies) })
			})
		}
	}
}

func crashAt(t *testing.T, point string, dies bool) {
	t.Helper()
	const events, lease = 40, time.Minute
	k := &crashes{t: t, ch: memory.New(memory.Lease(lease)), effects: make(map[string]int)}
	store := idempotency.NewMemory(idempotency.MemoryConfig{})
	victim := &frail{Channel: k.ch}
	passes, gone := 0, make(chan struct{})
	victim.pass = func(ctx context.Context, at string) error {
		k.mu.Lock()
		defer k.mu.Unlock()
		if at == point {
			passes++
		}
		if at != point || passes != 5 {
			return nil
		}
		k.ch.Crash(victim.consumer)
		close(gone)
		if !dies {
			return nil
		}
		return event.ErrLeaseLost
	}
	k.start(victim, store, victim.pass)
	p, err := k.ch.Producer(t.Context(), "charge")
	require.NoError(t, err)
	for i := range events {
		e := order(fmt.Sprint(i)).WithKey(fmt.Sprint(i % 8))
		require.NoError(t, p.Produce(t.Context(), e, e))
	}
	<-gone
	k.start(k.ch, store, func(context.Context, string) error { return nil })
	require.NoError(t, k.ch.Quiet(t.Context()))
	k.mu.Lock()
	defer k.mu.Unlock()
	require.Len(t, k.effects, events)
	doubled := 0
	for id, n := range k.effects {
		require.LessOrEqual(t, n, 2, id)
		doubled += n - 1
	}
	if dies && point == afterEffect {
		require.Equal(t, 1, doubled, "the effect that has no record")
	} else {
		require.Zero(t, doubled)
	}
}

type crashes struct {
	t  *testing.T
	ch *memory.Channel

	mu      sync.Mutex
	effects map[string]int
}

func (k *crashes) start(ch event.Channel, store idempotency.Store, pass func(ctx context.Context, point string) error) {
	around := event.MiddlewareFunc(func(next event.Handler) event.Handler {
		return func(ctx context.Context, e event.Event) error {
			if err := pass(ctx, beforeClaim); err != nil {
				return err
			}
			if err := next(ctx, e); err != nil {
				return err
			}
			return pass(ctx, afterRecord)
		}
	})
	b := bus.New(bus.Config{App: "shop", Channel: ch, KeepChannel: true})
	bus.Subscribe(b, "billing", func(ctx context.Context, _ charge) error {
		if err := pass(ctx, beforeEffect); err != nil {
			return err
		}
		in, _ := event.FromContext(ctx)
		k.mu.Lock()
		k.effects[in.Event.ID()]++
		k.mu.Unlock()
		return pass(ctx, afterEffect)
	}, bus.Topic("charge"), bus.With(around, idempotency.Middleware(store, idempotency.Lease(time.Second))))
	require.NoError(k.t, b.Start(k.t.Context()))
	k.t.Cleanup(func() { require.NoError(k.t, b.Shutdown(context.WithoutCancel(k.t.Context()))) })
}
