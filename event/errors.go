package event

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrClosed is returned by everything that was closed, and is the cause of a
	// handler's context when the shutdown cancels it.
	ErrClosed = errors.New("event: closed")
	// ErrLeaseLost is the cause of a handler's context when the delivery went to
	// another member, and the refusal of a settlement that came too late.
	ErrLeaseLost = errors.New("event: lease lost")
	// ErrFull tells that a topic has no room. Publishing inside a handler returns
	// it at once; the delivery is tried again without counting a failure.
	ErrFull = errors.New("event: channel is full")
	// ErrNoHistory refuses a start at the oldest event where the channel keeps none.
	ErrNoHistory = errors.New("event: the channel keeps no history")
	// ErrDelayTooLong refuses a delay above the channel's longest.
	ErrDelayTooLong = errors.New("event: delay longer than the channel's longest")
	// ErrTooLarge refuses an event above the channel's limit.
	ErrTooLarge = errors.New("event: larger than the channel's limit")
	// ErrNotSupported is returned where a channel can't do what was asked.
	ErrNotSupported = errors.New("event: not supported by the channel")
	// ErrNewerVersion refuses an event whose schema is newer than the catalog's:
	// it becomes a dead letter, it is never skipped.
	ErrNewerVersion = errors.New("event: newer than the known schema version")
	// ErrNotHandling is returned by what needs a handler's context and got another.
	ErrNotHandling = errors.New("event: not under a handler's context")
	// ErrBehind is the error of an event of a batch that comes again, because an
	// earlier one of its key did not come to its end.
	ErrBehind = errors.New("event: behind an earlier event of its key")
	// ErrInBatch is returned for a publish under the context of a whole batch.
	ErrInBatch = errors.New("event: publish under the context of a whole batch: use that of the event which causes it, Element(ctx, i)")
	// ErrNotFound is returned for a dead letter that isn't there (any more).
	ErrNotFound = errors.New("event: not found")
)

// FullError is an [ErrFull] that says who is behind.
type FullError struct {
	Topic, Group string // the fullest group of the topic
	Waiting      int    // events that it has not settled
	Bound        int    // of them
	Err          error  // the context's error when a publisher stopped waiting for room
}

// Error names the topic, the group and how far behind it is.
func (e *FullError) Error() string {
	s := fmt.Sprintf("event: topic %q is full: group %q has %d events unsettled, bound %d", e.Topic, e.Group, e.Waiting, e.Bound)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Is reports whether target is [ErrFull].
func (e *FullError) Is(target error) bool { return target == ErrFull }

// Unwrap returns the context's error.
func (e *FullError) Unwrap() error { return e.Err }

// ProduceError says which events of a Produce were not known to be accepted. The
// others were.
type ProduceError struct{ Failed []ProduceFailure }

// ProduceFailure is one event that was not accepted, or not known to be.
type ProduceFailure struct {
	Index int    // in the call
	ID    string // of the event
	Err   error  // why
	Maybe bool   // it may have been written: the answer was lost or late
}

// Final reports whether a repetition of the same Produce can't help: the event was
// refused for what it is.
func (f ProduceFailure) Final() bool {
	var bad *AttributeError
	return !f.Maybe && (errors.Is(f.Err, ErrTooLarge) || errors.Is(f.Err, ErrDelayTooLong) || errors.As(f.Err, &bad))
}

// Error tells how many were not accepted, and of the first three why.
func (e *ProduceError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "event: %d not accepted", len(e.Failed))
	for i, f := range e.Failed {
		if i == 3 {
			fmt.Fprintf(&b, "; and %d more", len(e.Failed)-i)
			break
		}
		fmt.Fprintf(&b, "; [%d] %q: %v", f.Index, f.ID, f.Err)
		if f.Maybe {
			b.WriteString(" (may be written)")
		}
	}
	return b.String()
}

// Unwrap returns the error of each failure.
func (e *ProduceError) Unwrap() []error {
	errs := make([]error, len(e.Failed))
	for i, f := range e.Failed {
		errs[i] = f.Err
	}
	return errs
}

// SettleError says which settlements of a Settle were refused, by index. The
// others were recorded.
type SettleError struct{ Failed map[int]error }

// Error tells how many were refused, and why the first.
func (e *SettleError) Error() string {
	if len(e.Failed) == 0 {
		return "event: no settlement refused"
	}
	first := slices.Min(slices.Collect(maps.Keys(e.Failed)))
	return fmt.Sprintf("event: %d settlements refused; [%d] %v", len(e.Failed), first, e.Failed[first])
}

// At returns why the settlement at index i was refused, or nil: also when e is nil.
func (e *SettleError) At(i int) error {
	if e == nil {
		return nil
	}
	return e.Failed[i]
}

// Unwrap returns the error of each refusal, by index.
func (e *SettleError) Unwrap() []error {
	errs := make([]error, 0, len(e.Failed))
	for _, i := range slices.Sorted(maps.Keys(e.Failed)) {
		errs = append(errs, e.Failed[i])
	}
	return errs
}
