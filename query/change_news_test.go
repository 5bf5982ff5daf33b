package query_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/query"
)

// unsteady is a channel whose subscriptions to changes can be cut and refused.
type unsteady struct {
	*memory.Channel

	mu      sync.Mutex
	refused bool
	slow    time.Duration // opening takes
	opened  int
	subs    map[*cuttable]event.Subscription
}

func newUnsteady() *unsteady {
	return &unsteady{Channel: memory.New(memory.Encode()), subs: make(map[*cuttable]event.Subscription)}
}

var errCut = errors.New("cut")

func (f *unsteady) Consumer(ctx context.Context, s event.Subscription) (event.Consumer, error) {
	if !strings.Contains(s.Group, ".changed-") {
		return f.Channel.Consumer(ctx, s)
	}
	select {
	case <-time.After(f.slow): // virtual
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refused {
		return nil, errCut
	}
	inner, err := f.Channel.Consumer(ctx, s)
	c := &cuttable{Consumer: inner, f: f}
	c.life, c.cut = context.WithCancel(context.Background())
	f.opened++
	f.subs[c] = s
	return c, err
}

// refuse cuts all subscriptions, and lets none be opened until accept.
func (f *unsteady) refuse() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused = true
	for c := range f.subs {
		c.cut()
	}
}

func (f *unsteady) accept() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused = false
}

// report lets the engine report an error.
func (f *unsteady) report() {
	f.mu.Lock()
	subs := maps.Clone(f.subs)
	f.mu.Unlock()
	for _, s := range subs {
		s.OnError(errCut)
	}
}

func (f *unsteady) open() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.subs)
}

type cuttable struct {
	event.Consumer

	f    *unsteady
	life context.Context
	cut  context.CancelFunc
}

func (c *cuttable) Receive(ctx context.Context, buf []event.Delivery) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(c.life, cancel)
	defer stop()
	n, err := c.Consumer.Receive(ctx, buf)
	if err != nil && c.life.Err() != nil {
		err = errCut
	}
	return n, err
}

func (c *cuttable) Close(ctx context.Context) error {
	c.f.mu.Lock()
	delete(c.f.subs, c)
	c.f.mu.Unlock()
	c.cut()
	return c.Consumer.Close(ctx)
}

// A subscription that ends is opened again; what was told meanwhile isn't missed.
func TestSubscriptionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := newUnsteady()
		s := newDesk()
		a, b := s.open(t, ch), s.open(t, ch)
		sb := watching(t.Context(), b, "tea")
		require.Equal(t, []string{"0"}, sb.take())
		require.Equal(t, 1, ch.open())
		ch.refuse()
		synctest.Wait()
		require.Equal(t, 2, s.asks("tea"), "something may have been missed already")
		require.Zero(t, ch.open(), "what ended is closed")
		s.set("tea", 1)
		require.NoError(t, query.Changed(t.Context(), a, priceOf{"tea"}))
		time.Sleep(5 * time.Second) // virtual
		require.Empty(t, sb.take())
		require.Equal(t, []string{"1"}, watching(t.Context(), b, "tea").take(), "who begins now asks")
		require.Equal(t, []string{"1"}, sb.take())
		s.set("tea", 0)
		require.NoError(t, query.Changed(t.Context(), a, priceOf{"tea"}))
		ch.accept()
		time.Sleep(5 * time.Second) // virtual
		require.Equal(t, []string{"0"}, sb.take())
		require.Equal(t, 4, s.asks("tea"))
		s.set("tea", 2)
		require.NoError(t, query.Changed(t.Context(), a, priceOf{"tea"}))
		require.Equal(t, []string{"2"}, sb.take())
		require.Equal(t, 2, ch.opened)
	})
}

// Opening is tried less and less often, up to every 30 seconds, and a watch goes on without.
func TestSubscriptionRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := newUnsteady()
		ch.refuse()
		s := newDesk()
		b := s.open(t, ch)
		sb := watching(t.Context(), b, "tea")
		require.Equal(t, []string{"0"}, sb.take())
		time.Sleep(time.Hour) // virtual
		s.set("tea", 1)
		ch.accept()
		time.Sleep(30 * time.Second) // virtual
		require.Equal(t, []string{"1"}, sb.take())
	})
}

// When the engine reports an error, all may have changed, then and when it is quiet again.
func TestSubscriptionTroubled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := newUnsteady()
		s := newDesk()
		b := s.open(t, ch)
		sb := watching(t.Context(), b, "tea")
		s.set("tea", 1)
		ch.report()
		require.Equal(t, []string{"0", "1"}, sb.take())
		s.set("tea", 2)
		for range 100 {
			time.Sleep(500 * time.Millisecond) // virtual
			ch.report()
		}
		require.Empty(t, sb.take())
		require.Equal(t, 2, s.asks("tea"), "errors in a row are one")
		time.Sleep(time.Second) // virtual
		require.Equal(t, []string{"2"}, sb.take())
		time.Sleep(time.Hour) // virtual
		require.Equal(t, 3, s.asks("tea"))
		ch.report()
		synctest.Wait()
		require.Equal(t, 4, s.asks("tea"))
	})
}

// A watch waits for a subscription that is opened slowly, and not for ever; a Shutdown ends the
// opening.
func TestSubscriptionSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := newUnsteady()
		s := newDesk()
		ch.slow = 3 * time.Second
		sb := watching(t.Context(), s.open(t, ch), "tea")
		require.Empty(t, sb.take())
		time.Sleep(3 * time.Second) // virtual
		require.Equal(t, []string{"0"}, sb.take())
		require.Equal(t, 1, s.asks("tea"))

		s = newDesk()
		ch.slow = 10 * time.Second
		sb = watching(t.Context(), s.open(t, ch), "tea")
		time.Sleep(5 * time.Second) // virtual
		require.Equal(t, []string{"0"}, sb.take())
		s.set("tea", 1)
		time.Sleep(5 * time.Second) // virtual
		require.Equal(t, []string{"1"}, sb.take())

		s = newDesk()
		ch.slow = time.Hour
		b := bus.New(bus.Config{Channel: ch, KeepChannel: true})
		query.Handle(b, s.answer)
		require.NoError(t, b.Start(t.Context()))
		sb = watching(t.Context(), b, "tea")
		began := time.Now()
		require.NoError(t, b.Shutdown(t.Context()))
		require.Zero(t, time.Since(began))
		require.Equal(t, []string{event.ErrClosed.Error()}, sb.take())
	})
}
