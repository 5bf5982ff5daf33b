package request_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/bus/request"
	"github.com/leat-go/leat/event"
)

// What requests say is read of each, whatever came before it.
func TestWantedBy(t *testing.T) {
	b := bus.New(bus.Config{App: "server", Channel: memory.New()})
	r := request.Of(b)
	ask := func(to, by string) event.Event {
		return event.New("/s", "ping", nil).WithExtension(event.ExtReplyTo, to).WithExtension(event.ExtReplyBy, by)
	}
	const noon, one = "2026-01-02T12:00:00Z", "2026-01-02T13:00:00.5Z"
	at := func(text string) time.Time {
		by, err := time.Parse(time.RFC3339Nano, text)
		require.NoError(t, err)
		return by
	}
	for range 2 {
		for _, c := range []struct {
			to, by string
			ok     bool
			until  time.Time
		}{
			{"a.replies/1", noon, true, at(noon)},
			{"a.replies/1", one, true, at(one)},
			{"a.replies/12", one, true, at(one)},
			{"aa.replies/1", "", true, time.Time{}},
			{"a.replies/1", "soon", true, time.Time{}},
			{"a.orders/1", noon, false, time.Time{}},
			{"", noon, false, time.Time{}},
		} {
			w, ok := r.WantedBy(ask(c.to, c.by))
			require.Equal(t, c.ok, ok, c)
			by, bounded := w.By()
			require.True(t, by.Equal(c.until), c)
			require.Equal(t, !c.until.IsZero(), bounded, c)
		}
	}
}

// Who doesn't say how long is waiting for 30 seconds from when it began, but for a millisecond
// that it may share with others.
func TestDefaultBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bus.New(bus.Config{App: "client", Channel: memory.New()})
		require.NoError(t, b.Start(t.Context()))
		ctx := context.WithoutCancel(t.Context())
		texts := make(map[string]bool)
		for range 100 {
			call, err := request.Of(b).Open(ctx)
			require.NoError(t, err)
			by, _ := call.Context().Deadline()
			require.LessOrEqual(t, time.Until(by), 30*time.Second)
			require.Greater(t, time.Until(by), 30*time.Second-time.Millisecond)
			for _, x := range call.Attributes() {
				if x.Name == event.ExtReplyBy {
					require.Equal(t, by.UTC().Format(time.RFC3339Nano), x.Value)
					texts[x.Value] = true
				}
			}
			call.End()
			time.Sleep(100 * time.Microsecond) // virtual
		}
		require.Len(t, texts, 10)
		require.NoError(t, b.Shutdown(ctx))
	})
}
