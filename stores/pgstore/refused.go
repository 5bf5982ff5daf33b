package pgstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leat-go/leat/event"
)

// Refused is an event of the outbox that the channel refused for good.
type Refused struct {
	Seq   int64       // names it
	At    time.Time   // when
	Cause string      // why
	Topic string      // it was to go to
	ID    string      // of the event
	Event event.Event // the zero one where it can't be read
}

// refuse puts events aside, before the relay goes on.
func (r *reader) refuse(ctx context.Context, some []refusal) error {
	for _, x := range some {
		cause := printable(x.cause.Error())
		_, err := r.conn.Exec(ctx, "insert into "+r.store.prefix+"refused (seq, cause, topic, id, event) values ($1, $2, $3, $4, $5) "+
			"on conflict do nothing", // a relay before this one
			x.seq, cause, x.topic, x.id, string(x.event))
		if err != nil {
			return fmt.Errorf("refused: %w", err)
		}
		r.store.onRefused(refused(x.seq, time.Now(), cause, x.topic, x.id, string(x.event)))
	}
	return nil
}

func refused(seq int64, at time.Time, cause, topic, id, body string) Refused {
	e, err := event.Decoder{MaxBytes: -1}.ParseJSON([]byte(body))
	if err != nil {
		e = event.Event{}
	}
	return Refused{seq, at, cause, topic, id, e}
}

// Refused returns up to limit events that were refused, the oldest first.
func (s *Store) Refused(ctx context.Context, limit int) ([]Refused, error) {
	rows, _ := s.pool.Query(ctx, "select seq, at, cause, topic, id, event from "+s.prefix+"refused order by at, seq limit $1", limit)
	all, err := pgx.CollectRows(rows, func(c pgx.CollectableRow) (Refused, error) {
		var seq int64
		var at time.Time
		var cause, topic, id, body string
		err := c.Scan(&seq, &at, &cause, &topic, &id, &body)
		return refused(seq, at, cause, topic, id, body), err
	})
	if err != nil {
		return nil, explained("refused", err)
	}
	return all, nil
}

// Resend puts a refused event back into the outbox: as it is, or another event in its
// place.
func (s *Store) Resend(ctx context.Context, r Refused, repaired ...event.Event) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var topic, id, body string
		err := tx.QueryRow(ctx, "delete from "+s.prefix+"refused where seq = $1 and id = $2 returning topic, id, event", r.Seq, r.ID).
			Scan(&topic, &id, &body)
		if err != nil {
			return err
		}
		events := repaired
		if len(events) == 0 {
			e, err := event.Decoder{MaxBytes: -1}.ParseJSON([]byte(body))
			if err != nil {
				return err
			}
			events = []event.Event{e}
		}
		var rows outboxRows
		if err := rows.add(sentTo(topic, events)); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "select "+s.prefix+"put(true, $1, $2, $3, $4, $5)", rows.topics, rows.keys, rows.ids, rows.types, rows.events)
		return err
	})
	if err != nil {
		return explained("resend", err)
	}
	return nil
}

// Discard removes a refused event.
func (s *Store) Discard(ctx context.Context, r Refused) error {
	if _, err := s.pool.Exec(ctx, "delete from "+s.prefix+"refused where seq = $1 and id = $2", r.Seq, r.ID); err != nil {
		return explained("discard", err)
	}
	return nil
}

// Backlog is what the relay has yet to publish.
type Backlog struct {
	Events int64         // committed, and not known to be published
	Oldest time.Duration // age of the oldest of them
	Active bool          // whether a relay is at it
}

// Backlog returns what the relay has yet to publish. It costs in proportion to that.
func (s *Store) Backlog(ctx context.Context) (Backlog, error) {
	var b Backlog
	var oldest float64
	err := s.pool.QueryRow(ctx, `
		select count(o.seq), coalesce(extract(epoch from clock_timestamp() - min(o.at)), 0)::float8
		from `+s.prefix+`relay r left join `+s.prefix+`outbox o
		on not pg_visible_in_snapshot(o.xid, r.done) and not (
			r.next is not null and o.seq <= r.seq and pg_visible_in_snapshot(o.xid, r.next)
		)`).
		Scan(&b.Events, &oldest)
	if err == nil {
		err = s.pool.QueryRow(ctx, "select exists (select from pg_locks where locktype = 'advisory' and objsubid = 1 and granted "+
			"and database = (select oid from pg_database where datname = current_database()) "+
			"and (classid::bigint << 32) | objid::bigint = $1 # hashtextextended($2, 0))", int64(relayLock), s.schema).Scan(&b.Active)
	}
	if err != nil {
		return Backlog{}, explained("backlog", err)
	}
	b.Oldest = time.Duration(oldest * float64(time.Second))
	return b, nil
}
