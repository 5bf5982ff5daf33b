package command

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/leat-go/leat/event"
)

// State is how far an operation is.
type State string

// The states of an operation. The last four are final; but a failed one that is driven
// again from the dead letters runs again.
const (
	Accepted  State = "accepted"  // it waits for a worker
	Running   State = "running"   // a handler is at work
	Retrying  State = "retrying"  // an attempt failed, and another follows
	Succeeded State = "succeeded" // the handler returned nil
	Failed    State = "failed"    // the handler's answer was no, or no attempt is left
	Expired   State = "expired"   // its time was over before a handler began
	Cancelled State = "cancelled" // before a handler began, or between two attempts
)

// Final reports whether nothing follows the state by itself.
func (s State) Final() bool {
	switch s {
	case Succeeded, Failed, Expired, Cancelled:
		return true
	case Accepted, Running, Retrying:
	}
	return false
}

// Operation is what became of a command so far. It has no payload of the command.
type Operation struct { //nolint:recvcheck // as encoding has it
	ID      string    `json:"id"`                // of the command
	Name    string    `json:"name"`              // its type
	State   State     `json:"state"`             // how far it is
	Version int64     `json:"version"`           // 1 for a new one, and one more for each change
	Created time.Time `json:"created"`           // when it was sent
	Updated time.Time `json:"updated"`           // when it changed last
	Subject string    `json:"subject,omitempty"` // who sent it, as an [Authorizer] said
	Tenant  string    `json:"tenant,omitempty"`  // whose it is

	NotBefore time.Time `json:"not_before,omitzero"` // when it may run
	Expires   time.Time `json:"expires,omitzero"`    // when it may begin no more

	Attempt  int           `json:"attempt,omitempty"`  // of the handler; 1 for the first
	Progress *Stage        `json:"progress,omitempty"` // what the handler said last
	Result   *event.Result `json:"result,omitempty"`   // what the handler answered
	Problem  *event.Error  `json:"problem,omitempty"`  // why it failed; of one that is accepted: why it isn't sent

	Dead        bool   `json:"dead,omitempty"`        // failed, and a dead letter that can be driven again
	Begun       bool   `json:"begun,omitempty"`       // of one that can expire: a handler has begun, in whatever attempt
	Sent        bool   `json:"sent,omitempty"`        // the channel has the command
	Fingerprint string `json:"fingerprint,omitempty"` // of the command; "": not known
}

// Stage is how much of a command is done.
type Stage struct {
	Percent int    `json:"percent"`        // 0 to 100
	Note    string `json:"note,omitempty"` // for people
}

// Kept returns until when a store keeps an operation that changes now: for keep, or if it
// has to wait, for keep from then on.
func (o Operation) Kept(now time.Time, keep time.Duration) time.Time {
	if o.NotBefore.After(now) {
		now = o.NotBefore
	}
	return now.Add(keep)
}

// MarshalBinary implements [encoding.BinaryMarshaler], as JSON: for stores.
func (o Operation) MarshalBinary() ([]byte, error) { return json.Marshal(o) }

// UnmarshalBinary reads what MarshalBinary wrote.
func (o *Operation) UnmarshalBinary(data []byte) error { return json.Unmarshal(data, o) }

// The errors of operations.
var (
	ErrNoOperation = errors.New("command: no such operation")
	ErrForgotten   = errors.New("command: the operation is over for longer than it is kept")
	ErrConflict    = errors.New("command: the operation has changed meanwhile")
	ErrFull        = errors.New("command: the store has no room for another operation")
	ErrExists      = errors.New("command: there is an operation of this id")
)

// ErrExpired is the answer to a command whose time was over before a handler began.
var ErrExpired = event.NewError("expired", "the command came too late")

// ErrCancelled is the answer to a command that was cancelled.
var ErrCancelled = event.NewError("cancelled", "the command was cancelled")
