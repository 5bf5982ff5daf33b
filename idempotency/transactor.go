package idempotency

import (
	"context"
	"errors"
	"time"
)

// Transactor begins transactions in which keys are claimed: then a record, the effect that
// it is of, and what was published commit together, or nothing does. A store on a database
// implements it for [InTx]. Its methods may be called concurrently.
//
// An error that is none of this package's says that the database didn't answer.
type Transactor interface {
	// Begin begins a transaction and claims keys in it, no key twice; the grants are in
	// their order. A key that is [Claimed] is ours until the transaction ends. One that
	// another transaction has is [Busy]: Begin waits for nobody. Claims have no lease.
	// Where no key is Claimed there is no transaction: it is nil.
	Begin(ctx context.Context, keys []Key, claims []Claim) (Transaction, []Grant, error)

	// Fail records that a key has failed for good, unless it was done.
	Fail(ctx context.Context, key Key) error

	// Window is for how long, at least, a record is kept after it was written.
	Window() time.Duration
}

// Transaction is one that a [Transactor] began. It isn't used concurrently.
type Transaction interface {
	// Context returns a context under which a handler finds the transaction.
	Context(ctx context.Context) context.Context

	// Commit records what became of the keys that were claimed, in the order of Begin
	// (those of others are ignored), writes what was sent where it goes out by itself,
	// and commits. [ErrAborted] says that there was nothing to commit any more. After any
	// other error it may have committed, or not.
	Commit(ctx context.Context, done []Record) error

	// Rollback ends the transaction without an effect. After Commit it does nothing.
	Rollback(ctx context.Context)

	// Interrupted reports whether an error of the handler, or of Commit, isn't its own: the
	// connection is gone, or the database chose this transaction to give way to others.
	Interrupted(err error) bool
}

// ErrAborted says that a transaction was aborted before its commit: a statement had failed,
// and the handler returned nil all the same.
var ErrAborted = errors.New("idempotency: the transaction was aborted: a statement failed, and the handler returned nil")
