package pgstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/leat-go/leat/idempotency"
	"github.com/leat-go/leat/query"
)

// What begin_step returns when it isn't a generation.
const (
	stepDone    = 0
	stepNowhere = -1
)

// stepRow is a step as the functions take it.
type stepRow struct {
	topic       string
	lane        int32
	first, last int64
	event, id   pgtype.UUID // not valid: there is none
	cause       pgtype.UUID
}

func rowOf(s query.Step) stepRow {
	r := stepRow{topic: printable(s.Topic)}
	if s.ID != "" {
		r.event, r.id = hash(s.Source, s.ID), hash(s.ID)
	}
	if s.At.Valid() {
		r.lane, r.last = s.At.Lane, s.At.Offset
		r.first = max(1, r.last-max(s.Gap, 0))
	}
	if s.Cause != "" {
		r.cause = hash(s.Cause)
	}
	return r
}

// Begin implements [query.Model], in one round trip. A handler finds the transaction with
// [Tx]. It is READ COMMITTED, also with [Serializable]. Where another has the same event in
// hand it waits for its end, for some seconds.
func (m *Model) Begin(ctx context.Context, s query.Step) (query.Update, error) {
	o, err := m.opened()
	if err != nil {
		return nil, err
	}
	c, err := m.store.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("pgstore: a connection: %w", err)
	}
	u := &update{poolTx: poolTx{store: m.store, pooled: c, tx: &transaction{conn: c.Conn()}}, model: m, of: o, serving: s.Generation == 0}
	err = u.begin(ctx, s, rowOf(s))
	switch {
	case err != nil:
		err = explained("begin", err)
	case u.generation == stepDone:
		err = query.ErrApplied
	case u.generation == stepNowhere:
		err = m.nowhere(o, s)
	default:
		return u, nil
	}
	u.Rollback(ctx)
	return nil, err
}

// nowhere is the error of a step whose generation isn't there.
func (m *Model) nowhere(o *modelOf, s query.Step) error {
	if s.Generation == 0 {
		return fmt.Errorf("pgstore: the model of %q isn't there any more", o.projection)
	}
	return fmt.Errorf("pgstore: the model of %q has no generation %d any more", o.projection, s.Generation)
}

// update is the transaction of a step.
type update struct {
	poolTx

	model      *Model
	of         *modelOf
	generation int
	serving    bool // it is to be the one that serves
}

func (u *update) begin(ctx context.Context, s query.Step, row stepRow) error {
	ctx, cancel := context.WithTimeout(ctx, beginWait)
	defer cancel()
	batch := &pgx.Batch{}
	batch.Queue("begin isolation level read committed")
	batch.Queue("select "+u.store.prefix+"begin_step($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"+u.store.limit,
		u.of.id, s.Generation, row.topic, row.lane, row.first, row.last, row.event, row.id, row.cause,
		s.Redriven || row.last == 0, u.store.window)
	answers := u.tx.conn.SendBatch(ctx, batch)
	if _, err := answers.Exec(); err != nil {
		return errors.Join(err, answers.Close())
	}
	return errors.Join(answers.QueryRow().Scan(&u.generation, nil), answers.Close())
}

// Commit implements [query.Update], in one round trip.
func (u *update) Commit(ctx context.Context) error {
	u.tx.over.Store(true)
	err := u.committable()
	if err == nil {
		batch := &pgx.Batch{}
		batch.Queue("select "+u.store.prefix+"commit_step($1, $2, $3)", u.of.id, u.generation, u.serving)
		err = u.send(ctx, batch)
	}
	if err != nil {
		u.Rollback(ctx)
		if errors.Is(err, idempotency.ErrAborted) {
			return fmt.Errorf("%w: %w", query.ErrAborted, err)
		}
		return err
	}
	u.release() //nolint:contextcheck // it sends nothing
	u.model.fold(ctx, u.of, u.generation)
	return nil
}

// codeUnsupported is, among others, that of a statement that was prepared for a table of
// another form. Prepared again it works.
const codeUnsupported = "0A000"

// Interrupted implements [query.Update].
func (u *update) Interrupted(err error) bool {
	if errors.Is(err, query.ErrAborted) {
		return false
	}
	return u.poolTx.Interrupted(err) || stateOf(err) == codeUnsupported && strings.Contains(err.Error(), "cached plan")
}

// Pass implements [query.Model], in one round trip.
func (m *Model) Pass(ctx context.Context, s query.Step, dead bool) error {
	o, err := m.opened()
	if err != nil {
		return err
	}
	row := rowOf(s)
	var there bool
	err = m.store.ask(ctx, "pass", "select "+m.store.prefix+"pass_step($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
		[]any{o.id, s.Generation, row.topic, row.lane, row.first, row.last, row.event, row.id, row.cause, dead},
		func(r pgx.Row) error { return r.Scan(&there) })
	switch {
	case err != nil:
		return err
	case !there:
		return m.nowhere(o, s)
	}
	m.fold(ctx, o, s.Generation)
	return nil
}
