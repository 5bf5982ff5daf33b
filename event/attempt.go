package event

import (
	"context"
	"time"
)

// Info is what came with an event that is being handled. It is told by the
// channel's state, never by an attribute that a publisher could have written.
type Info struct {
	Event      Event     // as it was delivered
	Topic      string    // where it was published
	Group      string    // as the channel knows it
	Attempt    int       // 1 for the first delivery; an upper bound where the broker counts give-backs
	Failures   int       // how often the handler failed on this event so far
	Position   Position  // in its topic; not valid where the channel has none
	Gap        int64     // how many positions right before Position no event is to come of: see [Delivery]
	EnqueuedAt time.Time // when the channel accepted it
	Redriven   bool      // a dead letter that was sent again
	Replayed   bool      // played again from a store
}

// FromContext returns what came with the event that is being handled, and whether
// ctx is a handler's context.
func FromContext(ctx context.Context) (Info, bool) {
	if a := attemptOf(ctx); a != nil {
		return a.Info, true
	}
	return Info{}, false
}

// Attempt is the context of one run of a handler. Runtimes such as the bus make
// it, fill it before the run, and read it afterwards; handlers see it only as
// their context.
type Attempt struct {
	context.Context // of the delivery, from [Consumer].Begin

	Info   Info   // of the delivery
	Outbox Outbox // where a publish under this context goes, unless a nearer one was set

	slots *slots // what few handlers use
}

// slots is what a handler or a middleware left for those around it.
type slots struct {
	result *Result
	before []func(context.Context, Outcome) error
	after  []func(context.Context, Outcome)
}

// own returns the slots, which only the handler's goroutine may use.
func (a *Attempt) own() *slots {
	if a.slots == nil {
		a.slots = new(slots)
	}
	return a.slots
}

type attemptKey struct{}

// Value returns the attempt and its outbox under their keys, else what the
// delivery's context has. An [Origin] from outside ends here: the event that is
// being handled says what others inherit.
func (a *Attempt) Value(key any) any {
	switch key.(type) {
	case attemptKey:
		return a
	case originKey:
		return nil
	case outboxKey:
		if a.Outbox != nil {
			return a.Outbox
		}
	}
	return a.Context.Value(key)
}

func attemptOf(ctx context.Context) *Attempt {
	a, _ := ctx.Value(attemptKey{}).(*Attempt)
	return a
}

// Handling reports whether ctx is the context of a handler, or of a batch handler.
func Handling(ctx context.Context) bool { return attemptOf(ctx) != nil || InBatch(ctx) }
