package event_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
)

func TestCollected(t *testing.T) {
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, 1)
	require.False(t, event.Collected(ctx))
	marked := event.WithCollected(ctx)
	require.True(t, event.Collected(marked))
	require.Equal(t, 1, marked.Value(key{}), "what comes from Begin is found")
	child, cancel := context.WithCancel(marked)
	cancel()
	require.True(t, event.Collected(child))
}
