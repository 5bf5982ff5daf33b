package bridgeamqp_test

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge/bridgeamqp"
)

// All that is wrong is said at once, and nothing of it dials.
func TestMistakes(t *testing.T) {
	const at = "amqp://guest:guest@127.0.0.1:1/"
	for name, c := range map[string]struct {
		cfg   bridgeamqp.Config
		wrong []string
	}{
		"nothing":       {bridgeamqp.Config{}, []string{"Config.URI is empty"}},
		"several":       {bridgeamqp.Config{Subscriptions: -1, ConsumerTimeout: time.Second}, []string{"URI", "Subscriptions is -1", "ConsumerTimeout is 1s"}},
		"too many":      {bridgeamqp.Config{URI: at, Subscriptions: 501}, []string{"from 1 to 500"}},
		"overtaking":    {bridgeamqp.Config{URI: at, Subscriptions: 2, Ordered: true}, []string{"overtake"}},
		"not encrypted": {bridgeamqp.Config{URI: at, TLS: new(tls.Config)}, []string{"nothing would be encrypted"}},
		"old TLS": {bridgeamqp.Config{URI: "amqps://h/", TLS: &tls.Config{
			MinVersion: tls.VersionTLS10,
		}}, []string{"TLS 1.0"}},
		"no heartbeat": {bridgeamqp.Config{URI: at + "?heartbeat=0"}, []string{"heartbeat"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := bridgeamqp.New(c.cfg)
			for _, wrong := range c.wrong {
				require.ErrorContains(t, err, wrong)
			}
		})
	}
}

// Nothing of an URI is in an error: a sign that isn't encoded makes a password be taken
// for something else.
func TestPasswordsStaySecret(t *testing.T) {
	for _, uri := range []string{
		"amqp://shop:geheim wort@host/", "amqp://shop:geheim#wort@host/", "amqp://shop:geheim/wort@host/", "amqp://shop:geheim?wort@host/",
		"amqp://shop:12/geheim@host/", "amqp://shop:12#geheim@host/", "amqp://shop:12?geheim@host/", "amqp://shop:geheim%wort@host/",
		"http://shop:geheim@host/", "shop:geheim@host", "amqp://shop:geheim@host:port/", "amqp://shop:geheim@host/?heartbeat=geheim",
	} {
		_, err := bridgeamqp.New(bridgeamqp.Config{URI: uri})
		require.Error(t, err, uri)
		require.NotContains(t, err.Error(), "geheim")
		require.NotContains(t, err.Error(), "wort@")
		require.NotContains(t, err.Error(), "12")
	}
}

// What nobody says has a default, and what the URI says counts.
func TestPromises(t *testing.T) {
	for name, c := range map[string]struct {
		cfg           bridgeamqp.Config
		inHand        int
		ordered       bool
		lease, atMost time.Duration
	}{
		"by default": {bridgeamqp.Config{URI: "amqp://h"}, 10, false, 30 * time.Second, 30 * time.Minute},
		"ordered":    {bridgeamqp.Config{URI: "amqp://h", Ordered: true}, 1, true, 30 * time.Second, 30 * time.Minute},
		"chosen": {
			bridgeamqp.Config{URI: "amqp://h?heartbeat=2", Subscriptions: 3, ConsumerTimeout: time.Hour},
			3, false, 6 * time.Second, time.Hour,
		},
		"no timeout": {bridgeamqp.Config{URI: "amqp://h", ConsumerTimeout: -1}, 10, false, 30 * time.Second, 0},
		"encrypted":  {bridgeamqp.Config{URI: "amqps://h", TLS: new(tls.Config)}, 10, false, 30 * time.Second, 30 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			ch, err := bridgeamqp.New(c.cfg)
			require.NoError(t, err)
			g, err := ch.Guarantees(t.Context(), "orders", "shop.mailer")
			require.NoError(t, err)
			require.Equal(t, "rabbitmq", g.Channel)
			require.Equal(t, c.inHand, g.InHand)
			require.Equal(t, c.ordered, g.OrderPerKey)
			require.Equal(t, c.lease, g.Lease)
			require.Equal(t, c.atMost, g.MaxHold)
			require.NoError(t, ch.Close(t.Context()))
		})
	}
}
