package event

import (
	"context"
	"slices"
)

// Handler handles one delivery of an event. nil acknowledges it; what other
// errors mean is told by [VerdictOf]. The context carries what came with the
// event ([FromContext]) and ends when the delivery is no longer the handler's:
// its cause is then [ErrLeaseLost] or [ErrClosed].
type Handler func(ctx context.Context, e Event) error

// Middleware wraps handlers. Wrap is called once for each handler, at start.
// A middleware may implement [BatchMiddleware], [StartChecker] and [ReadyChecker] too.
type Middleware interface {
	// Wrap returns a handler that calls next, or doesn't.
	Wrap(next Handler) Handler
}

// MiddlewareFunc is a function used as a [Middleware].
type MiddlewareFunc func(next Handler) Handler

// Wrap calls f.
func (f MiddlewareFunc) Wrap(next Handler) Handler { return f(next) }

// BatchHandler handles the deliveries of several events at once. nil acknowledges all
// of them; a [BatchError] tells which failed. ctx is a [Batch].
type BatchHandler func(ctx context.Context, events []Event) error

// BatchMiddleware is a [Middleware] that can wrap batch handlers too. A
// middleware without it is refused on a batch subscription at start.
type BatchMiddleware interface {
	// WrapBatch returns a batch handler that calls next, or doesn't.
	WrapBatch(next BatchHandler) BatchHandler
}

// StartChecker is a [Middleware] that looks at the subscription it was put on and
// at the channel's guarantees before anything runs. Its error is a start-up error.
type StartChecker interface {
	// CheckStart returns why the middleware can't work there, or nil.
	CheckStart(s Subscription, g Guarantees) error
}

// ReadyChecker is a [Middleware] that needs something of its own, a store say: a runtime's
// readiness depends on it.
type ReadyChecker interface {
	// Ready returns why handlers can't run at the moment, or nil. It doesn't block.
	Ready() error
}

// Transform works on every event on its way out, after attributes were inherited
// and before it is validated. Its error refuses the event.
type Transform func(ctx context.Context, e Event) (Event, error)

// Chain wraps h by ms; the first of them is the outermost.
func Chain(h Handler, ms ...Middleware) Handler {
	for _, m := range slices.Backward(ms) {
		h = m.Wrap(h)
	}
	return h
}
