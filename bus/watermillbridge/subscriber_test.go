package watermillbridge_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

// holder is a channel that can't take deliveries back, as Kafka's can't.
type holder struct{ *memory.Channel }

func (h holder) Consumer(ctx context.Context, s event.Subscription) (event.Consumer, error) {
	c, err := h.Channel.Consumer(ctx, s)
	return holding{c}, err
}

type holding struct{ event.Consumer }

func (h holding) Settle(ctx context.Context, ss []event.Settlement) error {
	for i, s := range ss {
		if s.Kind == event.SettleRetry || s.Kind == event.SettleRelease {
			return &event.SettleError{Failed: map[int]error{i: event.ErrNotSupported}}
		}
	}
	return h.Consumer.Settle(ctx, ss)
}

func publish(t *testing.T, ch event.Channel, topic string, ids ...string) {
	t.Helper()
	p := watermillbridge.NewPublisher(ch, watermillbridge.PublisherConfig{})
	for _, id := range ids {
		require.NoError(t, p.Publish(topic, message.NewMessage(id, []byte("data"))))
	}
}

// A nacked message comes again ahead of those behind it, after a delay that grows,
// whether the channel takes deliveries back or not.
func TestNacksComeAgainInPlace(t *testing.T) {
	for name, wrap := range map[string]func(*memory.Channel) event.Channel{
		"given back": func(ch *memory.Channel) event.Channel { return ch },
		"held":       func(ch *memory.Channel) event.Channel { return holder{ch} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ch := wrap(memory.New())
				s := watermillbridge.NewSubscriber(ch, watermillbridge.SubscriberConfig{Group: "g"})
				require.NoError(t, s.SubscribeInitialize("orders"))
				ms, err := s.Subscribe(t.Context(), "orders")
				require.NoError(t, err)
				publish(t, ch, "orders", "1", "2")
				start := time.Now()
				var at []time.Duration
				for range 5 {
					m := <-ms
					assert.Equal(t, "1", m.UUID)
					m.Metadata.Set("mine", "x") // it is this run's
					at = append(at, time.Since(start))
					m.Nack()
				}
				m := <-ms
				assert.Equal(t, "1", m.UUID)
				assert.Empty(t, m.Metadata.Get("mine"))
				m.Ack()
				assert.Equal(t, []time.Duration{0, 0, 10 * time.Millisecond, 30 * time.Millisecond, 70 * time.Millisecond}, at)
				m = <-ms
				assert.Equal(t, "2", m.UUID)
				m.Ack()
				require.NoError(t, s.Close())
				require.NoError(t, ch.Close(context.Background()))
			})
		})
	}
}

// The message's context ends with its Ack, and Close waits for that.
func TestCloseWaitsForTheMessageInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		s := watermillbridge.NewSubscriber(ch, watermillbridge.SubscriberConfig{Group: "g", CloseTimeout: time.Minute})
		ms, err := s.Subscribe(t.Context(), "orders")
		require.NoError(t, err)
		publish(t, ch, "orders", "1", "2")
		m := <-ms
		var closed sync.WaitGroup
		start := time.Now()
		closed.Go(func() { assert.NoError(t, s.Close()) })
		time.Sleep(30 * time.Second) // virtual
		require.NoError(t, m.Context().Err(), "its handler may end")
		m.Ack()
		closed.Wait()
		assert.Equal(t, 30*time.Second, time.Since(start))
		require.Error(t, m.Context().Err())
		_, open := <-ms
		assert.False(t, open)
		_, err = s.Subscribe(t.Context(), "orders")
		require.Error(t, err)

		s = watermillbridge.NewSubscriber(ch, watermillbridge.SubscriberConfig{Group: "g", CloseTimeout: time.Minute})
		ms, err = s.Subscribe(t.Context(), "orders")
		require.NoError(t, err)
		m = <-ms
		assert.Equal(t, "2", m.UUID, "the first is not handled again")
		start = time.Now()
		require.NoError(t, s.Close()) // nobody acknowledges it
		assert.Equal(t, time.Minute, time.Since(start))
		require.Error(t, m.Context().Err())
		require.NoError(t, ch.Close(context.Background()))
	})
}

