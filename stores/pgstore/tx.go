package pgstore

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

type txKey struct{}

// Errors of a handler's transaction.
var (
	// ErrNoTx is the error of every call of a transaction that isn't there.
	ErrNoTx = errors.New("pgstore: there is no transaction: the context is not that of a handler with Store.InTx")
	// ErrOver is the error of every call of a transaction whose handler has returned.
	ErrOver = errors.New("pgstore: the handler has returned, and its transaction is over")
	// ErrNotYours is the error of Commit and Rollback: what the handler returns decides.
	ErrNotYours = errors.New("pgstore: the transaction ends with its handler: return nil to commit, an error to roll back")
)

// Tx returns the transaction of the handler that ctx belongs to: see [Store.InTx]. It is
// for the handler's goroutine. Begin makes a savepoint; Commit and Rollback return
// [ErrNotYours]. Outside of such a handler every call returns [ErrNoTx].
func Tx(ctx context.Context) pgx.Tx {
	if t, ok := ctx.Value(txKey{}).(*transaction); ok {
		return t
	}
	return noTx
}

// noTx is nobody's transaction.
var noTx = &transaction{}

// transaction is a handler's view of its transaction.
type transaction struct {
	conn *pgx.Conn
	over atomic.Bool // the handler has returned

	gaveUp atomic.Bool // the handler didn't wait for a statement, which cost the connection
	inner  pgx.Tx      // the library's, once it is needed
}

// usable returns why the transaction can't be used, or nil.
func (t *transaction) usable() error {
	switch {
	case t.conn == nil:
		return ErrNoTx
	case t.over.Load():
		return ErrOver
	}
	return nil
}

// noted notes that a statement wasn't waited for.
func (t *transaction) noted(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		t.gaveUp.Store(true)
	}
	return err
}

// end is when who had the transaction has returned.
func (t *transaction) end() {
	t.over.Store(true)
	if t.inner != nil {
		none, cancel := context.WithCancel(context.Background())
		cancel()
		_ = t.inner.Commit(none) // sends nothing: what was begun in it is over, too
	}
}

// library returns the library's own transaction, for what it alone can make.
func (t *transaction) library(ctx context.Context) (pgx.Tx, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	if t.inner == nil {
		tx, err := t.conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: "select"}) // it has begun
		if err != nil {
			return nil, err
		}
		t.inner = tx
	}
	return t.inner, nil
}

// Begin begins a part that can be rolled back by itself: a savepoint.
func (t *transaction) Begin(ctx context.Context) (pgx.Tx, error) {
	tx, err := t.library(ctx)
	if err != nil {
		return nil, err
	}
	return tx.Begin(ctx)
}

func (t *transaction) Commit(context.Context) error { return errors.Join(t.usable(), ErrNotYours) }

func (t *transaction) Rollback(context.Context) error { return errors.Join(t.usable(), ErrNotYours) }

func (t *transaction) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if err := t.usable(); err != nil {
		return pgconn.CommandTag{}, err
	}
	tag, err := t.conn.Exec(ctx, sql, args...)
	return tag, t.noted(err)
}

func (t *transaction) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if err := t.usable(); err != nil {
		return failedRows{err: err}, err
	}
	rows, err := t.conn.Query(ctx, sql, args...)
	return rows, t.noted(err)
}

func (t *transaction) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if err := t.usable(); err != nil {
		return failedRows{err: err}
	}
	return t.conn.QueryRow(ctx, sql, args...)
}

func (t *transaction) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if err := t.usable(); err != nil {
		return failedBatch{err}
	}
	return t.conn.SendBatch(ctx, b)
}

func (t *transaction) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, src pgx.CopyFromSource) (int64, error) {
	if err := t.usable(); err != nil {
		return 0, err
	}
	return t.conn.CopyFrom(ctx, table, columns, src)
}

func (t *transaction) Prepare(ctx context.Context, name, sql string) (*pgconn.StatementDescription, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	return t.conn.Prepare(ctx, name, sql)
}

// LargeObjects returns those of the transaction; where there is none they can't be used.
func (t *transaction) LargeObjects() pgx.LargeObjects {
	tx, err := t.library(context.Background())
	if err != nil {
		return pgx.LargeObjects{}
	}
	return tx.LargeObjects()
}

// Conn returns the connection, for what needs one and ends nothing; nil where there is none.
func (t *transaction) Conn() *pgx.Conn {
	if t.usable() != nil {
		return nil
	}
	return t.conn
}

// failedRows are the rows of a query that there is no transaction for.
type failedRows struct {
	pgx.Rows

	err error
}

func (r failedRows) Err() error        { return r.err }
func (r failedRows) Scan(...any) error { return r.err }
func (failedRows) Next() bool          { return false }
func (failedRows) Close()              {}

// failedBatch is the answer to a batch that there is no transaction for.
type failedBatch struct{ err error }

func (b failedBatch) Exec() (pgconn.CommandTag, error) { return pgconn.CommandTag{}, b.err }
func (b failedBatch) Query() (pgx.Rows, error)         { return failedRows{err: b.err}, b.err }
func (b failedBatch) QueryRow() pgx.Row                { return failedRows{err: b.err} }
func (b failedBatch) Close() error                     { return b.err }
