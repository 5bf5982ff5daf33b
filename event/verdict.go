package event

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// VerdictKind is what a handler's error asks for.
type VerdictKind uint8

// The kinds of verdicts. Done is the verdict on no error.
const (
	Done          VerdictKind = iota // acknowledge
	Failed                           // a failure: try again by the backoff, at the end a dead letter
	FailedForGood                    // a failure for good: a dead letter at once
	Postponed                        // not a failure: try again later
	Rejected                         // the answer is no: acknowledge, drop what was collected
)

// String returns the name of the kind.
func (k VerdictKind) String() string {
	return kindName(k, "done", "failed", "failed for good", "postponed", "rejected")
}

// kindName returns the name of a kind, or its number when it has none.
func kindName[K ~uint8](k K, names ...string) string {
	if int(k) < len(names) {
		return names[k]
	}
	return strconv.Itoa(int(k))
}

// Verdict is what a handler's error asks for, read by [VerdictOf].
type Verdict struct {
	Kind  VerdictKind   // of answer
	After time.Duration // when Timed: how long to wait; otherwise the backoff decides
	Timed bool          // After was said
}

type verdictError struct {
	verdict Verdict
	err     error
}

func (e *verdictError) Error() string {
	switch e.verdict.Kind {
	case FailedForGood:
		return "permanent: " + e.err.Error()
	case Postponed:
		return fmt.Sprintf("postponed for %v: %v", e.verdict.After, e.err)
	case Rejected:
		return "rejected: " + e.err.Error()
	default:
		return fmt.Sprintf("retry after %v: %v", e.verdict.After, e.err)
	}
}

func (e *verdictError) Unwrap() error { return e.err }

var errNoCause = errors.New("no cause given")

func mark(v Verdict, err error) error {
	if err == nil {
		err = errNoCause
	}
	v.After = max(v.After, 0)
	return &verdictError{verdict: v, err: err}
}

// Permanent returns an error that fails the event for good: it becomes a dead
// letter without another attempt.
func Permanent(err error) error { return mark(Verdict{Kind: FailedForGood}, err) }

// RetryAfter returns an error that fails this attempt and asks for the next one
// after d instead of the backoff. It counts as a failure.
func RetryAfter(d time.Duration, err error) error {
	return mark(Verdict{Kind: Failed, After: d, Timed: true}, err)
}

// Postpone returns an error that asks for another attempt after d and does not
// count as a failure: something that the event needs isn't there yet.
func Postpone(d time.Duration, err error) error {
	return mark(Verdict{Kind: Postponed, After: d, Timed: true}, err)
}

// Reject returns an error that answers no: the event is handled, its effect is
// rolled back, what the handler published is dropped, and the delivery is
// acknowledged. There is no retry and no dead letter.
func Reject(err error) error { return mark(Verdict{Kind: Rejected}, err) }

// VerdictOf tells what a handler's error asks for. Of several marks in a chain
// the outermost decides; an error without a mark is a failure.
func VerdictOf(err error) Verdict {
	if err == nil {
		return Verdict{}
	}
	if e, ok := errors.AsType[*verdictError](err); ok {
		return e.verdict
	}
	return Verdict{Kind: Failed}
}
