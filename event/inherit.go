package event

import (
	"cmp"
	"context"
)

// Origin is what an event inherits from where it is published: the conversation,
// the event that caused it, the trace, and the tenant.
type Origin struct {
	CorrelationID string // of the conversation
	CausationID   string // the id of the event that caused it
	Traceparent   string // W3C Trace Context
	Tracestate    string // W3C Trace Context
	Tenant        string // whose event it is
}

// maxInherited bounds an inherited attribute, so that nobody upstream can make
// every event of a conversation large. The longest that W3C Trace Context asks to
// pass on (tracestate) fits.
const maxInherited = 512

type originKey struct{}

// WithOrigin returns a context under which published events inherit o: for the
// edge, where a request of another kind comes in.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// OriginFrom returns what an event published under ctx inherits: what
// [WithOrigin] said since the handler began, and for what it left open what the
// event that is being handled passes on. Traceparent and Tracestate belong
// together: both are of the one or of the other.
func OriginFrom(ctx context.Context) (Origin, bool) {
	said, ok := ctx.Value(originKey{}).(Origin)
	a := attemptOf(ctx)
	if a == nil {
		return said, ok
	}
	o := originOf(a.Info.Event)
	if said.Traceparent != "" {
		o.Traceparent, o.Tracestate = said.Traceparent, said.Tracestate
	}
	o.CorrelationID = cmp.Or(said.CorrelationID, o.CorrelationID)
	o.CausationID = cmp.Or(said.CausationID, o.CausationID)
	o.Tenant = cmp.Or(said.Tenant, o.Tenant)
	return o, true
}

func originOf(cause Event) Origin {
	return Origin{
		CorrelationID: cause.CorrelationID(),
		CausationID:   cause.ID(),
		Traceparent:   cause.Extension(ExtTraceparent),
		Tracestate:    cause.Extension(ExtTracestate),
		Tenant:        cause.Extension(ExtTenant),
	}
}

// Inherit returns e with the attributes of ctx's [Origin] that it doesn't have
// itself; an event with a Traceparent keeps its Tracestate too, or its lack.
// Values longer than 512 bytes, and those that no attribute may have, are not
// inherited: what came from outside can't make publishing fail.
func Inherit(ctx context.Context, e Event) Event {
	o, ok := OriginFrom(ctx)
	if !ok {
		return e
	}
	if e.Extension(ExtTraceparent) != "" || !inheritable(o.Traceparent) {
		o.Traceparent, o.Tracestate = "", ""
	}
	var xs [5]Extension
	n := 0
	for _, x := range [...]Extension{
		{ExtCorrelationID, o.CorrelationID},
		{ExtCausationID, o.CausationID},
		{ExtTraceparent, o.Traceparent},
		{ExtTracestate, o.Tracestate},
		{ExtTenant, o.Tenant},
	} {
		if !inheritable(x.Value) || e.Extension(x.Name) != "" {
			continue
		}
		xs[n] = x
		n++
	}
	if n == 0 {
		return e
	}
	return e.with(func(c *core) { c.apply(c.ownMore(), xs[:n]) })
}

func inheritable(value string) bool {
	return value != "" && len(value) <= maxInherited && checkValue("", value) == nil
}
