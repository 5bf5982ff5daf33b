package bridgeredis_test

import (
	"context"
	"testing"

	"github.com/leat-go/leat/event"
)

// kill closes a channel with a context that has ended.
func kill(tb testing.TB, ch event.Channel) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	cancel()
	_ = ch.Close(ctx)
}
