package watermillbridge_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

// counted counts the messages that its subscriptions hand out.
type counted struct {
	message.Subscriber

	n *atomic.Int64
}

func (s counted) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	in, err := s.Subscriber.Subscribe(ctx, topic)
	if err != nil {
		return nil, err
	}
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		for m := range in {
			s.n.Add(1)
			out <- m
		}
	}()
	return out, nil
}

// A member that waits for a handler at its end doesn't get, and give back, what it will
// not handle again and again.
func TestClosingTakesNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		mem := memory.New()
		ps := onMemory(mem, 2)
		ps.Subscriber = func(m watermillbridge.Member) (message.Subscriber, error) {
			return counted{watermillbridge.NewSubscriber(mem, watermillbridge.SubscriberConfig{
				Group: m.Group, CloseTimeout: time.Millisecond, NackDelay: func(int) time.Duration { return time.Second },
			}), &n}, nil
		}
		ch, err := watermillbridge.NewChannel(ps)
		require.NoError(t, err)
		join := func() event.Consumer {
			c, err := ch.Consumer(t.Context(), event.Subscription{Group: "shop.g", Topics: []string{"orders"}})
			require.NoError(t, err)
			return c
		}
		p, err := ch.Producer(t.Context(), "orders")
		require.NoError(t, err)
		c := join()
		require.NoError(t, p.Produce(t.Context(), event.New("/t", "first", nil)))
		buf := make([]event.Delivery, 1)
		_, err = c.Receive(t.Context(), buf)
		require.NoError(t, err)
		_, ok := c.Begin(buf[0].Token)
		require.True(t, ok)
		closed := make(chan error)
		go func() { closed <- c.Close(context.WithoutCancel(t.Context())) }()
		synctest.Wait()
		require.NoError(t, p.Produce(t.Context(), event.New("/t", "second", nil)))
		time.Sleep(time.Minute) // virtual
		require.EqualValues(t, 2, n.Load())
		require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Ack(buf[0].Token)}))
		require.NoError(t, <-closed)
		c = join()
		_, err = c.Receive(t.Context(), buf)
		require.NoError(t, err)
		require.Equal(t, "second", buf[0].Event.Type())
		require.NoError(t, c.Close(t.Context()))
		require.NoError(t, ch.Close(t.Context()))
	})
}
