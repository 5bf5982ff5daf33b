package event

import "context"

// Outbox collects what a handler publishes under its context, until the handler's
// success is known. The runtime's own is the outermost; a middleware sets a
// nearer one to record events or to write them to a table.
type Outbox interface {
	// Add takes events for a topic. They go out if the attempt succeeds.
	Add(ctx context.Context, topic string, events ...Event) error
}

type outboxKey struct{}

// WithOutbox returns a context under which publishing goes to o.
func WithOutbox(ctx context.Context, o Outbox) context.Context {
	return context.WithValue(ctx, outboxKey{}, o)
}

// OutboxFrom returns the nearest outbox, or nil: then publishing sends at once.
func OutboxFrom(ctx context.Context) Outbox {
	o, _ := ctx.Value(outboxKey{}).(Outbox)
	return o
}
