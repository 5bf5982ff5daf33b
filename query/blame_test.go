package query_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/query"
)

// strict is a catalog that refuses what comes in.
type strict struct{ named }

func (strict) Upcast(event.Event) (event.Event, error) {
	return event.Event{}, errors.New("no such schema")
}

// Invalid is what the handler can't read, or its catalog refuses; not what another couldn't read whom the handler has
// asked.
func TestWhoseFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New(memory.Encode())
		refuses := bus.New(bus.Config{App: "refuses", Channel: shared{ch}, Catalog: strict{"x-"}})
		query.Handle(refuses, func(context.Context, getOrder) (order, error) { return order{}, nil })
		nested := bus.New(bus.Config{App: "nested", Channel: shared{ch}, Catalog: named("y-")})
		query.Handle(nested, func(context.Context, getOrder) (order, error) {
			return order{}, &bus.DecodeError{Err: errors.New("of something else")}
		})
		x := bus.New(bus.Config{App: "client", Channel: shared{ch}, Catalog: named("x-")})
		y := bus.New(bus.Config{App: "client", Channel: shared{ch}, Catalog: named("y-")})
		for _, b := range []*bus.Bus{refuses, nested, x, y} {
			require.NoError(t, b.Start(t.Context()))
			t.Cleanup(func() { require.NoError(t, b.Shutdown(context.WithoutCancel(t.Context()))) })
		}
		_, err := query.Ask[order](t.Context(), x, getOrder{})
		require.ErrorIs(t, err, query.ErrInvalid)
		_, err = query.Ask[order](t.Context(), y, getOrder{})
		require.ErrorIs(t, err, query.ErrFailed)
	})
}

// A watch that a batch handler has begun is no worse for those who come to it.
func TestWatchFromBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New(memory.Encode())
		server := bus.New(bus.Config{App: "server", Channel: shared{ch}})
		query.Handle(server, func(ctx context.Context, _ getOrder) (order, error) { return order{ID: "1"}, nil })
		client := bus.New(bus.Config{App: "client", Channel: shared{ch}})
		type told struct{ ID string }
		got := make(chan error, 1)
		bus.SubscribeBatch(client, "g", func(ctx context.Context, _ []told) error {
			for _, err := range query.Watch[order](ctx, client, getOrder{}) {
				got <- err
				break
			}
			return nil
		}, bus.Batch(10, time.Second))
		for _, b := range []*bus.Bus{server, client} {
			require.NoError(t, b.Start(t.Context()))
			t.Cleanup(func() { require.NoError(t, b.Shutdown(context.WithoutCancel(t.Context()))) })
		}
		require.NoError(t, client.Publish(t.Context(), told{"1"}))
		require.NoError(t, <-got)
	})
}
