package bus

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/leat-go/leat/event"
)

// handler is one handler of a group, with all that is wrapped around it.
type handler struct {
	g         *group
	name      string   // "group/type", for causes and hooks
	types     []string // empty: the rest of its topics
	fn        event.Handler
	batchFn   event.BatchHandler
	gathering *gathering // of a batch handler
	base      event.Handler
	opts      subscription
	retry     Backoff
}

// wrap builds fn, or batchFn, from the inside: the recovery right around the handler,
// its middlewares, those of the Bus, the timeout.
func (h *handler) wrap(outer []event.Middleware) {
	if h.opts.batchOf != nil {
		h.wrapBatch(outer)
		return
	}
	fn := event.Chain(recovering(h.base), slices.Concat(h.opts.middleware, h.g.b.cfg.Inner)...)
	h.fn = timing(event.Chain(fn, slices.Concat(h.opts.outside, outer)...), h.opts.timeout)
}

// timing ends the context of next after d, unless that is 0.
func timing[T any](next func(context.Context, T) error, d time.Duration) func(context.Context, T) error {
	if d <= 0 {
		return next
	}
	return func(ctx context.Context, v T) error {
		ctx, cancel := context.WithTimeout(ctx, d)
		defer cancel()
		return next(ctx, v)
	}
}

// PanicError is what a panic of a handler becomes. It is a failure like others,
// whatever the value is: it doesn't unwrap, so no mark of an error counts.
type PanicError struct {
	Value any    // that the handler panicked with
	Stack []byte // of the panic
}

// Error returns the text of a panic whose value is an error or a string; other
// values could be payload and are named by their type only.
func (e *PanicError) Error() (text string) {
	defer func() {
		if recover() != nil { // the value's Error panics, too
			text = fmt.Sprintf("panic: a value of type %T", e.Value)
		}
	}()
	switch v := e.Value.(type) {
	case error:
		return "panic: " + v.Error()
	case string:
		return "panic: " + v
	default:
		return fmt.Sprintf("panic: a value of type %T", v)
	}
}

// recovering turns a panic of next into a *[PanicError].
func recovering[T any](next func(context.Context, T) error) func(context.Context, T) error {
	return func(ctx context.Context, v T) (err error) {
		defer recovered(&err)
		return next(ctx, v)
	}
}

func recovered(err *error) {
	if v := recover(); v != nil { //nolint:revive // it is what is deferred
		*err = &PanicError{Value: v, Stack: debug.Stack()}
	}
}
