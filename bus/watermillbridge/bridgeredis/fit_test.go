package bridgeredis

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// Servers that would lose events, or that don't know what is needed, are refused.
func TestFits(t *testing.T) {
	for _, c := range []struct{ info, wrong string }{
		{"redis_version:7.0.15\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n", ""},
		{"redis_version:6.2.0\r\nmaxmemory:1000\r\nmaxmemory_policy:volatile-lru\r\n", ""},
		{"redis_version:10.1\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n", ""},
		{"redis_version:x\r\n", ""},
		{"", ""},
		{"redis_version:6.0.16\r\n", "6.0.16"},
		{"redis_version:5.0.0\r\n", "5.0.0"},
		{"redis_version:7.0.15\r\nmaxmemory:1000\r\nmaxmemory_policy:allkeys-lru\r\n", "allkeys-lru"},
	} {
		err := fits(c.info)
		if c.wrong == "" {
			require.NoError(t, err, c.info)
			continue
		}
		require.ErrorContains(t, err, c.wrong)
	}
}

// All mistakes of a configuration are told at once.
func TestConfigMistakes(t *testing.T) {
	_, err := New(Config{Redis: redis.UniversalOptions{MaxActiveConns: 3}, Subscriptions: -1, MaxHold: 1, MaxBytes: 1})
	for _, wrong := range []string{"Addrs is empty", "MaxActiveConns", "can't be negative", "MaxHold is 1ns", "MaxBytes is 1"} {
		require.ErrorContains(t, err, wrong)
	}
	c, err := Config{Redis: redis.UniversalOptions{Addrs: []string{"a"}, ReadOnly: true, PoolSize: 2}}.withDefaults()
	require.NoError(t, err)
	require.Equal(t, 1024, c.Redis.PoolSize)
	require.False(t, c.Redis.ReadOnly)
	require.Greater(t, c.maxIdle(), c.MaxHold)
	require.Greater(t, c.lease(), c.maxIdle())
}

// Whatever an entry is, it is a message.
func TestUnmarshal(t *testing.T) {
	for _, c := range []struct {
		values  map[string]any
		payload string
	}{
		{map[string]any{}, `{}`},
		{map[string]any{"payload": "bytes\xff"}, "bytes\xff"},
		{map[string]any{"a": "1", "b": "2"}, `{"a":"1","b":"2"}`},
		{map[string]any{"_watermill_message_uuid": "u", "metadata": "no msgpack", "payload": "p"}, `{"_watermill_message_uuid":"u","metadata":"no msgpack","payload":"p"}`},
	} {
		m, err := marshaler{}.Unmarshal(c.values)
		require.NoError(t, err)
		require.Empty(t, m.UUID)
		require.Equal(t, c.payload, string(m.Payload))
		require.Empty(t, m.Metadata)
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add("u", "\x81\xa1k\xa1v", "p")
	f.Fuzz(func(t *testing.T, uuid, metadata, payload string) {
		m, err := marshaler{}.Unmarshal(map[string]any{"_watermill_message_uuid": uuid, "metadata": metadata, "payload": payload})
		if err != nil || m == nil {
			t.Fatal(m, err)
		}
	})
}
