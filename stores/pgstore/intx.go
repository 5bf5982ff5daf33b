package pgstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
)

// InTx returns a middleware that runs handlers in a transaction of the store's pool, which
// they find with [Tx].
func (s *Store) InTx() *idempotency.OnceInTx { return idempotency.InTx(inPool{s}) }

// inPool begins transactions on connections of the pool.
type inPool struct{ *Store }

var _ idempotency.Transactor = inPool{}

// beginWait is how long the beginning of a transaction may take, which waits for nobody.
const beginWait = 30 * time.Second

// checkWait is how long a start waits for the database. One that doesn't answer is not the
// application's mistake.
const checkWait = 5 * time.Second

// CheckStart implements [event.StartChecker]: without tables nothing could be handled.
func (p inPool) CheckStart(event.Subscription, event.Guarantees) error {
	ctx, cancel := context.WithTimeout(context.Background(), checkWait)
	defer cancel()
	var there bool
	err := p.pool.QueryRow(ctx, "select to_regclass($1) is not null", p.prefix+"inbox").Scan(&there)
	if err == nil && !there {
		return fmt.Errorf("pgstore: the schema %q has no tables: see Store.Migrate", p.schema)
	}
	return nil
}

// Begin implements [idempotency.Transactor], in one round trip where the keys are new.
func (p inPool) Begin(
	ctx context.Context, keys []idempotency.Key, claims []idempotency.Claim,
) (idempotency.Transaction, []idempotency.Grant, error) {
	c, err := p.pool.Acquire(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("pgstore: a connection: %w", err)
	}
	t := &poolTx{store: p.Store, pooled: c, tx: &transaction{conn: c.Conn()}, keys: keys}
	err = t.begin(ctx, keys, claims)
	if err == nil {
		for _, g := range t.grants {
			if g.State == idempotency.Claimed {
				return t, t.grants, nil
			}
		}
	}
	t.Rollback(ctx)
	switch {
	case err == nil:
		return nil, t.grants, nil
	case interrupted(err):
		return nil, busy(len(keys)), nil
	}
	return nil, nil, explained("begin", err)
}

// busy is the answer to claims that gave way to others.
func busy(n int) []idempotency.Grant {
	return slices.Repeat([]idempotency.Grant{{State: idempotency.Busy, Left: 100 * time.Millisecond}}, n)
}

// Fail implements [idempotency.Transactor].
func (p inPool) Fail(ctx context.Context, key idempotency.Key) error {
	n := p.name(key)
	err := p.apart(ctx, func(b *pgx.Batch) { b.Queue("select "+p.prefix+"fail_key($1, $2, $3)", n.lock, n.id, n.text) })
	if err != nil {
		return explained("a failure", err)
	}
	return nil
}

// poolTx is a transaction on a connection of the pool.
type poolTx struct {
	store  *Store
	pooled *pgxpool.Conn
	tx     *transaction
	keys   []idempotency.Key
	grants []idempotency.Grant
	ended  bool
}

func (t *poolTx) begin(ctx context.Context, keys []idempotency.Key, claims []idempotency.Claim) (err error) {
	ctx, cancel := context.WithTimeout(ctx, beginWait)
	defer cancel()
	batch := &pgx.Batch{}
	batch.Queue("begin isolation level " + string(t.store.isolation))
	if len(keys) == 1 {
		t.grants, err = t.beginOne(ctx, batch, t.store.name(keys[0]), claims[0])
		return err
	}
	t.queueMany(batch, keys, claims)
	answers := t.tx.conn.SendBatch(ctx, batch)
	if _, err := answers.Exec(); err != nil {
		return errors.Join(err, answers.Close())
	}
	rows, _ := answers.Query()
	t.grants, err = pgx.CollectRows(rows, grantOf)
	if err := errors.Join(err, answers.Close()); err != nil {
		return err
	}
	if len(t.grants) != len(keys) {
		return fmt.Errorf("%d keys were claimed, and there are %d answers", len(keys), len(t.grants))
	}
	return nil
}

// beginOne claims one key. Most are new; what the others are is asked for.
func (t *poolTx) beginOne(ctx context.Context, batch *pgx.Batch, n name, c idempotency.Claim) ([]idempotency.Grant, error) {
	batch.Queue("select "+t.store.prefix+"claim_new($1, $2, $3, $4)"+t.store.limit, n.lock, n.id, n.text, text(c.Fingerprint))
	answers := t.tx.conn.SendBatch(ctx, batch)
	if _, err := answers.Exec(); err != nil {
		return nil, errors.Join(err, answers.Close())
	}
	var ours bool
	err := answers.QueryRow().Scan(&ours, nil)
	if err := errors.Join(err, answers.Close()); err != nil {
		return nil, err
	}
	if ours {
		return []idempotency.Grant{{State: idempotency.Claimed}}, nil
	}
	rows, _ := t.tx.conn.Query(ctx, "select state_, left_ms, record_, null from "+t.store.prefix+"claim_key($1, $2, $3, $4, $5, null)",
		n.lock, n.id, n.text, text(c.Fingerprint), c.Retake)
	return pgx.CollectRows(rows, grantOf)
}

// grantOf reads one answer.
func grantOf(row pgx.CollectableRow) (idempotency.Grant, error) {
	var state int
	var left *int64
	var record []byte
	if err := row.Scan(&state, &left, &record, nil); err != nil {
		return idempotency.Grant{}, err
	}
	return grant(state, nil, left, nil, record)
}

