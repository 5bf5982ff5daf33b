package pgstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	dropLock  = 0x6c6561740002
	makeLock  = 0x6c6561740004
	keepEvery = time.Hour
	ahead     = 8                // partitions: today's and a week's
	dropWait  = 10 * time.Second // for transactions that know what is to be dropped
	slack     = time.Hour        // for clocks that are set back, before an outbox's partition is dropped
)

// Keep keeps the partitions until ctx ends, and returns its error: it makes those of the
// days to come, and drops those that are past. It keeps read models small, too ([Model]). Any number of processes may run it.
// [Store.Relay] does it too.
func (s *Store) Keep(ctx context.Context) error {
	every := min(keepEvery, s.partition/2)
	for {
		if err := s.keepOnce(ctx); err != nil && ctx.Err() == nil {
			s.onError(err)
		}
		if err := sleep(ctx, every); err != nil {
			return err
		}
	}
}

// keepOnce keeps the partitions once.
func (s *Store) keepOnce(ctx context.Context) error {
	err := s.pool.AcquireFunc(ctx, func(pooled *pgxpool.Conn) error {
		c := pooled.Conn()
		return errors.Join(s.makePartitions(ctx, c), s.dropPartitions(ctx, c), s.keepModels(ctx, c))
	})
	if err != nil {
		return explained("housekeeping", err)
	}
	return nil
}

// tryLock takes an advisory lock for the session, one for each schema.
func (s *Store) tryLock(ctx context.Context, c *pgx.Conn, lock int64) (bool, error) {
	var ours bool
	err := c.QueryRow(ctx, "select pg_try_advisory_lock($1 # hashtextextended($2, 0))", lock, s.schema).Scan(&ours)
	return ours, err
}

func (s *Store) unlock(ctx context.Context, c *pgx.Conn, lock int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, err := c.Exec(ctx, "select pg_advisory_unlock($1 # hashtextextended($2, 0))", lock, s.schema)
	if err != nil {
		_ = c.Close(ctx) // and its locks with it
	}
}

// makePartitions makes those of the time to come. It waits for others who do, and never for
// one who drops: that may take as long as any transaction.
func (s *Store) makePartitions(ctx context.Context, c *pgx.Conn) error {
	return pgx.BeginTxFunc(ctx, c, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1 # hashtextextended($2, 0))", int64(makeLock), s.schema); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "update "+s.prefix+"kept set for_ = $1 where for_ < $1", s.window); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "select "+s.prefix+"make_partitions('inbox', $1, $3), "+s.prefix+"make_partitions('outbox', $2, $3)",
			s.span, s.partition, ahead)
		return err
	})
}

// past is a partition that isn't needed any more, and how far it is gone.
type past struct {
	Of, Name string
	There    bool // unless somebody else dropped it
	Attached bool // to its table
	Pending  bool // being detached, by somebody who was interrupted
}

// dropPartitions drops what is past, unless somebody else is at it. A partition is detached
// first, in a way that doesn't hold up those who write: it waits until all transactions have
// ended that may know it, for a while; the next time goes on with it.
func (s *Store) dropPartitions(ctx context.Context, c *pgx.Conn) error {
	if ours, err := s.tryLock(ctx, c, dropLock); !ours || err != nil {
		return err
	}
	defer s.unlock(ctx, c, dropLock)
	rows, _ := c.Query(ctx, `
		select p.of, p.name, to_regclass(format('%I.%I', $1::text, p.name)) is not null as there,
			i.inhrelid is not null as attached, coalesce(i.inhdetachpending, false) as pending
		from `+s.prefix+`partitions p
		left join pg_inherits i on i.inhrelid = to_regclass(format('%I.%I', $1::text, p.name))
		where p.until < clock_timestamp() - case p.of when 'inbox' then (select for_ from `+s.prefix+`kept) else $2::interval end
		order by pending desc, p.until`, s.schema, min(s.partition, slack))
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[past])
	if err != nil {
		return err
	}
	var errs []error
	stuck := make(map[string]bool) // a table detaches one at a time
	for _, p := range all {
		if stuck[p.Of] {
			continue
		}
		ready, err := true, error(nil)
		if p.Of == "outbox" && p.Attached && !p.Pending {
			ready, err = s.retire(ctx, c, p.Name)
		}
		if ready && err == nil {
			err = s.drop(ctx, c, p)
			stuck[p.Of] = err != nil
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("partition %s: %w", p.Name, err))
		}
	}
	return errors.Join(errs...)
}

// retire reports whether a partition of the outbox can go: nobody is writing into it, and
// the relay has published what is there. From its detaching on the relay doesn't see it; so
// it is noted how far the relay was.
func (s *Store) retire(ctx context.Context, c *pgx.Conn, name string) (bool, error) {
	var written bool
	err := c.QueryRow(ctx, "select exists (select from pg_locks where locktype = 'relation' and mode = 'RowExclusiveLock' "+
		"and database = (select oid from pg_database where datname = current_database()) "+
		"and relation = to_regclass(format('%I.%I', $1::text, $2::text)))", s.schema, name).Scan(&written)
	if err != nil || written {
		return false, err
	}
	tag, err := c.Exec(ctx, "update "+s.prefix+"partitions p set done = r.done from "+s.prefix+"relay r "+
		"where p.of = 'outbox' and p.name = $1 and not exists (select from "+s.prefix+pgx.Identifier{name}.Sanitize()+
		" o where not pg_visible_in_snapshot(o.xid, r.done))", name)
	return tag.RowsAffected() == 1, err
}

func (s *Store) drop(ctx context.Context, c *pgx.Conn, p past) error {
	table, part := s.prefix+p.Of, s.prefix+pgx.Identifier{p.Name}.Sanitize()
	if p.Attached {
		if err := s.detach(ctx, c, table, part, p.Pending); err != nil {
			return err
		}
	}
	return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		if p.Of == "outbox" && p.There { // one began to write it before its end, and locked it after we looked
			_, err := tx.Exec(ctx, "insert into "+table+" select (o).* from (select jsonb_populate_record(o, jsonb_build_object("+
				"'at', clock_timestamp(), 'xid', pg_current_xact_id()::text, 'late', false)) as o from "+part+" o, "+s.prefix+
				"partitions p where p.of = 'outbox' and p.name = $1 "+
				"and not pg_visible_in_snapshot(o.xid, p.done) order by o.seq) x", p.Name)
			if err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, "drop table if exists "+part); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "delete from "+s.prefix+"partitions where of = $1 and name = $2", p.Of, p.Name)
		return err
	})
}

// detach detaches a partition, or goes on with it.
func (s *Store) detach(ctx context.Context, c *pgx.Conn, table, part string, pending bool) error {
	how := "concurrently"
	if pending {
		how = "finalize"
	}
	if _, err := c.Exec(ctx, fmt.Sprintf("set lock_timeout = %d", min(dropWait, s.partition).Milliseconds())); err != nil {
		return err
	}
	_, err := c.Exec(ctx, "alter table "+table+" detach partition "+part+" "+how)
	if _, failed := c.Exec(ctx, "reset lock_timeout"); failed != nil {
		_ = c.Close(ctx)
	}
	return err
}
