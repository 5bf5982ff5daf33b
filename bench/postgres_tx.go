package bench

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/stores/pgstore"
)

const (
	txWorkers = 8
	txBatch   = 100 // events of a batch
)

// openInTx lets workers handle events in transactions of the store. There is no bus: both
// sides are called alike.
func (p Postgres) openInTx(workers int) (*Stream, error) {
	d, err := p.open(workers)
	if err != nil {
		return nil, err
	}
	insert := d.sql("insert into @.effects values ($1, $2)")
	once := d.store.InTx().Wrap(func(ctx context.Context, e event.Event) error {
		_, err := pgstore.Tx(ctx).Exec(ctx, insert, e.ID(), e.Data())
		return err
	})
	return d.stream(workers, 1, func(events []event.Event) error {
		return once(handling(new(event.Lease), events[0]), events[0])
	}), nil
}

// openPlain inserts the same rows in transactions of the library, which know nothing of
// duplicates.
func (p Postgres) openPlain(workers int) (*Stream, error) {
	d, err := p.open(workers)
	if err != nil {
		return nil, err
	}
	insert := d.sql("insert into @.effects values ($1, $2)")
	return d.stream(workers, 1, func(events []event.Event) error {
		ctx := handling(new(event.Lease), events[0])
		tx, err := d.pool.Begin(ctx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, insert, events[0].ID(), events[0].Data()); err != nil {
			return errors.Join(err, tx.Rollback(ctx))
		}
		return tx.Commit(ctx)
	}), nil
}

// openByHand inserts the same rows and one for each event into a table of what was handled,
// as one would write it: in one table that grows, and who comes second waits for the first.
func (p Postgres) openByHand(workers int) (*Stream, error) {
	d, err := p.open(workers)
	if err != nil {
		return nil, err
	}
	if err := d.exec(context.Background(), "create table @.handled (key text primary key, at timestamptz not null)"); err != nil {
		return nil, errors.Join(err, d.close(context.Background()))
	}
	insert := d.sql("insert into @.effects values ($1, $2)")
	handled := d.sql("insert into @.handled values ($1, now()) on conflict do nothing")
	return d.stream(workers, 1, func(events []event.Event) error {
		ctx := handling(new(event.Lease), events[0])
		return pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
			tag, err := tx.Exec(ctx, handled, group+"|"+events[0].Source()+"|"+events[0].ID())
			if err != nil || tag.RowsAffected() == 0 {
				return err
			}
			_, err = tx.Exec(ctx, insert, events[0].ID(), events[0].Data())
			return err
		})
	}), nil
}

const insertMany = "insert into @.effects select e.id, e.data from unnest($1::text[], $2::bytea[]) as e (id, data)"

// openInTxBatch handles batches in transactions of the store, with one statement for the
// effects of each.
func (p Postgres) openInTxBatch() (*Stream, error) {
	d, err := p.open(1)
	if err != nil {
		return nil, err
	}
	insert := d.sql(insertMany)
	once := d.store.InTx().WrapBatch(func(ctx context.Context, events []event.Event) error {
		ids, data := columns(events)
		_, err := pgstore.Tx(ctx).Exec(ctx, insert, ids, data)
		return err
	})
	return d.stream(1, txBatch, func(events []event.Event) error {
		b := &event.Batch{Context: new(event.Lease)}
		for _, e := range events {
			b.Elements = append(b.Elements, handling(new(event.Lease), e))
		}
		return once(b, events)
	}), nil
}

// openPlainBatch inserts the same rows, as many at a time.
func (p Postgres) openPlainBatch() (*Stream, error) {
	d, err := p.open(1)
	if err != nil {
		return nil, err
	}
	insert := d.sql(insertMany)
	return d.stream(1, txBatch, func(events []event.Event) error {
		ctx := new(event.Lease)
		return pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
			ids, data := columns(events)
			_, err := tx.Exec(ctx, insert, ids, data)
			return err
		})
	}), nil
}

func columns(events []event.Event) (ids []string, data [][]byte) {
	for _, e := range events {
		ids, data = append(ids, e.ID()), append(data, e.Data())
	}
	return ids, data
}

// stream makes a stream of what is done to each batch of events, of which there must be as
// many rows in the end.
func (d *database) stream(workers, batch int, do func([]event.Event) error) *Stream {
	made := 0
	return &Stream{
		Run: func(n int) error {
			made += n
			return spread(workers, (n+batch-1)/batch, func(i int) error {
				m := &maker{data: make([]byte, payload)}
				events := make([]event.Event, 0, batch)
				for j := i * batch; j < min((i+1)*batch, n); j++ {
					events = append(events, m.event(j))
				}
				return do(events)
			})
		},
		Close: func() error {
			ctx := context.Background()
			return errors.Join(d.inserted(ctx, made), d.close(ctx))
		},
	}
}
