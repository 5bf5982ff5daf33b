package event_test

import (
	"context"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
)

const (
	trace1 = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	trace2 = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
)

// cause is an event that hands everything on.
func cause() event.Event {
	return valid().WithID("cause").
		WithExtension(event.ExtCorrelationID, "conversation").
		WithExtension(event.ExtCausationID, "its own cause").
		WithExtension(event.ExtTraceparent, trace1).
		WithExtension(event.ExtTracestate, "vendor=1").
		WithExtension(event.ExtTenant, "acme").
		WithExtension("appname", "till").
		WithKey("k").WithSubject("s")
}

func inherited(ctx context.Context, e event.Event) map[string]string {
	return maps.Collect(event.Inherit(ctx, e).Extensions())
}

func TestNothingToInherit(t *testing.T) {
	_, ok := event.OriginFrom(t.Context())
	assert.False(t, ok)
	e := valid()
	assert.Same(t, &e.One()[0], &event.Inherit(t.Context(), e).One()[0], "the event itself")
	empty := event.WithOrigin(t.Context(), event.Origin{})
	assert.Same(t, &e.One()[0], &event.Inherit(empty, e).One()[0])
}

func TestInheritFromTheEventThatIsHandled(t *testing.T) {
	assert.Equal(t, map[string]string{
		event.ExtCorrelationID: "conversation", event.ExtCausationID: "cause",
		event.ExtTraceparent: trace1, event.ExtTracestate: "vendor=1", event.ExtTenant: "acme",
	}, inherited(handling(cause()), valid()), "these five, and nothing else")

	first := handling(valid().WithID("first"))
	assert.Equal(t, map[string]string{event.ExtCorrelationID: "first", event.ExtCausationID: "first"}, inherited(first, valid()),
		"an event without a correlation starts a conversation")
}

func TestInheritOnlyWhatIsMissing(t *testing.T) {
	own := valid().WithExtension(event.ExtTenant, "other").WithExtension(event.ExtCorrelationID, "mine").WithExtension(event.ExtCausationID, "said")
	got := inherited(handling(cause()), own)
	assert.Equal(t, "other", got[event.ExtTenant])
	assert.Equal(t, "mine", got[event.ExtCorrelationID])
	assert.Equal(t, "said", got[event.ExtCausationID])
	assert.Equal(t, trace1, got[event.ExtTraceparent])

	e := valid()
	event.Inherit(handling(cause()), e)
	assert.Empty(t, maps.Collect(e.Extensions()), "the event that was given isn't changed")
}

func TestTraceparentAndTracestateBelongTogether(t *testing.T) {
	traced := valid().WithExtension(event.ExtTraceparent, trace2)
	assert.NotContains(t, inherited(handling(cause()), traced), event.ExtTracestate)

	said := event.WithOrigin(handling(cause()), event.Origin{Traceparent: trace2})
	got := inherited(said, valid())
	assert.Equal(t, trace2, got[event.ExtTraceparent])
	assert.NotContains(t, got, event.ExtTracestate, "of the other trace")

	broken := event.WithOrigin(t.Context(), event.Origin{Traceparent: "a\nb", Tracestate: "vendor=1"})
	assert.Empty(t, inherited(broken, valid()))
}

func TestWithOriginAtTheEdge(t *testing.T) {
	o := event.Origin{CorrelationID: "request", CausationID: "click", Traceparent: trace1, Tracestate: "v=1", Tenant: "acme"}
	ctx := event.WithOrigin(t.Context(), o)
	got, ok := event.OriginFrom(ctx)
	assert.True(t, ok)
	assert.Equal(t, o, got)
	assert.Equal(t, map[string]string{
		event.ExtCorrelationID: "request", event.ExtCausationID: "click",
		event.ExtTraceparent: trace1, event.ExtTracestate: "v=1", event.ExtTenant: "acme",
	}, inherited(ctx, valid()))
}

func TestWithOriginInsideAHandlerIsMerged(t *testing.T) {
	got := inherited(event.WithOrigin(handling(cause()), event.Origin{Tenant: "other"}), valid())
	assert.Equal(t, "other", got[event.ExtTenant])
	assert.Equal(t, "conversation", got[event.ExtCorrelationID])
	assert.Equal(t, "cause", got[event.ExtCausationID])
	assert.Equal(t, trace1, got[event.ExtTraceparent])
}

func TestWithOriginOutsideAHandlerEndsThere(t *testing.T) {
	// A query in process: its handler's context is made of its caller's.
	edge := event.WithOrigin(t.Context(), event.Origin{CorrelationID: "request", CausationID: "click", Tenant: "edge"})
	a := &event.Attempt{Context: edge, Info: event.Info{Event: cause()}}
	got := inherited(a, valid())
	assert.Equal(t, "cause", got[event.ExtCausationID], "the event that is being handled is the cause, not the click")
	assert.Equal(t, "conversation", got[event.ExtCorrelationID])
	assert.Equal(t, "acme", got[event.ExtTenant])
}

func TestInheritIsBounded(t *testing.T) {
	for n, want := range map[int]bool{512: true, 513: false} {
		long := strings.Repeat("x", n)
		ctx := event.WithOrigin(t.Context(), event.Origin{CorrelationID: long, CausationID: long, Traceparent: trace1, Tracestate: long, Tenant: long})
		got := inherited(ctx, valid())
		for _, name := range []string{event.ExtCorrelationID, event.ExtCausationID, event.ExtTracestate, event.ExtTenant} {
			assert.Equal(t, want, got[name] != "", "%s of %d bytes", name, n)
		}
		assert.Equal(t, trace1, got[event.ExtTraceparent])
	}
}

func TestInheritKeepsEventsValid(t *testing.T) {
	ctx := event.WithOrigin(t.Context(), event.Origin{CorrelationID: "a\r\nb", CausationID: "\xff", Traceparent: "\x00", Tenant: "acme"})
	e := event.Inherit(ctx, valid())
	require.NoError(t, e.Validate())
	assert.Equal(t, map[string]string{event.ExtTenant: "acme"}, maps.Collect(e.Extensions()))
}
