package watermillbridge_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

// closer is a subscriber whose channel is closed while it subscribes.
type closer struct {
	message.Subscriber

	ch     **watermillbridge.Channel
	closed chan error
}

func (c closer) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if topic == "b" {
		go func() { c.closed <- (*c.ch).Close(ctx) }()
		time.Sleep(time.Second) // virtual
	}
	return c.Subscriber.Subscribe(ctx, topic)
}

// A consumer that is made while the channel is closed leaves nothing behind.
func TestCloseWhileAConsumerIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ch *watermillbridge.Channel
		closed := make(chan error, 1)
		ch = bridged(t, func(ps *watermillbridge.PubSub) {
			of := ps.Subscriber
			ps.Subscriber = func(m watermillbridge.Member) (message.Subscriber, error) {
				s, err := of(m)
				return closer{s, &ch, closed}, err
			}
		})
		_, err := ch.Consumer(t.Context(), event.Subscription{Group: "shop.g", Topics: []string{"a", "b"}})
		require.ErrorIs(t, err, event.ErrClosed)
		require.NoError(t, <-closed)
	})
}

// blocked is a subscriber whose calls end with their context, or not at all.
type blocked struct {
	message.Subscriber

	deaf bool
	back chan struct{}
}

func (b blocked) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if b.deaf {
		<-b.back
		return b.Subscriber.Subscribe(ctx, topic)
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// A consumer is not waited for longer than its context says.
func TestConsumerWhileTheBrokerIsAway(t *testing.T) {
	for name, deaf := range map[string]bool{"it hears": false, "it is deaf": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				back := make(chan struct{})
				ch := bridged(t, func(ps *watermillbridge.PubSub) {
					of := ps.Subscriber
					ps.Subscriber = func(m watermillbridge.Member) (message.Subscriber, error) {
						s, err := of(m)
						return blocked{s, deaf, back}, err
					}
				})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				_, err := ch.Consumer(ctx, event.Subscription{Group: "shop.g", Topics: []string{"orders"}})
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorContains(t, err, `group "shop.g": subscribe to "orders"`)
				require.Less(t, time.Since(start), 20*time.Second)
				close(back)
				require.NoError(t, ch.Close(t.Context()))
			})
		})
	}
}

// eager is a queue that hands out many at once, and what is nacked at once again.
type eager struct {
	q    chan *message.Message
	outs atomic.Int32
}

func (q *eager) Publish(_ string, ms ...*message.Message) error {
	for _, m := range ms {
		q.q <- m.Copy()
	}
	return nil
}

func (q *eager) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	var handing sync.WaitGroup
	for range 4 {
		handing.Go(func() {
			for {
				var m *message.Message
				select {
				case m = <-q.q:
				case <-ctx.Done():
					return
				}
				select {
				case out <- m:
					q.outs.Add(1)
				case <-ctx.Done():
					q.q <- m
					return
				}
				select {
				case <-m.Acked():
				case <-m.Nacked():
					time.Sleep(time.Millisecond) // virtual
					q.q <- m.Copy()
				case <-ctx.Done():
					q.q <- m.Copy()
				}
			}
		})
	}
	go func() { handing.Wait(); close(out) }()
	return out, nil
}

func (q *eager) Close() error { return nil }

// While a member that closes waits for a handler it doesn't take and nack the same
// messages again and again.
func TestNoNackLoopWhileClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &eager{q: make(chan *message.Message, 100)}
		ch := bridged(t, func(ps *watermillbridge.PubSub) {
			ps.Publisher, ps.Unacked = q, 4
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
		for range 3 {
			require.NoError(t, p.Produce(t.Context(), event.New("/t", "x", nil)))
		}
		buf := make([]event.Delivery, 1)
		_, err = c.Receive(t.Context(), buf)
		require.NoError(t, err)
		_, ok := c.Begin(buf[0].Token)
		require.True(t, ok)
		synctest.Wait()
		time.AfterFunc(time.Minute, func() {
			require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Ack(buf[0].Token)}))
		})
		require.NoError(t, c.Close(t.Context()))
		require.Less(t, q.outs.Load(), int32(20))
		require.Len(t, q.q, 2, "nothing is lost")
		require.NoError(t, ch.Close(t.Context()))
	})
}

