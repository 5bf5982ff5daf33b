package redisstore_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/servicetest"
	"github.com/leat-go/leat/payload"
	"github.com/leat-go/leat/stores/redisstore"
)

func TestPayloads(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: servicetest.Addr(t, "redis")})
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	p := redisstore.NewPayloads(client, redisstore.PayloadConfig{Prefix: "test:" + event.NewID() + ":"})
	ctx, large := t.Context(), bytes.Repeat([]byte{0, 1, 255}, 1<<20)
	_, err := p.Get(ctx, "a")
	require.ErrorIs(t, err, payload.ErrGone)
	require.NoError(t, p.Put(ctx, "a", large, time.Minute))
	require.NoError(t, p.Put(ctx, "b", nil, time.Minute))
	require.NoError(t, p.Put(ctx, "c", []byte("c"), 10*time.Millisecond))
	require.Error(t, p.Put(ctx, "d", nil, 0))
	got, err := p.Get(ctx, "a")
	require.NoError(t, err)
	require.True(t, bytes.Equal(large, got))
	got, err = p.Get(ctx, "b")
	require.NoError(t, err)
	require.Empty(t, got)
	require.Eventually(t, func() bool {
		_, err := p.Get(ctx, "c")
		return err != nil
	}, 5*time.Second, 5*time.Millisecond)
	require.NoError(t, p.Expire(ctx, "nothing", time.Minute))
	require.NoError(t, p.Expire(ctx, "b", time.Millisecond))
	require.Eventually(t, func() bool {
		_, err := p.Get(ctx, "b")
		return err != nil
	}, 5*time.Second, 5*time.Millisecond)
	for range 2 {
		require.NoError(t, p.Delete(ctx, "a"))
		_, err = p.Get(ctx, "a")
		require.ErrorIs(t, err, payload.ErrGone)
	}
}

// What was put survives kill -9 of the server.
func TestPayloadsSurviveTheServer(t *testing.T) {
	server := servicetest.Start(t, "redis")
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	p := redisstore.NewPayloads(client, redisstore.PayloadConfig{})
	require.NoError(t, p.Put(t.Context(), "a", []byte("kept"), time.Hour))
	server.Kill()
	_, err := p.Get(t.Context(), "a")
	require.Error(t, err)
	require.NotErrorIs(t, err, payload.ErrGone)
	server.Start()
	got, err := p.Get(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, "kept", string(got))
}
