package pgstore

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/leat-go/leat/event"
)

// Read runs f in a transaction that reads the generation that serves, and nothing else may:
// all that f reads is of one moment (REPEATABLE READ, READ ONLY). [Tx] finds it too. It ends
// with f. A generation isn't dropped before those who read it have ended. It returns the
// error of f as it is.
func (m *Model) Read(ctx context.Context, f func(ctx context.Context, tx pgx.Tx) error) error {
	o, err := m.opened()
	if err != nil {
		return err
	}
	t, there, err := m.beginRead(ctx, o)
	for err == nil && !there { // it was dropped just now
		t.Rollback(ctx)
		t, there, err = m.beginRead(ctx, o)
	}
	if err != nil {
		return explained("read", err)
	}
	defer t.Rollback(ctx)
	return f(t.Context(ctx), t.tx)
}

func (m *Model) beginRead(ctx context.Context, o *modelOf) (t *poolTx, there bool, err error) {
	c, err := m.store.pool.Acquire(ctx)
	if err != nil {
		return nil, false, err
	}
	t = &poolTx{store: m.store, pooled: c, tx: &transaction{conn: c.Conn()}}
	batch := &pgx.Batch{}
	batch.Queue("begin isolation level repeatable read, read only")
	batch.Queue("select "+m.store.prefix+"read_model($1)"+m.store.limit, o.id)
	answers := t.tx.conn.SendBatch(ctx, batch)
	if _, err = answers.Exec(); err == nil {
		err = answers.QueryRow().Scan(&there, nil)
	}
	if err = errors.Join(err, answers.Close()); err != nil {
		t.Rollback(ctx)
		return nil, false, err
	}
	return t, there, nil
}

// Seen implements [query.Model].
func (m *Model) Seen(ctx context.Context, ids ...string) ([]bool, error) {
	o, err := m.opened()
	if err != nil {
		return nil, err
	}
	hashes := make([]pgtype.UUID, len(ids))
	for i, id := range ids {
		hashes[i] = hash(id)
	}
	rows, _ := m.store.pool.Query(ctx, "select exists (select from "+m.store.prefix+"seen s "+
		"where s.model = m.id and s.generation = m.serving and s.id = i.id) or exists (select from "+m.store.prefix+"seen s "+
		"where s.model = m.id and s.generation = m.serving and s.cause = i.id) "+
		"from "+m.store.prefix+"models m, unnest($2::uuid[]) with ordinality as i (id, n) where m.id = $1 order by i.n", o.id, hashes)
	seen, err := pgx.CollectRows(rows, pgx.RowTo[bool])
	if err != nil {
		return nil, explained("seen", err)
	}
	return seen, nil
}

// Reached implements [query.Model].
func (m *Model) Reached(ctx context.Context, topic string) ([]event.Position, error) {
	o, err := m.opened()
	if err != nil {
		return nil, err
	}
	rows, _ := m.store.pool.Query(ctx, "select p.lane, upper(r) - 1 from "+m.store.prefix+"models m join "+m.store.prefix+"progress p "+
		"on p.model = m.id and p.generation = m.serving, unnest(p.covered) r "+
		"where m.id = $1 and p.topic = $2 and r @> 1::bigint order by p.lane",
		o.id, printable(topic))
	reached, err := pgx.CollectRows(rows, pgx.RowToStructByPos[event.Position])
	if err != nil {
		return nil, explained("reached", err)
	}
	return reached, nil
}
