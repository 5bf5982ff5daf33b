package idempotency

import (
	"context"
	"errors"
	"time"
)

// Store keeps what was claimed and what was done. Its methods may be called
// concurrently, by any number of processes where it is shared by them; its own clock
// counts, not theirs. Package storetest tests one against everything that is promised
// here.
//
// An error that is none of this package's says that the store didn't answer, or not in
// time: what was asked for may have happened.
type Store interface {
	// Claim takes a key for a time, if nobody has it and it isn't done. Of any number of
	// callers at a time one gets it.
	Claim(ctx context.Context, key Key, c Claim) (Grant, error)

	// Extend lets a claim last for another lease from now on. [ErrFenced] when the key is
	// another's by now, or done with.
	Extend(ctx context.Context, key Key, fence uint64, lease time.Duration) error

	// Complete records that a claim has had its effect. [ErrFenced] as above: then
	// nothing is recorded.
	Complete(ctx context.Context, key Key, fence uint64, r Record) error

	// Fail records that a claim has failed for good. [ErrFenced] as above.
	Fail(ctx context.Context, key Key, fence uint64) error

	// Release gives a claim back, so that the key can be claimed again at once.
	// [ErrFenced] as above.
	Release(ctx context.Context, key Key, fence uint64) error

	// Window is for how long, at least, a record is kept after it was written.
	Window() time.Duration
}

// Claim is what is wanted of a key.
type Claim struct {
	Lease       time.Duration // how long it lasts unless it is extended; above 0
	Fingerprint string        // of what is to be done; "": not compared
	Retake      bool          // also what has failed for good: it was driven again
}

// State is what a [Grant] says.
type State uint8

// The states of a key.
const (
	Claimed   State = iota // it is ours now
	Busy                   // somebody has it
	Completed              // it was done
	Failed                 // it has failed for good
	Mismatch               // it is known with another fingerprint
)

// String returns the name of the state.
func (s State) String() string {
	names := [...]string{"claimed", "busy", "completed", "failed", "mismatch"}
	if int(s) < len(names) {
		return names[s]
	}
	return "unknown"
}

// Grant is the answer to a [Claim].
type Grant struct {
	State    State
	Fence    uint64        // of Claimed: higher than that of any claim before; names it to the store and to others
	Attempts int           // of Claimed: how often the key was claimed, this time included
	Left     time.Duration // of Busy: when its lease ends, unless it is extended
	Record   Record        // of Completed
}

// Errors that callers tell apart with errors.Is.
var (
	// ErrFenced refuses who no longer has the claim: its lease ended and somebody else
	// has the key, or it is done with.
	ErrFenced = errors.New("idempotency: the claim is another's, or done with")
	// ErrFull is returned by a store that is bounded and has no room for another key.
	ErrFull = errors.New("idempotency: the store is full")
	// ErrMismatch refuses an event whose id was used for another payload before.
	ErrMismatch = errors.New("idempotency: the id was used for another payload")
	// ErrBusy is the error of what somebody else is doing at this moment.
	ErrBusy = errors.New("idempotency: somebody else is at it")
)
