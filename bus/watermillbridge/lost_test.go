package watermillbridge_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

// partitions is a subscription that hands out several messages at once, and ends with
// what it hands out.
type partitions struct{ out chan *message.Message }

func (p partitions) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if topic != "orders" {
		never := make(chan *message.Message)
		context.AfterFunc(ctx, func() { close(never) })
		return never, nil
	}
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		for {
			select {
			case m := <-p.out:
				out <- m
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func (p partitions) Close() error { return nil }

// What was given back without an answer, because its member closes, holds up nobody when
// it is another's: also while a handler of that member runs on.
func TestWhatIsLostWhileAMemberCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := partitions{make(chan *message.Message)}
		lost := make(chan struct{})
		ch := bridged(t, func(ps *watermillbridge.PubSub) {
			ps.Subscriber = func(watermillbridge.Member) (message.Subscriber, error) { return p, nil }
			ps.Unacked, ps.Returns = 4, false
			ps.Lost = func(*message.Message) <-chan struct{} { return lost }
		})
		c, err := ch.Consumer(t.Context(), event.Subscription{Group: "shop.g", Topics: []string{"orders"}})
		require.NoError(t, err)
		var sent []*message.Message
		send := func() {
			m, err := watermillbridge.Encode(event.New("/t", "e", nil))
			require.NoError(t, err)
			sent = append(sent, m)
			p.out <- m
			synctest.Wait()
		}
		send()
		send()
		buf := make([]event.Delivery, 2)
		n, err := c.Receive(t.Context(), buf)
		require.NoError(t, err)
		require.Equal(t, 2, n)
		ctx, ok := c.Begin(buf[0].Token)
		require.True(t, ok)
		closed := make(chan error)
		go func() { closed <- c.Close(context.WithoutCancel(t.Context())) }()
		synctest.Wait()
		send() // while it closes
		close(lost)
		synctest.Wait()
		for i, m := range sent {
			select {
			case <-m.Acked():
			default:
				t.Errorf("message %d holds up its subscription", i)
			}
		}
		require.ErrorIs(t, context.Cause(ctx), event.ErrLeaseLost)
		require.NoError(t, <-closed)
		require.NoError(t, ch.Close(t.Context()))
	})
}

// cut is a queue that ends the context of what it has handed out, and waits for an answer
// all the same.
type cut struct {
	clinging

	cuts chan context.CancelFunc
}

func (q cut) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	in, err := q.clinging.Subscribe(ctx, topic)
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		for m := range in {
			own, end := context.WithCancel(ctx)
			m.SetContext(own)
			q.cuts <- end
			out <- m
		}
	}()
	return out, err
}

// What is lost because its context ended is given back too.
func TestWhatIsCutOffComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := cut{make(clinging, 10), make(chan context.CancelFunc, 10)}
		ch := bridged(t, func(ps *watermillbridge.PubSub) {
			ps.Publisher = q
			ps.Subscriber = func(m watermillbridge.Member) (message.Subscriber, error) {
				if m.Group == "shop.g" {
					return q, nil
				}
				return make(clinging), nil
			}
		})
		c, err := ch.Consumer(t.Context(), event.Subscription{Group: "shop.g", Topics: []string{"orders"}})
		require.NoError(t, err)
		p, err := ch.Producer(t.Context(), "orders")
		require.NoError(t, err)
		require.NoError(t, p.Produce(t.Context(), event.New("/t", "e", nil)))
		buf := make([]event.Delivery, 1)
		for range 3 {
			_, err := c.Receive(t.Context(), buf)
			require.NoError(t, err)
			ctx, ok := c.Begin(buf[0].Token)
			require.True(t, ok)
			(<-q.cuts)()
			<-ctx.Done()
			require.ErrorIs(t, context.Cause(ctx), event.ErrLeaseLost)
		}
		require.NoError(t, c.Close(t.Context()))
		require.NoError(t, ch.Close(t.Context()))
	})
}
