package query_test

import (
	"context"
	"errors"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/query"
)

// started returns a Bus without a channel that was set up and started.
func started(t *testing.T, cfg bus.Config, setUp func(*bus.Bus)) *bus.Bus {
	t.Helper()
	b := bus.New(cfg)
	setUp(b)
	require.NoError(t, b.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, b.Shutdown(context.WithoutCancel(t.Context()))) })
	return b
}

// In process the handler is called, in the caller's goroutine and under its context, and values and errors are
// passed as they are.
func TestDirect(t *testing.T) {
	type key struct{}
	type box struct{ v *int }
	secret := errors.New("secret")
	b := started(t, bus.Config{}, func(b *bus.Bus) {
		query.Handle(b, func(ctx context.Context, q box) (*box, error) {
			if q.v == nil {
				return nil, secret
			}
			*q.v += ctx.Value(key{}).(int)
			return &q, nil
		})
	})
	n := 1
	got, err := query.Ask[*box](context.WithValue(t.Context(), key{}, 41), b, box{&n})
	require.NoError(t, err)
	require.Same(t, &n, got.v, "it is shared")
	require.Equal(t, 42, n)
	_, err = query.Ask[*box](t.Context(), b, box{})
	require.Same(t, secret, err)
}

// A panic is an error, with its stack.
func TestDirectPanics(t *testing.T) {
	b := started(t, bus.Config{}, func(b *bus.Bus) {
		query.Handle(b, func(context.Context, getOrder) (order, error) { panic("oops") })
	})
	_, err := query.Ask[order](t.Context(), b, getOrder{})
	panicked, ok := errors.AsType[*bus.PanicError](err)
	require.True(t, ok)
	require.Equal(t, "oops", panicked.Value)
	require.Contains(t, string(panicked.Stack), "direct_test.go")
}

// The timeout of a handler counts in process, too.
func TestDirectTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := started(t, bus.Config{}, func(b *bus.Bus) {
			query.Handle(b, func(ctx context.Context, _ getOrder) (order, error) {
				<-ctx.Done()
				return order{}, ctx.Err()
			}, bus.Timeout(time.Second))
		})
		began := time.Now()
		_, err := query.Ask[order](t.Context(), b, getOrder{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(began))
	})
}

// With something around the handler the query goes through it, in process too: then it is encoded and decoded, and so it is
// for who asks with another type or for another type.
func TestAround(t *testing.T) {
	var seen []string
	middleware := event.MiddlewareFunc(func(next event.Handler) event.Handler {
		return func(ctx context.Context, e event.Event) error {
			seen = append(seen, string(e.Data()))
			err := next(ctx, e)
			r, _ := event.ResultOf(ctx)
			seen = append(seen, string(r.Data))
			return err
		}
	})
	handle := func(opts ...bus.SubscribeOption) func(*bus.Bus) {
		return func(b *bus.Bus) {
			query.Handle(b, func(_ context.Context, q getOrder) (order, error) {
				if q.ID == "" {
					return order{}, errUnknown
				}
				return order{ID: q.ID}, nil
			}, opts...)
		}
	}
	hook := &attempts{}
	for name, b := range map[string]*bus.Bus{
		"its own": started(t, bus.Config{}, handle(bus.With(middleware))),
		"outer":   started(t, bus.Config{Middleware: []event.Middleware{middleware}}, handle()),
		"inner":   started(t, bus.Config{Inner: []event.Middleware{middleware}}, handle()),
		"hook":    started(t, bus.Config{Hooks: []any{hook}}, handle(bus.With(middleware))),
	} {
		seen = nil
		o, err := query.Ask[order](t.Context(), b, getOrder{ID: "1"})
		require.NoError(t, err, name)
		require.Equal(t, "1", o.ID)
		require.Equal(t, []string{`{"ID":"1"}`, `{"ID":"1","Cents":0}`}, seen, name)
		_, err = query.Ask[order](t.Context(), b, getOrder{})
		require.Same(t, errUnknown, err, name)
	}
	require.Equal(t, []event.OutcomeKind{event.OutcomeAcked, event.OutcomeRejected}, hook.ended)

	plain := started(t, bus.Config{}, handle())
	o, err := query.Ask[*order](t.Context(), plain, &getOrder{ID: "2"})
	require.NoError(t, err)
	require.Equal(t, "2", o.ID)
	other, err := query.Ask[struct{ ID string }](t.Context(), plain, getOrder{ID: "3"})
	require.NoError(t, err)
	require.Equal(t, "3", other.ID)
}

// attempts are told to a hook.
type attempts struct{ ended []event.OutcomeKind }

func (a *attempts) OnAttempt(_ context.Context, e bus.AttemptEnd) {
	a.ended = append(a.ended, e.Outcome)
}

