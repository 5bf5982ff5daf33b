package bus

import (
	"fmt"

	"github.com/leat-go/leat/event"
)

// BatchError is what a batch handler returns when some events of the batch failed:
// their index in the slice, and the error of each. One that names none, or none with
// an error, is as good as nil. It can be wrapped, and joined with others. See
// [SubscribeBatch].
type BatchError = event.BatchError

// errorsOf returns what a batch handler's error says about each of n events; nil when
// there is none.
func errorsOf(err error, n int) []error {
	if err == nil {
		return nil
	}
	errs := make([]error, n)
	some, partly := named(err)
	for i := range some {
		if i < 0 || i >= n {
			partly = false
			err = fmt.Errorf("bus: BatchError names event %d of a batch of %d: %w", i, n, err)
			break
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

// errorAt returns the i-th of errs, or nil when there are none.
func errorAt(errs []error, i int) error {
	if errs == nil {
		return nil
	}
	return errs[i]
}

// named returns the events that an error names, and whether it is about these alone.
// Of joined errors all have to be.
func named(err error) (BatchError, bool) {
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself
	case BatchError:
		return e, true
	case *PanicError: // of whatever value
		return nil, false
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
