package request_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/bus/request"
	"github.com/leat-go/leat/event"
)

// Who looks after those who wait is there for the next request too, and isn't begun anew by
// each, even where the answer is there before it has begun.
func TestGuardStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 30 {
			b := bus.New(bus.Config{App: "client", Channel: memory.New()})
			require.NoError(t, b.Start(t.Context()))
			ctx := context.WithoutCancel(t.Context())
			r := request.Of(b)
			call, err := r.Open(ctx)
			require.NoError(t, err)
			to, err := r.Address(ctx)
			require.NoError(t, err)
			e := event.New("/s", "ping", nil)
			_, err = call.Ask(e, request.Repliers{Type: "ping", Topic: "ping"}, func(ctx context.Context) error {
				answer := event.New("/s", "reply", nil).WithSubject(to.Instance).WithExtension(event.ExtCausationID, e.ID())
				return b.Style().Send(ctx, to.Topic, answer, true)
			})
			require.NoError(t, err)
			call.End()
			synctest.Wait()
			stacks := make([]byte, 1<<20)
			require.Equal(t, 1, strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "(*Requests).guard("))
			require.NoError(t, b.Shutdown(ctx))
			synctest.Wait()
		}
	})
}
