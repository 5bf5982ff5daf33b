package event

import "context"

// OutcomeKind is how an attempt ended.
type OutcomeKind uint8

// The ways in which an attempt ends.
const (
	OutcomeAcked    OutcomeKind = iota // handled
	OutcomeRejected                    // handled, the answer was no
	OutcomeRetried                     // comes again
	OutcomeDead                        // a dead letter now
)

// String returns the name of the kind.
func (k OutcomeKind) String() string {
	return kindName(k, "acked", "rejected", "retried", "dead")
}

// Outcome is how an attempt ended, with the error that the handler returned.
type Outcome struct {
	Kind OutcomeKind // how it ended
	Err  error       // the handler's, if it failed
}

// OnOutcome registers functions for the end of the attempt that ctx belongs to;
// either may be nil.
//
// before runs once the outcome is decided and the collected events are out, ahead
// of the settlement. When it returns an error the delivery is held and before
// alone is tried again. after runs when the settlement was recorded, or, when the
// event is to be tried again, once that is decided. A crash before the settlement
// repeats the attempt, and both with it; after one that comes behind the settlement,
// after has not run and will not.
// Several registrations run in their order. Only the handler's goroutine may
// call it. Outside a handler it returns [ErrNotHandling].
func OnOutcome(ctx context.Context, before func(context.Context, Outcome) error, after func(context.Context, Outcome)) error {
	a := attemptOf(ctx)
	if a == nil {
		return ErrNotHandling
	}
	s := a.own()
	if before != nil {
		s.before = append(s.before, before)
	}
	if after != nil {
		s.after = append(s.after, after)
	}
	return nil
}

// Watched reports whether somebody registered for the outcome.
func (a *Attempt) Watched() (before, after bool) {
	if a.slots == nil {
		return false, false
	}
	return len(a.slots.before) > 0, len(a.slots.after) > 0
}

// RunBefore runs the functions for before that did not run yet, up to the first
// error; the next call goes on with the one that failed.
func (a *Attempt) RunBefore(ctx context.Context, o Outcome) error {
	s := a.own()
	for len(s.before) > 0 {
		if err := s.before[0](ctx, o); err != nil {
			return err
		}
		s.before = s.before[1:]
	}
	return nil
}

// RunAfter runs the functions for after, each once, also when one of them panics and
// RunAfter is called again.
func (a *Attempt) RunAfter(ctx context.Context, o Outcome) {
	s := a.own()
	for len(s.after) > 0 {
		f := s.after[0]
		s.after = s.after[1:]
		f(ctx, o)
	}
}
