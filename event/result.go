package event

import "context"

// Result is what a handler answered: the value of a command or a query, encoded.
type Result struct {
	ContentType string `json:"content_type"`   // of Data
	Data        []byte `json:"data,omitempty"` // encoded
}

// SetResult puts the result of the handler whose context ctx is. The last one
// counts; each attempt starts without. Outside a handler it returns
// [ErrNotHandling]. It keeps data.
func SetResult(ctx context.Context, contentType string, data []byte) error {
	a := attemptOf(ctx)
	if a == nil {
		return ErrNotHandling
	}
	own := a.own()
	own.result, own.has = Result{ContentType: contentType, Data: data}, true
	return nil
}

// ResultOf returns the result that was set in this attempt, and whether there is one.
func ResultOf(ctx context.Context) (Result, bool) {
	a := attemptOf(ctx)
	if a == nil || a.slots == nil || !a.slots.has {
		return Result{}, false
	}
	return a.slots.result, true
}
