package bridgeaws_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge/bridgeaws"
)

// A Config is refused with all of its mistakes at once.
func TestConfigMistakes(t *testing.T) {
	_, err := bridgeaws.New(bridgeaws.Config{Lease: time.Millisecond, Subscriptions: -1, Poll: time.Minute, KMSKey: "alias/aws/sqs", Existing: "arn:aws:sqs:x:1"})
	for _, wrong := range []string{"AWS.Region", "AWS.Credentials", "Lease is 1ms", "Poll is 1m0s", "Subscriptions", "alias/aws/sqs", "Existing"} {
		require.ErrorContains(t, err, wrong)
	}
	for _, lease := range []time.Duration{-time.Second, 1500 * time.Millisecond, 12 * time.Hour} {
		_, err := bridgeaws.New(bridgeaws.Config{AWS: account("http://127.0.0.1:1"), Lease: lease})
		require.ErrorContains(t, err, "Lease")
	}
	for _, existing := range []string{"arn:aws:sns:eu-central-1:123456789012", "arn:aws:sns:us-east-1", "arn:aws:sns:us-east-1:1:x"} {
		_, err := bridgeaws.New(bridgeaws.Config{AWS: account("http://127.0.0.1:1"), Existing: existing})
		require.ErrorContains(t, err, "Existing is")
	}
}

// What stands for zero is what the documentation says.
func TestConfigDefaults(t *testing.T) {
	ch := open(t, bridgeaws.Config{AWS: account("http://127.0.0.1:1")})
	g, err := ch.Guarantees(t.Context(), "", "")
	require.NoError(t, err)
	require.Equal(t, 5*time.Minute, g.Lease)
	require.Equal(t, 5*time.Minute, g.MaxHold)
	require.Equal(t, 4, g.InHand)
	ch = open(t, bridgeaws.Config{AWS: account("http://127.0.0.1:1"), Lease: time.Minute, Subscriptions: 7, Existing: "arn:aws:sns:us-east-1:123456789012"})
	g, err = ch.Guarantees(t.Context(), "", "")
	require.NoError(t, err)
	require.Equal(t, time.Minute, g.MaxHold)
	require.Equal(t, 7, g.InHand)
}
