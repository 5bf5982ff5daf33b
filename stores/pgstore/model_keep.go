package pgstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	foldEvery  = 1000            // steps of a process
	foldMost   = 5000            // rows of a lane, or of what was seen, at once
	foldWait   = 5 * time.Second // for what isn't urgent
	dropLittle = 500 * time.Millisecond
)

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) + "ms" }

// withConn calls f with a connection of the pool.
func (s *Store) withConn(ctx context.Context, f func(c *pgx.Conn) error) error {
	return s.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error { return f(c.Conn()) })
}

// fold folds, now and then, what a generation was done with: what has a row for each
// position becomes ranges.
func (m *Model) fold(ctx context.Context, o *modelOf, generation int) {
	if m.settled.Add(1)%foldEvery != 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), foldWait)
	defer cancel()
	err := m.store.apart(ctx, func(b *pgx.Batch) {
		b.Queue("select "+m.store.prefix+"fold_model($1, $2, $3), "+m.store.prefix+"forget_seen($3)", o.id, generation, foldMost)
	})
	if err != nil {
		m.store.onError(explained("folding", err))
	}
}

// keepModels folds what read models are done with, forgets what was seen long ago, and drops
// generations that don't serve.
func (s *Store) keepModels(ctx context.Context, c *pgx.Conn) error {
	return errors.Join(
		s.repeat(ctx, c, s.prefix+"fold_model(null, null, $1)"),
		s.repeat(ctx, c, s.prefix+"forget_seen($1)"),
		s.dropOld(ctx, c),
	)
}

// repeat calls a function until it finds little to do.
func (s *Store) repeat(ctx context.Context, c *pgx.Conn, call string) error {
	for {
		var n int64
		err := pgx.BeginTxFunc(ctx, c, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
			return tx.QueryRow(ctx, "select "+call, foldMost).Scan(&n)
		})
		if err != nil || n < foldMost {
			return err
		}
	}
}

// dropOld drops the generations that don't serve and that nobody builds.
func (s *Store) dropOld(ctx context.Context, c *pgx.Conn) error {
	rows, _ := c.Query(ctx, "select id from "+s.prefix+"models m where exists (select from "+s.prefix+"generations n "+
		"where n.model = m.id and n.generation <> m.serving)")
	models, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return err
	}
	var errs []error
	for _, model := range models {
		errs = append(errs, s.abandon(ctx, c, model, false), s.dropGone(ctx, c, model))
	}
	return errors.Join(errs...)
}

// abandon lets nobody begin anything in generations that don't serve and that nobody builds,
// or that the caller built.
func (s *Store) abandon(ctx context.Context, c *pgx.Conn, model int, own bool) error {
	return pgx.BeginTxFunc(ctx, c, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "select "+s.prefix+"abandon_generations($1, $2)", model, own)
		return err
	})
}

// dropGone drops the generations of a model that are gone and that nobody is in any more.
func (s *Store) dropGone(ctx context.Context, c *pgx.Conn, model int) error {
	rows, _ := c.Query(ctx, "select generation from "+s.prefix+"generations where model = $1 and gone order by generation", model)
	gone, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return err
	}
	var errs []error
	for _, generation := range gone {
		err := pgx.BeginTxFunc(ctx, c, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "select "+s.prefix+"drop_generation($1, $2, $3)", model, generation, millis(dropLittle))
			return err
		})
		if err != nil && stateOf(err) != codeLockTimeout { // who is in it is waited for the next time
			errs = append(errs, fmt.Errorf("generation %d: %w", generation, err))
		}
	}
	return errors.Join(errs...)
}
