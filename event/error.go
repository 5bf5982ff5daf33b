package event

import (
	"encoding/json"
	"errors"
)

// Error is an error that travels: an answer that the other side can tell apart by
// its code, in another process too. Declare it once with [NewError] and compare
// with errors.Is, which looks at the code alone.
type Error struct {
	Code    string          `json:"code"`              // stable, for programs: "sold_out"
	Message string          `json:"message"`           // for people
	Details json.RawMessage `json:"details,omitempty"` // for programs, as JSON
}

// NewError returns an error with a code for programs and a message for people.
func NewError(code, message string) *Error { return &Error{Code: code, Message: message} }

// Error returns the message and the code.
func (e *Error) Error() string { return e.Message + " (" + e.Code + ")" }

// Is reports whether target is an *Error with the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// WithMessage returns a copy with another message and the same code.
func (e *Error) WithMessage(message string) *Error {
	return &Error{Code: e.Code, Message: message, Details: e.Details}
}

// WithDetails returns a copy that carries v as JSON. Details that can't be
// encoded are an error of the program and panic.
func (e *Error) WithDetails(v any) *Error {
	b, err := json.Marshal(v)
	if err != nil {
		panic("event: details of " + e.Code + ": " + err.Error())
	}
	return &Error{Code: e.Code, Message: e.Message, Details: b}
}

// CodeOf returns the code of the first *Error in the chain of err, or "".
func CodeOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}
