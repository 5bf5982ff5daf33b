package watermillbridge_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

// What a group alone reads is made as such, once, and its topics otherwise.
func TestEnsureOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var made []string
		note := func(what, topic, group string) error {
			made = append(made, what+" "+topic+" "+group)
			return nil
		}
		ch := bridged(t, func(ps *watermillbridge.PubSub) {
			ps.EnsureTopic = func(_ context.Context, topic string) error { return note("topic", topic, "") }
			ps.EnsureGroup = func(_ context.Context, group, topic string, _ event.Start) error { return note("group", topic, group) }
			ps.EnsureOwn = func(_ context.Context, group, topic string) error { return note("own", topic, group) }
		})
		for range 2 {
			c, err := ch.Consumer(t.Context(), event.Subscription{Group: "shop.g", Topics: []string{"orders"}})
			require.NoError(t, err)
			require.NoError(t, c.Close(t.Context()))
		}
		for _, err := range ch.DeadLetters(t.Context(), "orders", "shop.g") {
			require.NoError(t, err)
		}
		require.NoError(t, ch.ProduceTo(t.Context(), "shop.g", "orders", event.MarkNone, event.New("/t", "e", nil)))
		require.Equal(t, []string{
			"own orders.shop.g.redrive shop.g", "own orders.shop.g.dead shop.g.letters",
			"topic orders ", "group orders shop.g", "group orders shop.g",
		}, made)
		require.NoError(t, ch.Close(t.Context()))
	})
}

// What can't be made is an error that says what.
func TestEnsureOwnFails(t *testing.T) {
	full := errors.New("full")
	ch := bridged(t, func(ps *watermillbridge.PubSub) {
		ps.EnsureOwn = func(context.Context, string, string) error { return full }
	})
	_, err := ch.Consumer(t.Context(), event.Subscription{Group: "shop.g", Topics: []string{"orders"}})
	require.ErrorIs(t, err, full)
	require.ErrorContains(t, err, `group "shop.g" on topic "orders.shop.g.redrive"`)
	require.NoError(t, ch.Close(t.Context()))
}
