package query_test

import (
	"context"
	"errors"
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

// opening shows the consumers that a Bus opens on a channel.
type opening struct {
	*memory.Channel

	mu     sync.Mutex
	opened []event.Consumer
}

func (o *opening) Consumer(ctx context.Context, s event.Subscription) (event.Consumer, error) {
	c, err := o.Channel.Consumer(ctx, s)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.opened = append(o.opened, c)
	return c, err
}

// Who has lost a query answers it no more, whatever its handler says: somebody else does.
func TestLostQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New(memory.Lease(2 * time.Second))
		server := func(h query.Func[getOrder, order]) *opening {
			o := &opening{Channel: ch}
			b := bus.New(bus.Config{App: "server", Channel: o, KeepChannel: true})
			query.Handle(b, h)
			require.NoError(t, b.Start(t.Context()))
			t.Cleanup(func() { require.NoError(t, b.Shutdown(context.WithoutCancel(t.Context()))) })
			return o
		}
		began := make(chan struct{})
		first := server(func(ctx context.Context, _ getOrder) (order, error) {
			close(began)
			<-ctx.Done()
			require.ErrorIs(t, context.Cause(ctx), event.ErrLeaseLost)
			return order{}, errors.New("not so")
		})
		client := bus.New(bus.Config{App: "client", Channel: ch, KeepChannel: true})
		require.NoError(t, client.Start(t.Context()))
		answered := make(chan error)
		var got order
		go func() {
			var err error
			got, err = query.Ask[order](t.Context(), client, getOrder{"42"})
			answered <- err
		}()
		<-began
		ch.Crash(first.opened[0])
		server(func(_ context.Context, q getOrder) (order, error) { return order{ID: q.ID}, nil })
		require.NoError(t, <-answered)
		require.Equal(t, "42", got.ID)
		require.NoError(t, client.Shutdown(t.Context()))
		require.Zero(t, query.StatsOf(client).Dropped)
	})
}
