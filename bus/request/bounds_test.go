package request_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/bus/request"
	"github.com/leat-go/leat/event"
)

// What a look has seen of those who answer counts for 10 seconds.
func TestSeenFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		ch := memory.New()
		b := bus.New(bus.Config{App: "client", Channel: blinking{ch, func() int { looks += 2; return looks }}})
		require.NoError(t, b.Start(t.Context()))
		of := request.Repliers{Type: "ping", Topic: "ping"}
		_, err := ch.Consumer(t.Context(), event.Subscription{Group: "server.ping", Topics: []string{"ping"}})
		require.NoError(t, err)
		check := func() { require.NoError(t, request.Of(b).CheckReplier(t.Context(), of)) }
		check()
		time.Sleep(10*time.Second - 1) // virtual
		check()
		require.Equal(t, 2, looks, "one look")
		time.Sleep(time.Nanosecond) // virtual
		check()
		require.Equal(t, 4, looks, "another")
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// Of one request 10,000 answers are kept, each of another application; the others are dropped.
func TestMostRepliers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 10_000
		b := bus.New(bus.Config{App: "client", Channel: memory.New(memory.Capacity(2 * most))})
		require.NoError(t, b.Start(t.Context()))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := request.Of(b)
		call, err := r.Open(ctx)
		require.NoError(t, err)
		to, err := r.Address(ctx)
		require.NoError(t, err)
		e := event.New("/s", "ping", nil)
		n := 0
		for _, err := range call.Gather(e, request.Repliers{}, 0, func(ctx context.Context) error {
			for i := range most + 3 {
				answer := event.New(fmt.Sprint("/app", i), "reply", nil).WithSubject(to.Instance).WithExtension(event.ExtCausationID, e.ID())
				if err := b.Style().Send(ctx, to.Topic, answer, true); err != nil {
					return err
				}
			}
			return nil
		}) {
			require.NoError(t, err)
			n++
		}
		require.Equal(t, most, n)
		require.EqualValues(t, 3, r.Dropped())
		call.End()
		require.NoError(t, b.Shutdown(t.Context()))
	})
}
