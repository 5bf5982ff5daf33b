package bus_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// keptOutbox is an outbox that keeps what it gets.
type keptOutbox struct {
	mu  sync.Mutex
	all []string
}

func (k *keptOutbox) Add(_ context.Context, _ string, events ...event.Event) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range events {
		k.all = append(k.all, e.Type())
	}
	return nil
}

// A sibling has the same Config, leaves the channel open, and its handlers publish on the
// first Bus to the outbox of their context alone.
func TestSibling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		wraps := 0
		b := bus.New(bus.Config{App: "shop", Channel: ch, Middleware: []event.Middleware{
			event.MiddlewareFunc(func(next event.Handler) event.Handler { wraps++; return next }),
		}})
		var out keptOutbox
		var group string
		other := b.Style().Sibling()
		require.Equal(t, "shop", other.Style().App())
		bus.Subscribe(other, "g", func(ctx context.Context, _ styled) error {
			info, _ := event.FromContext(ctx)
			group = info.Group
			require.NoError(t, b.Publish(ctx, OrderPlaced{}))
			require.NoError(t, b.Publish(ctx, OrderPlaced{}, bus.Now()))
			return b.PublishAll(ctx, OrderPlaced{})
		}, bus.With(event.MiddlewareFunc(func(next event.Handler) event.Handler {
			return func(ctx context.Context, e event.Event) error { return next(event.WithOutbox(ctx, &out), e) }
		})))
		placed := 0
		bus.Subscribe(b, "placed", func(context.Context, OrderPlaced) error { placed++; return nil })
		require.NoError(t, b.Start(t.Context()))
		require.NoError(t, other.Start(t.Context()))
		require.NoError(t, b.Publish(t.Context(), styled{}))
		require.NoError(t, ch.Quiet(t.Context()))
		require.Equal(t, "shop.g", group)
		require.Equal(t, 2, wraps)
		require.Zero(t, placed)
		require.Equal(t, []string{"order-placed", "order-placed", "order-placed"}, out.all)
		require.NoError(t, other.Shutdown(t.Context()))
		require.NoError(t, b.Publish(t.Context(), OrderPlaced{}), "the channel is still open")
		require.NoError(t, b.Drain(t.Context()))
		require.Equal(t, 1, placed)
		require.False(t, bus.New(bus.Config{}).Style().Sibling().Style().HasChannel())
	})
}

// The rest of a group's topics comes to the handler of the rest, unless the group has one of
// its own there; a strict group has no unknown types then.
func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		b := bus.New(bus.Config{Channel: ch})
		var got []string
		note := func(by string) event.Handler {
			return func(_ context.Context, e event.Event) error { got = append(got, by+" "+e.Type()); return nil }
		}
		b.Style().Rest("g", note("rest"))
		bus.SubscribeRaw(b, "g", []string{"a"}, note("a"), bus.Topic("one"), bus.Topic("two"), bus.Strict())
		bus.SubscribeRaw(b, "g", nil, note("own"), bus.Topic("two"))
		bus.Subscribe(b, "g", func(context.Context, styled) error { got = append(got, "styled"); return nil })
		require.NoError(t, b.Start(t.Context()))
		for _, e := range []struct{ typ, topic string }{{"a", "one"}, {"b", "one"}, {"a", "two"}, {"b", "two"}, {"c", "styled"}} {
			require.NoError(t, b.Publish(t.Context(), event.New("/s", e.typ, nil), bus.Topic(e.topic)))
			require.NoError(t, ch.Quiet(t.Context()))
		}
		require.Equal(t, []string{"a a", "rest b", "a a", "own b", "rest c"}, got)
		require.NoError(t, b.Drain(t.Context()))

		b = bus.New(bus.Config{Channel: memory.New()})
		b.Style().Rest("bad group", note("rest"), bus.Workers(0))
		err := b.Start(t.Context())
		require.ErrorContains(t, err, `group "bad group"`)
		require.ErrorContains(t, err, "Workers(0)")
	})
}

// outer notes when it is called, and what has no run.
type outer struct {
	calls *[]string
	unrun []event.Delivery
	fails int
}

func (o *outer) Wrap(next event.Handler) event.Handler {
	return func(ctx context.Context, e event.Event) error {
		*o.calls = append(*o.calls, "outside")
		return next(ctx, e)
	}
}

func (o *outer) CheckStart(event.Subscription, event.Guarantees) error {
	*o.calls = append(*o.calls, "check")
	return nil
}

func (o *outer) Unrun(_ context.Context, d event.Delivery) error {
	o.unrun = append(o.unrun, d)
	if o.fails--; o.fails >= 0 {
		return errors.New("not now")
	}
	return nil
}

// A middleware outside is around all others; it knows of what has no run, which is held until it has
// taken note.
func TestOutside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []string
		o := &outer{calls: &calls, fails: 2}
		around := event.MiddlewareFunc(func(next event.Handler) event.Handler {
			return func(ctx context.Context, e event.Event) error {
				calls = append(calls, "config")
				return next(ctx, e)
			}
		})
		a := &altered{Channel: memory.New()}
		a.consumer = func(_ event.Subscription, c event.Consumer) (event.Consumer, error) { return undecodable{c}, nil }
		b := bus.New(bus.Config{Channel: a, Middleware: []event.Middleware{around}})
		bus.Subscribe(b, "g", func(context.Context, styled) error { calls = append(calls, "handler"); return nil })
		b.Style().Rest("g", func(context.Context, event.Event) error { return nil }, b.Style().Outside(o))
		require.NoError(t, b.Start(t.Context()))
		require.NoError(t, b.Publish(t.Context(), styled{}))
		require.NoError(t, b.Publish(t.Context(), event.New("/s", "rest", nil), bus.Topic("styled")))
		require.NoError(t, b.Publish(t.Context(), event.New("/s", "broken", nil), bus.Topic("styled")))
		require.NoError(t, b.Drain(t.Context()))
		require.Equal(t, []string{"check", "config", "handler", "outside", "config"}, calls)
		require.Len(t, o.unrun, 3)
		require.Equal(t, int64(3), o.unrun[2].Position.Offset)
	})
}

// undecodable makes bytes that are no event of those of a type.
type undecodable struct{ event.Consumer }

func (u undecodable) Receive(ctx context.Context, buf []event.Delivery) (int, error) {
	n, err := u.Consumer.Receive(ctx, buf)
	for i := range buf[:n] {
		if buf[i].Event.Type() == "broken" {
			buf[i].Err, buf[i].Event, buf[i].Raw = errors.New("no event"), event.Event{}, []byte("x")
		}
	}
	return n, err
}
