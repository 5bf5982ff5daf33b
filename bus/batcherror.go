package bus

import "github.com/leat-go/leat/event"

// BatchError is what a batch handler returns when some events of the batch failed:
// their index in the slice, and the error of each. One that names none, or none with
// an error, is as good as nil. It can be wrapped, marked, and joined with others. See
// [SubscribeBatch] and [event.ErrorsOf].
type BatchError = event.BatchError

// errorAt returns the i-th of errs, or nil when there are none.
func errorAt(errs []error, i int) error {
	if errs == nil {
		return nil
	}
	return errs[i]
}
