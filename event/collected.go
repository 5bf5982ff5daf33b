package event

import "context"

// collected is the context of what was published inside a handler and goes out now.
type collected struct{ context.Context }

type collectedKey struct{}

// Value returns the context itself under its key.
func (c collected) Value(key any) any {
	if key == (collectedKey{}) {
		return true
	}
	return c.Context.Value(key)
}

// WithCollected returns the context under which a runtime produces what a handler
// published, once the handler has succeeded and before it settles the delivery. It
// comes from the delivery's [Consumer].Begin. Applications don't need it.
//
// A channel with transactions may keep such events with the delivery instead of
// writing them: an Ack makes them and itself durable at once, any other end of the
// delivery drops them, a Hold does not. So who has produced them doesn't run the
// handler again, unless the delivery comes again.
func WithCollected(ctx context.Context) context.Context { return collected{ctx} }

// Collected reports whether ctx is one of [WithCollected]. What a handler sends at
// once, whatever becomes of its attempt, is not collected.
func Collected(ctx context.Context) bool { return ctx.Value(collectedKey{}) != nil }