// Members come and go while messages are handled: each is handled, and none twice that
// was acknowledged.
func TestNothingIsLostWhenMembersComeAndGo(t *testing.T) {
	for name, wrap := range map[string]func(*memory.Channel) event.Channel{
		"given back": func(ch *memory.Channel) event.Channel { return ch },
		"held":       func(ch *memory.Channel) event.Channel { return holder{ch} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 500
				ch := wrap(memory.New())
				var ids []string
				for i := range n {
					ids = append(ids, fmt.Sprint(i))
				}
				first := watermillbridge.NewSubscriber(ch, watermillbridge.SubscriberConfig{Group: "g"})
				require.NoError(t, first.SubscribeInitialize("orders"))
				publish(t, ch, "orders", ids...)
				var handled []string
				runs := 0
				for i := 0; len(handled) < n && i < n; i++ {
					s := watermillbridge.NewSubscriber(ch, watermillbridge.SubscriberConfig{Group: "g"})
					ms, err := s.Subscribe(t.Context(), "orders")
					require.NoError(t, err)
					var handler sync.WaitGroup
					handler.Go(func() {
						for m := range ms {
							time.Sleep(7 * time.Millisecond) // virtual
							if runs++; runs%10 == 3 {
								m.Nack()
								continue
							}
							handled = append(handled, m.UUID)
							m.Ack()
						}
					})
					time.Sleep(100 * time.Millisecond) // virtual
					require.NoError(t, s.Close())
					handler.Wait()
				}
				assert.Equal(t, ids, handled)
				require.NoError(t, ch.Close(context.Background()))
			})
		})
	}
}

// Watermill's Router runs on a channel: what a handler returns is published, and its
// correlation is kept.
func TestRouter(t *testing.T) {
	ch := memory.New()
	pub := watermillbridge.NewPublisher(ch, watermillbridge.PublisherConfig{})
	sub := watermillbridge.NewSubscriber(ch, watermillbridge.SubscriberConfig{Group: "g"})
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	require.NoError(t, err)
	fail := true
	router.AddHandler("order", "orders", sub, "mails", pub, func(m *message.Message) ([]*message.Message, error) {
		if fail {
			fail = false
			return nil, errors.New("once")
		}
		out := message.NewMessage("mail-"+m.UUID, m.Payload)
		out.Metadata = m.Metadata
		return []*message.Message{out}, nil
	})
	mails := make(chan *message.Message, 1)
	router.AddConsumerHandler("mail", "mails", sub, func(m *message.Message) error { mails <- m; return nil })
	ctx, cancel := context.WithCancel(t.Context())
	var ran sync.WaitGroup
	ran.Go(func() { assert.NoError(t, router.Run(ctx)) })
	<-router.Running()
	m := message.NewMessage("1", []byte("data"))
	m.Metadata.Set("correlation_id", "c")
	require.NoError(t, pub.Publish("orders", m))
	mail := <-mails
	assert.Equal(t, "mail-1", mail.UUID)
	assert.Equal(t, "c", mail.Metadata.Get("correlation_id"))
	cancel()
	ran.Wait()
	require.NoError(t, ch.Close(context.Background()))
}

// Without a group each Subscribe gets everything.
func TestWithoutAGroupEachGetsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		s := watermillbridge.NewSubscriber(ch, watermillbridge.SubscriberConfig{})
		one, err := s.Subscribe(t.Context(), "orders")
		require.NoError(t, err)
		other, err := s.Subscribe(t.Context(), "orders")
		require.NoError(t, err)
		publish(t, ch, "orders", "1")
		for _, ms := range []<-chan *message.Message{one, other} {
			m := <-ms
			assert.Equal(t, "1", m.UUID)
			m.Ack()
		}
		require.NoError(t, s.Close())
		require.NoError(t, ch.Close(context.Background()))
	})
}