// endless is a subscriber whose first subscription to a topic never ends.
type endless struct {
	message.Subscriber

	first chan *message.Message
	used  *atomic.Bool
}

func (e endless) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if topic == "orders" && !e.used.Swap(true) {
		return e.first, e.Subscriber.(message.SubscribeInitializer).SubscribeInitialize(topic)
	}
	return e.Subscriber.Subscribe(ctx, topic)
}

// A subscription that doesn't end when it is told to is left alone, and another follows.
func TestSubscriptionThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := endless{first: make(chan *message.Message, 1), used: new(atomic.Bool)}
		ch := bridged(t, func(ps *watermillbridge.PubSub) {
			ps.Guarantees.MaxHold = time.Minute
			of := ps.Subscriber
			ps.Subscriber = func(m watermillbridge.Member) (message.Subscriber, error) {
				s, err := of(m)
				return endless{s, e.first, e.used}, err
			}
		})
		m, err := watermillbridge.Encode(event.New("/t", "held", nil))
		require.NoError(t, err)
		e.first <- m
		var told error
		c, err := ch.Consumer(t.Context(), event.Subscription{Group: "shop.g", Topics: []string{"orders"}, OnError: func(err error) { told = errors.Join(told, err) }})
		require.NoError(t, err)
		p, err := ch.Producer(t.Context(), "orders")
		require.NoError(t, err)
		require.NoError(t, p.Produce(t.Context(), event.New("/t", "next", nil)))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		buf := make([]event.Delivery, 1)
		_, err = c.Receive(ctx, buf)
		require.NoError(t, err)
		require.Equal(t, "held", buf[0].Event.Type())
		_, err = c.Receive(ctx, buf)
		require.NoError(t, err)
		require.Equal(t, "next", buf[0].Event.Type())
		require.ErrorContains(t, told, `group "shop.g": the subscription to "orders" has not ended`)
		require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Ack(buf[0].Token)}))
		require.NoError(t, c.Close(t.Context()))
		require.NoError(t, ch.Close(t.Context()))
	})
}

// swallowing accepts what is put to the dead letters, and forgets it.
type swallowing struct{ message.Publisher }

func (s swallowing) Publish(topic string, ms ...*message.Message) error {
	if topic == "orders.shop.g.dead" {
		return nil
	}
	return s.Publisher.Publish(topic, ms...)
}

// Those who look at dead letters, or wait until they can, hear that the channel is closed.
func TestCloseEndsLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := bridged(t, func(ps *watermillbridge.PubSub) { ps.Publisher = swallowing{ps.Publisher} })
		looked := make(chan error, 2)
		for range cap(looked) {
			go func() {
				_, err := letters(t.Context(), ch)
				looked <- err
			}()
		}
		synctest.Wait()
		began := time.Now()
		require.NoError(t, ch.Close(t.Context()))
		for range cap(looked) {
			require.ErrorIs(t, <-looked, event.ErrClosed)
		}
		require.Less(t, time.Since(began), time.Second)
	})
}

// So do those whose subscription doesn't come about.
func TestCloseEndsLooksThatCantBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := bridged(t, func(ps *watermillbridge.PubSub) {
			of := ps.Subscriber
			ps.Subscriber = func(m watermillbridge.Member) (message.Subscriber, error) {
				s, err := of(m)
				return blocked{s, false, nil}, err
			}
		})
		looked := make(chan error)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			_, err := letters(ctx, ch)
			looked <- err
		}()
		synctest.Wait()
		began := time.Now()
		require.NoError(t, ch.Close(t.Context()))
		require.ErrorIs(t, <-looked, event.ErrClosed)
		require.Less(t, time.Since(began), time.Second)
	})
}
