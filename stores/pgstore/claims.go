package pgstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leat-go/leat/idempotency"
)

// States of rows of the inbox.
const (
	stateReleased = 1
	stateDone     = 2
	stateFailed   = 3
	stateClaimed  = 0
)

// grant reads what claim_key answered.
func grant(state int, fence, left *int64, attempts *int, record []byte) (idempotency.Grant, error) {
	states := [...]idempotency.State{
		idempotency.Claimed, idempotency.Busy, idempotency.Completed, idempotency.Failed, idempotency.Mismatch,
	}
	if state < 0 || state >= len(states) {
		return idempotency.Grant{}, fmt.Errorf("pgstore: claim_key answered %d", state)
	}
	g := idempotency.Grant{State: states[state]}
	if fence != nil {
		g.Fence = uint64(*fence)
	}
	if attempts != nil {
		g.Attempts = *attempts
	}
	if left != nil {
		g.Left = time.Duration(*left) * time.Millisecond
	}
	return g, g.Record.UnmarshalBinary(record)
}

// Claim implements [idempotency.Store].
func (s *Store) Claim(ctx context.Context, key idempotency.Key, c idempotency.Claim) (idempotency.Grant, error) {
	if c.Lease <= 0 {
		return idempotency.Grant{}, fmt.Errorf("pgstore: a lease of %v", c.Lease)
	}
	var g idempotency.Grant
	sql, args := s.claim(key, c)
	err := s.ask(ctx, "claim", sql, args, func(row pgx.Row) (err error) {
		g, err = granted(row)
		return err
	})
	return g, err
}

// ask asks one thing in a transaction of its own, and says what went wrong.
func (s *Store) ask(ctx context.Context, what, sql string, args []any, read func(pgx.Row) error) error {
	if err := s.apart(ctx, func(b *pgx.Batch) { b.Queue(sql, args...).QueryRow(read) }); err != nil {
		return explained(what, err)
	}
	return nil
}

// apart runs statements in a transaction of their own, in one round trip. It says how it is
// isolated, whatever the default of the role or the database: who got a lock has to see what
// was committed before, also by who had it.
func (s *Store) apart(ctx context.Context, queue func(b *pgx.Batch)) error {
	return s.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		b := &pgx.Batch{}
		b.Queue("begin isolation level read committed")
		queue(b)
		b.Queue("commit")
		err := c.SendBatch(ctx, b).Close()
		if p := c.Conn().PgConn(); err != nil && !p.IsClosed() && p.TxStatus() != 'I' {
			ended, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkWait)
			defer cancel()
			_, _ = c.Exec(ended, "rollback") // else the pool closes it
		}
		return err
	})
}

// claim is the statement that claims a key for a lease.
func (s *Store) claim(key idempotency.Key, c idempotency.Claim) (string, []any) {
	n := s.name(key)
	return "select state_, fence_, attempts_, left_ms, record_ from " + s.prefix + "claim_key($1, $2, $3, $4, $5, $6)",
		[]any{n.lock, n.id, n.text, text(c.Fingerprint), c.Retake, c.Lease}
}

// granted reads its answer.
func granted(row pgx.Row) (idempotency.Grant, error) {
	var state int
	var fence, left *int64
	var attempts *int
	var record []byte
	if err := row.Scan(&state, &fence, &attempts, &left, &record); err != nil {
		return idempotency.Grant{}, err
	}
	return grant(state, fence, left, attempts, record)
}

// Extend implements [idempotency.Store].
func (s *Store) Extend(ctx context.Context, key idempotency.Key, fence uint64, lease time.Duration) error {
	return s.settle(ctx, key, fence, stateClaimed, &lease, nil)
}

// Complete implements [idempotency.Store].
func (s *Store) Complete(ctx context.Context, key idempotency.Key, fence uint64, r idempotency.Record) error {
	record, err := r.MarshalBinary()
	if err != nil {
		return err
	}
	return s.settle(ctx, key, fence, stateDone, nil, record)
}

// Fail implements [idempotency.Store].
func (s *Store) Fail(ctx context.Context, key idempotency.Key, fence uint64) error {
	return s.settle(ctx, key, fence, stateFailed, nil, nil)
}

// Release implements [idempotency.Store].
func (s *Store) Release(ctx context.Context, key idempotency.Key, fence uint64) error {
	return s.settle(ctx, key, fence, stateReleased, nil, nil)
}

// Window implements [idempotency.Store].
func (s *Store) Window() time.Duration { return s.window }

func (s *Store) settle(ctx context.Context, key idempotency.Key, fence uint64, to int, lease *time.Duration, record []byte) error {
	var ours bool
	sql, args := s.end(key, fence, to, lease, record)
	err := s.ask(ctx, "the end of a claim", sql, args, func(row pgx.Row) error { return row.Scan(&ours) })
	if err == nil && !ours {
		err = idempotency.ErrFenced
	}
	return err
}

// end is the statement that ends a claim, or extends it.
func (s *Store) end(key idempotency.Key, fence uint64, to int, lease *time.Duration, record []byte) (string, []any) {
	n := s.name(key)
	return "select " + s.prefix + "settle_key($1, $2, $3, $4, $5, $6)",
		[]any{n.lock, n.id, int64(fence), to, lease, record}
}

// Codes of PostgreSQL's errors (its manual, appendix A).
const (
	codeSerialization = "40001"
	codeDeadlock      = "40P01"
	codeNoFunction    = "42883"
	codeNoSchema      = "3F000"
	codeNoTable       = "42P01"
	codeNoRight       = "42501"
	codeReadOnly      = "25006"
	codeIdle          = "25P03" // it ended a connection whose transaction nobody used
	codeCheck         = "23514" // also: no partition for the row
)

// explained says what to do about an error.
func explained(what string, err error) error {
	switch stateOf(err) {
	case codeNoFunction, codeNoSchema, codeNoTable:
		return fmt.Errorf("pgstore: %s: the tables aren't there: see Store.Migrate: %w", what, err)
	case codeCheck:
		return fmt.Errorf("pgstore: %s: there is no partition for this time: see Store.Keep: %w", what, err)
	}
	return fmt.Errorf("pgstore: %s: %w", what, err)
}

// interrupted reports whether the database chose a transaction to give way to others.
func interrupted(err error) bool {
	code := stateOf(err)
	return code == codeSerialization || code == codeDeadlock
}
