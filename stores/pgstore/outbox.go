package pgstore

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
)

// outboxRows are events for the outbox, by columns.
type outboxRows struct{ topics, keys, ids, types, events []string }

func (r *outboxRows) add(sent []idempotency.Sent) error {
	for _, s := range sent {
		for _, e := range s.Events {
			body, err := event.AppendJSON(nil, e)
			if err != nil {
				return fmt.Errorf("pgstore: publish to %q: %w", s.Topic, err)
			}
			r.topics, r.keys = append(r.topics, s.Topic), append(r.keys, e.Key())
			r.ids, r.types = append(r.ids, e.ID()), append(r.types, e.Type())
			r.events = append(r.events, string(body))
		}
	}
	return nil
}

// Publish writes v into the outbox, in a transaction of the caller's: it is published if
// and when that commits, by whoever runs [Store.Relay]. v and the options are those of
// b.Publish; b tells name, topic and encoding, and need not be started. Under a handler's
// context conversation, cause, trace and tenant are inherited, and the id is derived as
// there. [bus.Now] is an error: nothing is sent from here.
func (s *Store) Publish(ctx context.Context, tx pgx.Tx, b *bus.Bus, v any, opts ...bus.PublishOption) error {
	rows, err := prepared(ctx, b, v, opts)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "select "+s.prefix+"put(true, $1, $2, $3, $4, $5)", rows.topics, rows.keys, rows.ids, rows.types, rows.events)
	if err != nil {
		return explained("publish", err)
	}
	return nil
}

// PublishSQL is [Store.Publish] with a transaction of database/sql.
func (s *Store) PublishSQL(ctx context.Context, tx *sql.Tx, b *bus.Bus, v any, opts ...bus.PublishOption) error {
	rows, err := prepared(ctx, b, v, opts)
	if err != nil {
		return err
	}
	return s.putSQL(ctx, tx, true, rows)
}

// putSQL writes rows into the outbox. Drivers differ in how they take arrays: no arrays.
func (s *Store) putSQL(ctx context.Context, tx *sql.Tx, late bool, rows outboxRows) error {
	for i := range rows.events {
		sql := "select " + s.prefix + //nolint:gosec // the schema, quoted
			"put($1::boolean, array[$2::text], array[$3::text], array[$4::text], array[$5::text], array[$6::text])"
		_, err := tx.ExecContext(ctx, sql, late, rows.topics[i], rows.keys[i], rows.ids[i], rows.types[i], rows.events[i])
		if err != nil {
			return explained("publish", err)
		}
	}
	return nil
}

func prepared(ctx context.Context, b *bus.Bus, v any, opts []bus.PublishOption) (outboxRows, error) {
	var rows outboxRows
	topic, e, err := b.Prepare(ctx, v, opts...)
	if err != nil {
		return rows, err
	}
	err = rows.add(sentTo(topic, []event.Event{e}))
	return rows, err
}

func sentTo(topic string, events []event.Event) []idempotency.Sent {
	return []idempotency.Sent{{Topic: topic, Events: events}}
}
