package request_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/bus/request"
	"github.com/leat-go/leat/event"
)

// receiving counts what inboxes receive.
type receiving struct {
	*memory.Channel

	deaf     bool // it calls nobody
	received atomic.Int64
}

func (r *receiving) Consumer(ctx context.Context, s event.Subscription) (event.Consumer, error) {
	if r.deaf {
		s.OnEvent = nil
	}
	c, err := r.Channel.Consumer(ctx, s)
	return &receivingConsumer{c, r, s.Ephemeral}, err
}

type receivingConsumer struct {
	event.Consumer

	of     *receiving
	counts bool
}

func (c *receivingConsumer) Receive(ctx context.Context, buf []event.Delivery) (int, error) {
	n, err := c.Consumer.Receive(ctx, buf)
	if c.counts {
		c.of.received.Add(int64(n))
	}
	return n, err
}

// Answers come to the inbox by a call where the channel calls, else as deliveries.
func TestAnswersAreTold(t *testing.T) {
	for deaf, received := range map[bool]int64{false: 0, true: 3} {
		synctest.Test(t, func(t *testing.T) {
			ch := &receiving{Channel: memory.New(), deaf: deaf}
			b := bus.New(bus.Config{App: "shop", Channel: ch})
			r := request.Of(b)
			bus.SubscribeRaw(b, "g", []string{"ping"}, func(ctx context.Context, e event.Event) error {
				return r.Answer(ctx, e, request.Answer{Result: event.Result{ContentType: "application/json", Data: e.Data()}})
			}, bus.Topic("ping"))
			require.NoError(t, b.Start(t.Context()))
			for n := range 3 {
				answer, err := ask(t.Context(), b, n)
				require.NoError(t, err)
				require.Equal(t, pong{n}, answer)
			}
			synctest.Wait()
			require.Equal(t, received, ch.received.Load())
			require.Zero(t, r.Dropped())
			require.NoError(t, b.Shutdown(t.Context()))
		})
	}
}
