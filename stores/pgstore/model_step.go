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

// Begin implements [query.Model], in one round trip but for the first of a lane. A handler
// finds the transaction with [Tx]. It is READ COMMITTED, also with [Serializable]. Where
// another has the same event in hand it waits for its end, for some seconds.
func (m *Model) Begin(ctx context.Context, s query.Step) (query.Update, error) {
	o, err := m.opened()
	if err != nil {
		return nil, err
	}
	row := rowOf(s)
	for {
		if err := m.beginLane(ctx, o, s, row); err != nil {
			return nil, err
		}
		u, err := m.begin(ctx, o, s, row)
		if err != nil {
			return nil, err
		}
		if m.begun(u.generation, row) {
			return u, nil
		}
		u.Rollback(ctx) // another generation serves since
		m.serves(u.generation)
	}
}

// beginLane lets others know where a lane begins, once.
func (m *Model) beginLane(ctx context.Context, o *modelOf, s query.Step, row stepRow) error {
	generation := s.Generation
	if generation == 0 {
		generation = int(m.serving.Load())
	}
	if m.begun(generation, row) {
		return nil
	}
	err := m.store.ask(ctx, "a lane", "select "+m.store.prefix+"begin_lane($1, $2, $3, $4, $5)",
		[]any{o.id, s.Generation, row.topic, row.lane, row.first}, func(r pgx.Row) error { return r.Scan(&generation) })
	switch {
	case err != nil:
		return err
	case generation == stepNowhere:
		return m.nowhere(o, s)
	}
	if s.Generation == 0 {
		m.serves(generation)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	lane := laneOf{generation, row.topic, row.lane}
	if at, known := m.begins[lane]; !known || row.first < at {
		m.begins[lane] = row.first
	}
	return nil
}

// begun reports whether others know that the lane of a position begins there, or before.
func (m *Model) begun(generation int, row stepRow) bool {
	if row.last == 0 {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	at, known := m.begins[laneOf{generation, row.topic, row.lane}]
	return known && at <= row.first
}

// serves notes which generation does, and forgets those before.
func (m *Model) serves(generation int) {
	if m.serving.Swap(int64(generation)) == int64(generation) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for lane := range m.begins {
		if lane.generation < generation {
			delete(m.begins, lane)
		}
	}
}

// nowhere is the error of a step whose generation isn't there.
func (m *Model) nowhere(o *modelOf, s query.Step) error {
	if s.Generation == 0 {
		return fmt.Errorf("pgstore: the model of %q isn't there any more", o.projection)
	}
	return fmt.Errorf("pgstore: the model of %q has no generation %d any more", o.projection, s.Generation)
}

// begin begins the transaction of a step.
func (m *Model) begin(ctx context.Context, o *modelOf, s query.Step, row stepRow) (*update, error) {
	c, err := m.store.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("pgstore: a connection: %w", err)
	}
	u := &update{poolTx: poolTx{store: m.store, pooled: c, tx: &transaction{conn: c.Conn()}}, model: m, of: o, serving: s.Generation == 0}
	answer, err := u.beginStep(ctx, s, row)
	switch {
	case err != nil:
		u.Rollback(ctx)
		return nil, explained("begin", err)
	case answer == stepDone:
		u.Rollback(ctx)
		return nil, query.ErrApplied
	case answer == stepNowhere:
		u.Rollback(ctx)
		return nil, m.nowhere(o, s)
	}
	return u, nil
}

// update is the transaction of a step.
type update struct {
	poolTx

	model      *Model
	of         *modelOf
	generation int
	serving    bool // it is to be the one that serves
}

func (u *update) beginStep(ctx context.Context, s query.Step, row stepRow) (answer int, err error) {
	ctx, cancel := context.WithTimeout(ctx, beginWait)
	defer cancel()
	batch := &pgx.Batch{}
	batch.Queue("begin isolation level read committed")
	batch.Queue("select "+u.store.prefix+"begin_step($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"+u.store.limit,
		u.of.id, s.Generation, row.topic, row.lane, row.first, row.last, row.event, row.id, row.cause,
		s.Redriven || row.last == 0, u.store.window)
	answers := u.tx.conn.SendBatch(ctx, batch)
	if _, err := answers.Exec(); err != nil {
		return 0, errors.Join(err, answers.Close())
	}
	err = errors.Join(answers.QueryRow().Scan(&answer, nil), answers.Close())
	u.generation = answer
	return answer, err
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
