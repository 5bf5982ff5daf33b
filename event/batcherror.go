package event

import (
	"fmt"
	"maps"
	"slices"
)

// BatchError tells which events of a batch failed, by their index in the batch, and
// how; the others are handled. One that names none, or none with an error, is as good
// as nil. [ErrorsOf] reads it, also when it is wrapped, marked or joined with others.
//
// It doesn't unwrap: what its errors say, say that they are [Permanent], is said of one
// event each and never of the whole batch.
type BatchError map[int]error

// Error tells how many failed, and the first.
func (e BatchError) Error() string {
	if len(e) == 0 {
		return "event: no event of the batch failed"
	}
	first := slices.Min(slices.Collect(maps.Keys(e)))
	return fmt.Sprintf("event: %d events of the batch failed; [%d] %v", len(e), first, e[first])
}

// ErrorsOf returns what a batch handler's error says about each of n events; nil when
// it is nil. A [BatchError] speaks of the events that it names. A mark around it
// ([Permanent], [Postpone], …) is one around each of its errors. Several can be joined;
// the first that names an event counts. Any other error speaks of all events, also one
// that is joined with a BatchError, and a BatchError that names an event which is not
// there.
func ErrorsOf(err error, n int) []error {
	if err == nil {
		return nil
	}
	errs := make([]error, n)
	some, partly := named(err)
	for i := range some {
		if partly && (i < 0 || i >= n) {
			partly = false
			err = fmt.Errorf("event: BatchError names event %d of a batch of %d: %v", i, n, err) //nolint:errorlint // no marks
		}
	}
	for i := range errs {
		errs[i] = err
		if partly {
			errs[i] = some[i]
		}
	}
	return errs
}

// named returns the events that an error names, and whether it is about these alone.
// Of joined errors all have to be.
func named(err error) (BatchError, bool) {
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself
	case BatchError:
		return e, true
	case *verdictError:
		some, partly := named(e.err)
		return e.aroundEach(some), partly
	case interface{ Unwrap() error }:
		return named(e.Unwrap())
	case interface{ Unwrap() []error }:
		all, joined := make(BatchError), e.Unwrap()
		for _, one := range joined {
			some, partly := named(one)
			if !partly {
				return nil, false
			}
			for i, failed := range some {
				if all[i] == nil {
					all[i] = failed
				}
			}
		}
		return all, len(joined) > 0
	}
	return nil, false
}

// aroundEach returns the errors with the mark around each.
func (e *verdictError) aroundEach(some BatchError) BatchError {
	marked := make(BatchError, len(some))
	for i, err := range some {
		if err != nil {
			marked[i] = &verdictError{verdict: e.verdict, err: err}
		}
	}
	return marked
}
