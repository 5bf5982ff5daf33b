package bridgenats_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/servicetest"
)

// A server that dies, comes back, and hangs for a while loses nothing that it accepted.
func TestServerDies(t *testing.T) {
	srv := servicetest.Start(t, "nats")
	cfg := config(t)
	cfg.URL = srv.Addr()
	ch, topic := openWith(t, cfg), name(t, "orders")
	c := join(t, ch, "g", topic)
	p, err := ch.Producer(t.Context(), topic)
	require.NoError(t, err)
	try := func(i int) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return p.Produce(ctx, event.New("/t", "e", nil).WithID(strconv.Itoa(i)))
	}
	for i := range 200 {
		switch i {
		case 50:
			srv.Kill()
			srv.Start()
		case 120:
			srv.Pause()
			require.ErrorIs(t, try(i), context.DeadlineExceeded)
			srv.Resume()
		}
		require.Eventually(t, func() bool { return try(i) == nil }, time.Minute, time.Millisecond)
	}
	collect(t, c, 200)
	shut(t, ch, c)
}
