package watermillbridge_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

// die makes dead letters of the group shop.g of events of one key.
func die(t *testing.T, ch *watermillbridge.Channel, ids ...string) {
	t.Helper()
	c, err := ch.Consumer(t.Context(), event.Subscription{Group: "shop.g", Topics: []string{"orders"}})
	require.NoError(t, err)
	p, err := ch.Producer(t.Context(), "orders")
	require.NoError(t, err)
	buf := make([]event.Delivery, 1)
	for _, id := range ids {
		require.NoError(t, p.Produce(t.Context(), event.New("/t", "order", nil).WithID(id).WithKey("k")))
		_, err = c.Receive(t.Context(), buf)
		require.NoError(t, err)
		require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Dead(buf[0].Token, event.Cause{Code: "bad"})}))
		time.Sleep(time.Millisecond) // virtual
	}
	require.NoError(t, c.Close(t.Context()))
}

// letters returns the ids of the dead letters of the group shop.g.
func letters(ctx context.Context, ch *watermillbridge.Channel) (ids []string, err error) {
	for d, err := range ch.DeadLetters(ctx, "orders", "shop.g") {
		if err != nil {
			return nil, err
		}
		ids = append(ids, d.Event.ID())
	}
	return ids, nil
}

// Those who look at the same letters from several processes disturb each other, and lose
// none.
func TestLettersSurviveManyLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memory.New()
		var channels []*watermillbridge.Channel
		for range 3 {
			ch, err := watermillbridge.NewChannel(onMemory(mem, 1))
			require.NoError(t, err)
			channels = append(channels, ch)
		}
		var ids []string
		for i := range 20 {
			ids = append(ids, fmt.Sprintf("%02d", i))
		}
		die(t, channels[0], ids...)
		var looking sync.WaitGroup
		for i, ch := range channels {
			looking.Go(func() {
				for range 5 {
					time.Sleep(time.Duration(i) * time.Millisecond) // virtual
					_, _ = letters(t.Context(), ch)
				}
			})
		}
		looking.Wait()
		got, err := letters(t.Context(), channels[0])
		require.NoError(t, err)
		require.Equal(t, ids, got)
		for _, ch := range channels {
			require.NoError(t, ch.Close(t.Context()))
		}
	})
}

// Where messages overtake each other, one that is no letter doesn't keep those who look
// from coming to an end.
func TestWhatIsNoLetterDoesntHoldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := bridged(t, func(ps *watermillbridge.PubSub) { ps.InOrder = false })
		p, err := ch.Producer(t.Context(), "orders.shop.g.dead")
		require.NoError(t, err)
		require.NoError(t, p.Produce(t.Context(), event.New("/t", "stray", nil)))
		got, err := letters(t.Context(), ch)
		require.NoError(t, err)
		require.Empty(t, got)
		die(t, ch, "1")
		got, err = letters(t.Context(), ch)
		require.NoError(t, err)
		require.Equal(t, []string{"1"}, got)
		require.NoError(t, ch.Close(t.Context()))
	})
}

// cutting fails once it has published so many to the dead-letter topic.
type cutting struct {
	message.Publisher

	left *int
}

func (c cutting) Publish(topic string, ms ...*message.Message) error {
	if topic == "orders.shop.g.dead" {
		if *c.left == 0 {
			return errRefused
		}
		*c.left--
	}
	return c.Publisher.Publish(topic, ms...)
}

// The letters of a key come again in the order in which they failed, also when somebody
// who looked at them was stopped half-way.
func TestRedriveKeyKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := -1
		ch := bridged(t, func(ps *watermillbridge.PubSub) { ps.Publisher = cutting{ps.Publisher, &left} })
		die(t, ch, "1", "2", "3")
		left = 2 // the marker, and one that is put back
		_, err := letters(t.Context(), ch)
		require.ErrorIs(t, err, errRefused)
		left = -1
		n, err := ch.RedriveKey(t.Context(), "orders", "shop.g", "k")
		require.NoError(t, err)
		require.Equal(t, 3, n)
		c, err := ch.Consumer(t.Context(), event.Subscription{Group: "shop.g", Topics: []string{"orders"}})
		require.NoError(t, err)
		var got []string
		buf := make([]event.Delivery, 1)
		for range 3 {
			_, err := c.Receive(t.Context(), buf)
			require.NoError(t, err)
			require.True(t, buf[0].Redriven)
			got = append(got, buf[0].Event.ID())
			require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Ack(buf[0].Token)}))
		}
		require.True(t, slices.IsSorted(got), got)
		rest, err := letters(t.Context(), ch)
		require.NoError(t, err)
		require.Empty(t, rest)
		require.NoError(t, c.Close(t.Context()))
		require.NoError(t, ch.Close(t.Context()))
	})
}
