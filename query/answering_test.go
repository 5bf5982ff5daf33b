package query_test

import (
	"context"
	"errors"
	"sync"
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

// noReplies is a channel that takes no replies for one application.
type noReplies struct{ shared }

func (c noReplies) Producer(ctx context.Context, topic string) (event.Producer, error) {
	if topic == "nobody.replies" {
		return nil, errors.New("there is no such topic")
	}
	return c.shared.Producer(ctx, topic)
}

// An answer that nobody takes is tried less and less often: who asks can't keep a handler busy
// with a query.
func TestAnswerThatNobodyTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := bus.New(bus.Config{App: "server", Channel: noReplies{shared{memory.New(memory.Encode())}}})
		var calls atomic.Int64
		query.Handle(server, func(context.Context, getOrder) (order, error) {
			calls.Add(1)
			return order{}, nil
		})
		(&world{t: t}).start(server)
		require.NoError(t, server.Publish(t.Context(), getOrder{},
			bus.Attribute(event.ExtReplyTo, "nobody.replies/x"),
			bus.Attribute(event.ExtReplyBy, time.Now().Add(time.Hour).UTC().Format(time.RFC3339Nano))))
		time.Sleep(time.Second) // virtual
		require.GreaterOrEqual(t, calls.Load(), int64(3))
		time.Sleep(2 * time.Hour) // virtual
		require.Less(t, calls.Load(), int64(200))
	})
}

// spying is a channel that keeps the contexts under which replies are sent.
type spying struct {
	shared

	mu   *sync.Mutex
	seen *[]context.Context
}

type spy struct {
	event.Producer
	of spying
}

func (c spying) Producer(ctx context.Context, topic string) (event.Producer, error) {
	p, err := c.shared.Producer(ctx, topic)
	if topic != "client.replies" {
		return p, err
	}
	return spy{p, c}, err
}

func (s spy) Produce(ctx context.Context, es ...event.Event) error {
	s.of.mu.Lock()
	*s.of.seen = append(*s.of.seen, ctx)
	s.of.mu.Unlock()
	_ = ctx.Done() // from here on it costs something
	return s.Producer.Produce(ctx, es...)
}

// The answer of a handler whose time is over is sent under a context that ends with the sending,
// and not only when nobody waits any more.
func TestAnswerAfterTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := spying{shared: shared{memory.New(memory.Encode())}, mu: new(sync.Mutex), seen: new([]context.Context)}
		server := bus.New(bus.Config{App: "server", Channel: ch})
		query.Handle(server, func(ctx context.Context, _ getOrder) (order, error) {
			<-ctx.Done()
			return order{}, ctx.Err()
		}, bus.Timeout(time.Second))
		client := bus.New(bus.Config{App: "client", Channel: ch})
		(&world{t: t}).start(server, client)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err := query.Ask[order](ctx, client, getOrder{})
		require.ErrorIs(t, err, query.ErrTimedOut)
		synctest.Wait()
		require.Len(t, *ch.seen, 1)
		require.Error(t, (*ch.seen)[0].Err())
	})
}
