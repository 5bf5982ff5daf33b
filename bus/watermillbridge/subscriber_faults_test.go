package watermillbridge_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

// unsettled is a channel that settles nothing.
type unsettled struct {
	event.Channel

	blocks bool
}

func (u unsettled) Consumer(ctx context.Context, s event.Subscription) (event.Consumer, error) {
	c, err := u.Channel.Consumer(ctx, s)
	return unsettling{c, u.blocks}, err
}

type unsettling struct {
	event.Consumer

	blocks bool
}

func (u unsettling) Settle(ctx context.Context, _ []event.Settlement) error {
	if u.blocks {
		<-ctx.Done()
		return ctx.Err()
	}
	return errRefused
}

// Close doesn't wait for ever for a channel that can't record an Ack.
func TestCloseWhileNothingIsSettled(t *testing.T) {
	for name, blocks := range map[string]bool{"it fails": false, "it blocks": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ch := memory.New()
				s := watermillbridge.NewSubscriber(unsettled{ch, blocks},
					watermillbridge.SubscriberConfig{Group: "g", CloseTimeout: time.Minute})
				ms, err := s.Subscribe(t.Context(), "orders")
				require.NoError(t, err)
				publish(t, ch, "orders", "1")
				(<-ms).Ack()
				synctest.Wait()
				closed := make(chan error, 1)
				go func() { closed <- s.Close() }()
				select {
				case err := <-closed:
					require.NoError(t, err)
				case <-time.After(time.Hour):
					require.Fail(t, "it never closes")
				}
				require.NoError(t, ch.Close(t.Context()))
			})
		})
	}
}

// What is acknowledged after the end of Subscribe's context, and in time, is not handled
// again, also where the channel's consumers end with theirs.
func TestAckAfterTheEndOfSubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := bridged(t, nil)
		s := watermillbridge.NewSubscriber(ch, watermillbridge.SubscriberConfig{Group: "g", CloseTimeout: time.Minute})
		ctx, end := context.WithCancel(t.Context())
		ms, err := s.Subscribe(ctx, "orders")
		require.NoError(t, err)
		publish(t, ch, "orders", "1")
		m := <-ms
		end()
		time.Sleep(time.Second) // virtual
		require.NoError(t, m.Context().Err(), "its handler may end")
		m.Ack()
		_, open := <-ms
		require.False(t, open)
		ms, err = s.Subscribe(t.Context(), "orders")
		require.NoError(t, err)
		select {
		case m := <-ms:
			require.Fail(t, "it comes again", m.UUID)
		case <-time.After(time.Minute):
		}
		require.NoError(t, s.Close())
		require.NoError(t, ch.Close(t.Context()))
	})
}
