package pgstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leat-go/leat/query"
)

// codeLockTimeout is that of who didn't get a lock in time.
const codeLockTimeout = "55P03"

// switchWait is how long a switch holds up those who commit to the generation that serves, at
// most, and waits for them.
const switchWait = 2 * time.Second

// releaseWait is how long the end of a build may take.
const releaseWait = 10 * time.Second

// Build implements [query.Model]. It holds a connection of its own, made as those of the
// pool, until release; when that ends, another process may build.
func (m *Model) Build(ctx context.Context) (int, func(), error) {
	o, err := m.opened()
	if err != nil {
		return 0, nil, err
	}
	pooled, err := m.store.pool.Acquire(ctx)
	if err != nil {
		return 0, nil, fmt.Errorf("pgstore: a connection: %w", err)
	}
	c := pooled.Hijack() // its lock ends with it
	generation, err := m.build(ctx, c, o)
	if err != nil {
		closeSoon(ctx, c)
		if errors.Is(err, query.ErrRebuilding) {
			return 0, nil, err
		}
		return 0, nil, explained("build", err)
	}
	return generation, sync.OnceFunc(func() { m.release(ctx, c, o) }), nil
}

// closeSoon closes a connection, and doesn't wait for long.
func closeSoon(ctx context.Context, c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkWait)
	defer cancel()
	_ = c.Close(ctx) // it is given up
}

func (m *Model) build(ctx context.Context, c *pgx.Conn, o *modelOf) (generation int, err error) {
	var ours bool
	err = c.QueryRow(ctx, "select pg_try_advisory_lock("+m.store.prefix+"lock_of('build', $1, null))", o.id).Scan(&ours)
	if err != nil {
		return 0, err
	}
	if !ours {
		return 0, query.ErrRebuilding
	}
	if err := m.store.abandon(ctx, c, o.id, true); err != nil {
		return 0, err
	}
	if err := m.store.dropGone(ctx, c, o.id); err != nil {
		m.store.onError(explained("what an earlier build left", err)) // the housekeeping tries again
	}
	err = pgx.BeginTxFunc(ctx, c, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		generation, err = m.generation(ctx, tx, o)
		return err
	})
	return generation, err
}

// release ends a build: what doesn't serve is dropped.
func (m *Model) release(ctx context.Context, c *pgx.Conn, o *modelOf) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseWait)
	defer cancel()
	defer closeSoon(ctx, c)
	err := m.store.abandon(ctx, c, o.id, true)
	if err == nil {
		err = m.store.dropGone(ctx, c, o.id)
	}
	if err == nil { // the end of the connection takes the server a moment
		_, err = c.Exec(ctx, "select pg_advisory_unlock("+m.store.prefix+"lock_of('build', $1, null))", o.id)
	}
	if err != nil {
		m.store.onError(explained("the end of a build", err)) // the housekeeping tries again
	}
}

// Switch implements [query.Model]. When little is missing it stops those who commit to the
// generation that serves, for as long as the other comes up, and two seconds at most. The
// generation before is dropped when nobody reads it any more, at the latest by [Store.Keep].
func (m *Model) Switch(ctx context.Context, generation int) (bool, error) {
	o, err := m.opened()
	if err != nil {
		return false, err
	}
	var serves *bool
	err = m.store.ask(ctx, "switch", "select "+m.store.prefix+"switch_model($1, $2, $3)", []any{o.id, generation, switchWait},
		func(r pgx.Row) error { return r.Scan(&serves) })
	switch {
	case stateOf(err) == codeLockTimeout:
		return false, nil
	case err != nil:
		return false, err
	case serves == nil:
		return false, m.nowhere(o, query.Step{Generation: generation})
	case !*serves:
		return false, nil
	}
	if err := m.store.withConn(ctx, func(c *pgx.Conn) error { return m.store.dropGone(ctx, c, o.id) }); err != nil {
		m.store.onError(explained("the generation before", err)) // the housekeeping tries again
	}
	return true, nil
}
