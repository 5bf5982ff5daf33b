package watermillbridge_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

// lettersFail is a publisher that refuses dead letters while they fail.
type lettersFail struct {
	message.Publisher

	fails *bool
}

func (l lettersFail) Publish(topic string, ms ...*message.Message) error {
	if *l.fails && strings.HasSuffix(topic, ".dead") {
		return errRefused
	}
	return l.Publisher.Publish(topic, ms...)
}

// An event whose dead letter is refused is not settled: it stays in hand, may be settled
// again, and else comes again.
func TestDeadLetterRefused(t *testing.T) {
	for name, again := range map[string]bool{"settled again": true, "the member ends": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fails := true
				ch := bridged(t, func(ps *watermillbridge.PubSub) { ps.Publisher = lettersFail{ps.Publisher, &fails} })
				join := func() event.Consumer {
					c, err := ch.Consumer(t.Context(), event.Subscription{Group: "shop.g", Topics: []string{"orders"}})
					require.NoError(t, err)
					return c
				}
				c := join()
				p, err := ch.Producer(t.Context(), "orders")
				require.NoError(t, err)
				require.NoError(t, p.Produce(t.Context(), event.New("/t", "x", nil)))
				buf := make([]event.Delivery, 1)
				_, err = c.Receive(t.Context(), buf)
				require.NoError(t, err)
				dead := event.Dead(buf[0].Token, event.Cause{Code: "x"})
				require.ErrorIs(t, c.Settle(t.Context(), []event.Settlement{dead}), errRefused)
				fails = false
				if !again {
					require.NoError(t, c.Close(t.Context()))
					c = join()
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					defer cancel()
					_, err = c.Receive(ctx, buf)
					require.NoError(t, err, "it is lost")
					dead = event.Dead(buf[0].Token, event.Cause{Code: "x"})
				}
				require.NoError(t, c.Settle(t.Context(), []event.Settlement{dead}))
				letters := 0
				for _, err := range ch.DeadLetters(t.Context(), "orders", "shop.g") {
					require.NoError(t, err)
					letters++
				}
				require.Equal(t, 1, letters)
				require.NoError(t, c.Close(t.Context()))
				require.NoError(t, ch.Close(t.Context()))
			})
		})
	}
}