func (t *poolTx) queueMany(batch *pgx.Batch, keys []idempotency.Key, claims []idempotency.Claim) {
	locks, ids, texts := make([]int64, len(keys)), make([]pgtype.UUID, len(keys)), make([]string, len(keys))
	fingerprints, retakes := make([]*string, len(keys)), make([]bool, len(keys))
	for i, key := range keys {
		n := t.store.name(key)
		locks[i], ids[i], texts[i] = n.lock, n.id, n.text
		fingerprints[i], retakes[i] = text(claims[i].Fingerprint), claims[i].Retake
	}
	batch.Queue("select state_, left_ms, record_"+t.store.limit+" from "+t.store.prefix+"claim_keys($1, $2, $3, $4, $5)",
		locks, ids, texts, fingerprints, retakes)
}

// Context implements [idempotency.Transaction].
func (t *poolTx) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, txKey{}, t.tx)
}

// Commit implements [idempotency.Transaction], in one round trip.
func (t *poolTx) Commit(ctx context.Context, done []idempotency.Record) error {
	t.tx.over.Store(true)
	all, err := t.store.results(t.keys, t.grants, done)
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	for i, n := range all.names {
		batch.Queue("select "+t.store.prefix+"record_key($1, $2)", n.id, all.records[i])
	}
	if rows := all.rows; len(rows.events) > 0 {
		batch.Queue("select "+t.store.prefix+"put(false, $1, $2, $3, $4, $5)", rows.topics, rows.keys, rows.ids, rows.types, rows.events)
	}
	if err := t.committable(); err != nil {
		t.Rollback(ctx)
		return err
	}
	if err := t.send(ctx, batch); err != nil {
		t.Rollback(ctx)
		return err
	}
	t.release() //nolint:contextcheck // it sends nothing
	return nil
}

// committable returns what the handler left that prevents a commit, or nil.
func (t *poolTx) committable() error {
	switch c := t.tx.conn.PgConn(); {
	case t.tx.gaveUp.Load():
		return fmt.Errorf("%w: a statement was given up", idempotency.ErrAborted)
	case c.IsClosed():
	case c.IsBusy():
		return fmt.Errorf("%w: it left the rows of a query open", idempotency.ErrAborted)
	case c.TxStatus() == 'E':
		return idempotency.ErrAborted
	case c.TxStatus() == 'I':
		return fmt.Errorf("%w: it ended the transaction itself: %w", idempotency.ErrAborted, ErrNotYours)
	}
	return nil
}

// send sends a batch, and the commit.
func (t *poolTx) send(ctx context.Context, batch *pgx.Batch) error {
	if batch.Len() == 0 { // by itself it costs less
		_, err := t.tx.conn.Exec(ctx, "commit")
		return uncommitted(err)
	}
	batch.Queue("commit")
	answers := t.tx.conn.SendBatch(ctx, batch)
	for n := range batch.Len() {
		_, err := answers.Exec()
		if err == nil {
			continue
		}
		err = errors.Join(err, answers.Close())
		if n == batch.Len()-1 || hopeless(stateOf(err)) {
			return uncommitted(err)
		}
		return explained("commit", err)
	}
	if err := answers.Close(); err != nil {
		return explained("commit", err)
	}
	return nil
}

// hopeless reports whether a code says that what is to be written behind the handler can't
// be, and couldn't the next time: data exceptions, limits that are exceeded (PostgreSQL,
// appendix A), or that the transaction, in which a key was claimed, may not any more, or was
// left alone for too long.
func hopeless(code string) bool {
	switch code {
	case codeNoRight, codeReadOnly, codeIdle:
		return true
	}
	return len(code) == 5 && (code[:2] == "22" || code[:2] == "54")
}

// uncommitted explains the error of a commit.
func uncommitted(err error) error {
	if err == nil {
		return nil
	}
	err = explained("commit", err)
	if refusedBy(stateOf(err)) {
		return fmt.Errorf("%w: %w", idempotency.ErrAborted, err)
	}
	return err
}

// refusedBy reports whether a code says that a commit was refused for what is in it: a
// deferred constraint, say. Others are the server's troubles (PostgreSQL, appendix A).
func refusedBy(code string) bool {
	if len(code) != 5 {
		return false
	}
	switch code[:2] {
	case "08", "40", "53", "57", "58", "F0", "XX":
		return false
	}
	return true
}

// Rollback implements [idempotency.Transaction].
func (t *poolTx) Rollback(ctx context.Context) {
	t.tx.over.Store(true)
	if t.ended {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkWait)
	defer cancel()
	if c := t.tx.conn; !c.IsClosed() && c.PgConn().TxStatus() != 'I' {
		if _, err := c.Exec(ctx, "rollback"); err != nil {
			_ = c.Close(ctx) // the server rolls back
		}
	}
	t.release() //nolint:contextcheck // it sends nothing
}

func (t *poolTx) release() {
	t.ended = true
	t.tx.end()
	t.pooled.Release() // one that is closed, or in a transaction, isn't used again
}

// Interrupted implements [idempotency.Transaction].
func (t *poolTx) Interrupted(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return false // the library closes the connection of who doesn't wait
	}
	return interrupted(err) || t.tx.conn.IsClosed() && stateOf(err) != codeIdle
}
