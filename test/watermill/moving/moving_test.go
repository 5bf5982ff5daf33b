package moving_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/bustest"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/test/watermill/moving"
)

type mails chan string

func (m mails) Send(_ context.Context, subject string) error {
	m <- subject
	return nil
}

// The service as it was runs on a channel of leat: a Bus publishes to it, and handles
// what it publishes.
func TestBetween(t *testing.T) {
	channel := memory.New()
	sent := make(chan string, 1)
	b := bus.New(bus.Config{App: "shop", Channel: channel, KeepChannel: true})
	bus.SubscribeRaw(b, "audit", nil, func(_ context.Context, e event.Event) error {
		sent <- e.Type() + " " + string(e.Data())
		return nil
	}, bus.Topic("mail-sent"))
	require.NoError(t, b.Start(t.Context()))

	pub, sub := moving.Between(channel)
	mailed := make(mails, 2)
	router, err := moving.OnWatermill(sub, pub, mailed)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var ran sync.WaitGroup
	ran.Go(func() { assert.NoError(t, router.Run(ctx)) })
	<-router.Running()

	require.NoError(t, moving.Place(t.Context(), b, moving.OrderPlaced{ID: "42"}))
	require.Equal(t, "Your order 42", <-mailed)
	require.Equal(t, `mail-sent {"order":"42"}`, <-sent)
	require.NoError(t, moving.PlaceOnWatermill(t.Context(), pub, moving.OrderPlaced{ID: "43"}))
	require.Equal(t, "Your order 43", <-mailed)
	require.Equal(t, `mail-sent {"order":"43"}`, <-sent)
	cancel()
	ran.Wait()
	require.NoError(t, b.Shutdown(context.Background()))
}

// The service as it is then does the same, tested without a broker.
func TestOnLeat(t *testing.T) {
	bustest.Run(t, func(_ *testing.T, b *bustest.Bus) {
		mailed := make(mails, 1)
		moving.OnLeat(b.Bus, mailed)
		b.Publish(moving.OrderPlaced{ID: "42"})
		b.Settle()
		bustest.Want(b, moving.MailSent{Order: "42"})
	})
}
