package payload

import (
	"context"
	"errors"
	"time"
)

// Store keeps payloads. Its methods may be called concurrently.
type Store interface {
	// Put keeps data under a name for a time at least. It replaces what is there.
	Put(ctx context.Context, name string, data []byte, keep time.Duration) error

	// Get returns what was put. [ErrGone] when it isn't there.
	Get(ctx context.Context, name string) ([]byte, error)

	// Expire keeps what was put for a time from now on, and no longer; that nothing is
	// there is no error.
	Expire(ctx context.Context, name string, keep time.Duration) error

	// Delete removes what was put; that nothing is there is no error.
	Delete(ctx context.Context, name string) error
}

// Errors that callers tell apart with errors.Is.
var (
	// ErrGone is the error of a payload that isn't there: it has expired, or was removed.
	ErrGone = errors.New("payload: it is gone")
	// ErrDigest is the error of a payload that isn't what was put.
	ErrDigest = errors.New("payload: it is not what was put")
	// ErrFull is returned by a store that is bounded and has no room.
	ErrFull = errors.New("payload: the store is full")
)
