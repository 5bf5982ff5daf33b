package bridgenats

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// No two topics have the same stream, and every topic that is a subject has one.
func TestNames(t *testing.T) {
	names := make(map[string]string)
	for _, topic := range []string{
		"orders", "Orders", "orders.placed", "orders_placed", "orders-placed", "orders=2Eplaced", "orders=5Fplaced", "a.b_c", "a_b.c", "a_b_c", "a.b.c",
		"örder", "o/r", `o\r`, "a=b", "a=3Db", strings.Repeat("x", 255),
	} {
		require.NoError(t, checkSubject(topic), topic)
		name, err := nameOf(topic)
		require.NoError(t, err, topic)
		require.NotContains(t, name, ".")
		require.Empty(t, names[name], "%q has the name %q too", topic, name)
		names[name] = topic
	}
	require.Equal(t, "orders.placed", names["orders_placed"])
	for _, topic := range []string{"", ".", "a..b", ".a", "a.", "a b", "a\tb", "a\n", "a.*", "a.>", "a*b", "$JS.a", "$SYS", "_INBOX.x"} {
		require.ErrorIs(t, checkSubject(topic), errName, "%q", topic)
	}
	for _, long := range []string{strings.Repeat("x", 256), strings.Repeat("_", 86)} {
		_, err := nameOf(long)
		require.ErrorIs(t, err, errName)
	}
}

func FuzzNames(f *testing.F) {
	f.Add("a.b", "a_b")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, err := nameOf(a)
		y, err2 := nameOf(b)
		if err == nil && err2 == nil && x == y && a != b {
			t.Fatalf("%q and %q are both %q", a, b, x)
		}
	})
}

// All mistakes of a configuration are told at once, and no secrets.
func TestConfigMistakes(t *testing.T) {
	_, err := New(Config{Ordered: true, Subscriptions: 2, Replicas: -1, MaxHold: 1})
	for _, wrong := range []string{"URL is empty", "can't be negative", "Subscriptions is 2", "MaxHold is 1ns"} {
		require.ErrorContains(t, err, wrong)
	}
	for _, url := range []string{"nats://user:s3cret@127.0.0.1:1", "nats://s3cret@127.0.0.1:1", "user:s3cret@127.0.0.1:1", "nats://user:s3cret@127.0.0.1:x", "nats://a:1,nats://u:s3cret@%"} {
		_, err := New(Config{URL: url})
		require.Error(t, err)
		require.NotContains(t, err.Error(), "s3cret", url)
	}
	c, err := Config{URL: "x", Ordered: true}.withDefaults()
	require.NoError(t, err)
	require.Equal(t, 1, c.Subscriptions)
	require.Greater(t, c.ackWait(), c.MaxHold)
}