// Mistakes are reported by Start, all at once; what comes too late panics.
func TestMistakes(t *testing.T) {
	type Other struct{}
	b := bus.New(bus.Config{Channel: memory.New()})
	query.Handle(b, func(context.Context, getOrder) (order, error) { return order{}, nil })
	query.Handle(b, func(context.Context, getOrder) (string, error) { return "", nil })
	query.Handle[Other, order](b, nil)
	query.Handle(b, func(context.Context, struct{ A int }) (order, error) { return order{}, nil })
	err := b.Start(t.Context())
	require.ErrorContains(t, err, `two handlers for "get-order"`)
	require.ErrorContains(t, err, "nil handler for query_test.Other")
	require.ErrorContains(t, err, "struct { A int }")

	b = bus.New(bus.Config{})
	query.Handle(b, func(context.Context, getOrder) (order, error) { return order{}, nil })
	_, err = query.Ask[order](t.Context(), b, getOrder{})
	require.ErrorIs(t, err, bus.ErrNotStarted)
	require.NoError(t, b.Start(t.Context()))
	require.Panics(t, func() {
		query.Handle(b, func(context.Context, Other) (order, error) { return order{}, nil })
	})
	_, err = query.Ask[order](t.Context(), b, Other{})
	require.ErrorIs(t, err, query.ErrNoHandler)
	_, err = query.Ask[order](t.Context(), b, event.New("/s", "get-order", nil))
	require.ErrorContains(t, err, "no query")
	_, err = query.Ask[order](t.Context(), b, any(nil))
	require.ErrorContains(t, err, "no query")
	_, err = query.Ask[order](t.Context(), b, struct{ A int }{})
	require.ErrorContains(t, err, "struct { A int }")
	for _, err := range query.AskAll[order](t.Context(), b, getOrder{}) {
		require.ErrorContains(t, err, "needs a channel")
	}
	_, err = query.Ask[order](t.Context(), b, getOrder{})
	require.NoError(t, err)
	require.NoError(t, b.Shutdown(t.Context()))
	_, err = query.Ask[order](t.Context(), b, getOrder{})
	require.ErrorIs(t, err, event.ErrClosed)
}

// Where there has never been a handler that is told at once, and nothing is sent.
func TestNobodyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		spy, err := ch.Consumer(t.Context(), event.Subscription{Group: "spy", Topics: []string{"get-order"}})
		require.NoError(t, err)
		b := bus.New(bus.Config{App: "client", Channel: ch})
		require.NoError(t, b.Start(t.Context()))
		began := time.Now()
		_, err = query.Ask[order](t.Context(), b, getOrder{})
		require.ErrorIs(t, err, query.ErrNoHandler)
		for _, err := range query.AskAll[order](t.Context(), b, getOrder{}) {
			require.ErrorIs(t, err, query.ErrNoHandler)
		}
		require.Zero(t, time.Since(began))
		lag, err := ch.Lag(t.Context(), "get-order", "spy")
		require.NoError(t, err)
		require.Zero(t, lag.Unsettled())
		require.NoError(t, spy.Close(t.Context()))
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// An answer that can't be encoded is a failure; one that the channel can't carry says so.
func TestAnswersThatCantBeSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New(memory.Encode())
		server := bus.New(bus.Config{App: "server", Channel: shared{ch}})
		query.Handle(server, func(context.Context, getOrder) (any, error) { return make(chan int), nil })
		client := bus.New(bus.Config{App: "client", Channel: shared{ch}})
		for _, b := range []*bus.Bus{server, client} {
			require.NoError(t, b.Start(t.Context()))
			t.Cleanup(func() { require.NoError(t, b.Shutdown(context.WithoutCancel(t.Context()))) })
		}
		_, err := query.Ask[order](t.Context(), client, getOrder{})
		require.ErrorIs(t, err, query.ErrFailed)
	})
}

// A query without a way to answer it isn't handled, and what can't be read is answered so.
func TestForeign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New(memory.Encode())
		server := bus.New(bus.Config{App: "server", Channel: shared{ch}})
		calls := 0
		query.Handle(server, func(context.Context, getOrder) (order, error) {
			calls++
			return order{}, nil
		})
		type getORDER struct{ ID []int }
		client := bus.New(bus.Config{App: "client", Channel: shared{ch}, Catalog: renamed{}})
		for _, b := range []*bus.Bus{server, client} {
			require.NoError(t, b.Start(t.Context()))
			t.Cleanup(func() { require.NoError(t, b.Shutdown(context.WithoutCancel(t.Context()))) })
		}
		require.NoError(t, client.Publish(t.Context(), event.New("/x", "get-order", []byte(`{}`)), bus.Topic("get-order")))
		require.NoError(t, ch.Quiet(t.Context()))
		_, err := query.Ask[order](t.Context(), client, getORDER{ID: []int{1}})
		require.ErrorIs(t, err, query.ErrInvalid)
		require.Zero(t, calls)
		require.EqualValues(t, 1, query.StatsOf(server).Expired)
		for _, err := range server.DeadLetters(t.Context(), "get-order", "get-order") {
			require.NoError(t, err)
			require.Fail(t, "a dead letter")
		}
	})
}

// renamed is a catalog by which all types are get-order.
type renamed struct{ named }

func (renamed) Message(reflect.Type) (event.Message, bool) {
	return event.Message{Type: "get-order"}, true
}

// One subscription serves all that a Bus asks, and Shutdown leaves none.
func TestOneInbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := &privates{Channel: memory.New()}
		server := bus.New(bus.Config{App: "server", Channel: ch, KeepChannel: true})
		query.Handle(server, func(context.Context, getOrder) (order, error) { return order{}, nil })
		client := bus.New(bus.Config{App: "client", Channel: ch, KeepChannel: true})
		for _, b := range []*bus.Bus{server, client} {
			require.NoError(t, b.Start(t.Context()))
		}
		for range 100 {
			_, err := query.Ask[order](t.Context(), client, getOrder{})
			require.NoError(t, err)
			for _, err := range query.AskAll[order](t.Context(), client, getOrder{}) {
				require.NoError(t, err)
			}
		}
		require.EqualValues(t, 1, ch.private.Load())
		require.NoError(t, client.Shutdown(t.Context()))
		require.NoError(t, server.Shutdown(t.Context()))
		require.NoError(t, ch.Channel.Close(t.Context()))
	})
}

// privates counts the subscriptions that are private to a Bus.
type privates struct {
	*memory.Channel

	private atomic.Int64
}

func (o *privates) Consumer(ctx context.Context, s event.Subscription) (event.Consumer, error) {
	if s.Ephemeral {
		o.private.Add(1)
	}
	return o.Channel.Consumer(ctx, s)
}
