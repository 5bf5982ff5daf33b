package pgstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/leat-go/leat/idempotency"
)

type sqlKey struct{}

// InSQL is [Store.InTx] for handlers on database/sql: their transactions are those of db,
// of any driver for the store's database. They find them with [SQLTx].
func (s *Store) InSQL(db *sql.DB) *idempotency.OnceInTx { return idempotency.InTx(inSQL{s, db}) }

// SQLTx returns the transaction of the handler that ctx belongs to: see [Store.InSQL].
// Outside of such a handler the error is [ErrNoTx]. It ends with the handler: to commit it,
// or to roll it back, is a mistake that loses the record.
func SQLTx(ctx context.Context) (*sql.Tx, error) {
	tx, ok := ctx.Value(sqlKey{}).(*sql.Tx)
	if !ok {
		return nil, ErrNoTx
	}
	return tx, nil
}

// inSQL begins transactions of database/sql.
type inSQL struct {
	*Store

	db *sql.DB
}

var _ idempotency.Transactor = inSQL{}

// Begin implements [idempotency.Transactor].
func (p inSQL) Begin(
	ctx context.Context, keys []idempotency.Key, claims []idempotency.Claim,
) (idempotency.Transaction, []idempotency.Grant, error) {
	level := sql.LevelReadCommitted
	if p.isolation != "read committed" {
		level = sql.LevelSerializable
	}
	// the context of a transaction of database/sql ends it, and a handler's may end before its commit
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	begun := context.AfterFunc(ctx, cancel)
	tx, err := p.db.BeginTx(own, &sql.TxOptions{Isolation: level})
	if !begun() && err == nil {
		_ = tx.Rollback()
		err = ctx.Err()
	}
	if err != nil {
		cancel()
		return nil, nil, fmt.Errorf("pgstore: begin: %w", err)
	}
	t := &sqlTx{store: p.Store, tx: tx, keys: keys, cancel: cancel}
	claimed := false
	for i := range keys {
		g, err := t.claim(ctx, keys[i], claims[i])
		if err != nil {
			t.Rollback(ctx)
			if interrupted(err) {
				return nil, busy(len(keys)), nil
			}
			return nil, nil, explained("begin", err)
		}
		claimed = claimed || g.State == idempotency.Claimed
		t.grants = append(t.grants, g)
	}
	if !claimed {
		t.Rollback(ctx)
		return nil, t.grants, nil
	}
	return t, t.grants, nil
}

// Fail implements [idempotency.Transactor].
func (p inSQL) Fail(ctx context.Context, key idempotency.Key) error {
	return inPool{p.Store}.Fail(ctx, key)
}

// sqlTx is a transaction of database/sql.
type sqlTx struct {
	store  *Store
	tx     *sql.Tx
	keys   []idempotency.Key
	grants []idempotency.Grant
	lost   bool
	cancel context.CancelFunc
}

func (t *sqlTx) claim(ctx context.Context, key idempotency.Key, c idempotency.Claim) (idempotency.Grant, error) {
	n := t.store.name(key)
	var state int
	var left *int64
	var record []byte
	err := t.tx.QueryRowContext(ctx, "select state_, left_ms, record_"+t.store.limit+" from "+t.store.prefix+
		"claim_key($1::bigint, $2::uuid, $3::text, $4::text, $5::boolean, null)",
		n.lock, fmt.Sprintf("%x", n.id.Bytes), n.text, text(c.Fingerprint), c.Retake).Scan(&state, &left, &record, new(any))
	if err != nil {
		return idempotency.Grant{}, err
	}
	return grant(state, nil, left, nil, record)
}

// Context implements [idempotency.Transaction].
func (t *sqlTx) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, sqlKey{}, t.tx)
}

// Commit implements [idempotency.Transaction].
func (t *sqlTx) Commit(ctx context.Context, done []idempotency.Record) error {
	if err := t.write(ctx, done); err != nil {
		t.Rollback(ctx)
		if hopeless(stateOf(err)) {
			return uncommitted(err)
		}
		return err
	}
	return uncommitted(t.tx.Commit())
}

func (t *sqlTx) write(ctx context.Context, done []idempotency.Record) error {
	all, err := t.store.results(t.keys, t.grants, done)
	if err != nil {
		return err
	}
	for i, n := range all.names {
		sql := "select " + t.store.prefix + "record_key($1::uuid, $2::bytea)" //nolint:gosec // the schema, quoted
		if _, err := t.tx.ExecContext(ctx, sql, fmt.Sprintf("%x", n.id.Bytes), all.records[i]); err != nil {
			return explained("a record", err)
		}
	}
	if err := t.store.putSQL(ctx, t.tx, false, all.rows); err != nil {
		return err
	}
	// A transaction that was aborted would commit without an error, and nothing.
	if _, err := t.tx.ExecContext(ctx, "select 1"); err != nil {
		if stateOf(err) == codeAborted {
			return idempotency.ErrAborted
		}
		return explained("commit", err)
	}
	return nil
}

// codeAborted is that of a statement in a transaction that was aborted before.
const codeAborted = "25P02"

// stateOf returns the code of an error of PostgreSQL, whatever the driver.
func stateOf(err error) string {
	if e, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err); ok {
		return e.SQLState()
	}
	return ""
}

// Rollback implements [idempotency.Transaction].
func (t *sqlTx) Rollback(context.Context) {
	_ = t.tx.Rollback() // else the server does it
	t.cancel()
}

// Interrupted implements [idempotency.Transaction].
func (t *sqlTx) Interrupted(err error) bool {
	switch state := stateOf(err); {
	case state == codeSerialization, state == codeDeadlock:
		return true
	case state == codeIdle, errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return false
	}
	if !t.lost { // ask once: an answer of any kind says that the server is there
		_, asked := t.tx.ExecContext(context.Background(), "select 1")
		t.lost = asked != nil && stateOf(asked) == "" && !errors.Is(asked, sql.ErrTxDone)
	}
	return t.lost
}
