package pgstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leat-go/leat/bus"
)

// reader reads the outbox in the order of commits.
//
// What is new since a snapshot are the events of transactions that it didn't see: that were
// at work when it was taken (its list xip), or had no number yet (from its xmax on). A span
// is what is new since one snapshot and seen by another; within it seq is the order.
// Snapshots see commits in their order, and a transaction that waited for a lock of another
// commits, and takes its seq, behind it. So the order is that of the commits, whatever order
// the transactions took their numbers in.
type reader struct {
	store *Store
	conn  *pgx.Conn
	epoch int64

	done    string // snapshot: all that it sees is published
	next    string // snapshot, while a span is being published
	seq     int64  // all up to it is, of the span
	last    int64  // seq of the span's last event
	written time.Time
}

// row is an event of the outbox.
type row struct {
	seq       int64
	topic, id string
	event     []byte
}

// takeOver lets nobody else write how far the relay is, and goes on from there.
func (r *reader) takeOver(ctx context.Context) error {
	p := r.store.prefix
	return pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error {
		var next *string
		var foreign bool
		err := tx.QueryRow(ctx, "update "+p+"relay set epoch = epoch + 1, waiting = false "+
			"returning epoch, done::text, next::text, seq, pg_snapshot_xmax(done) > pg_snapshot_xmax(pg_current_snapshot()) "+
			"or exists (select from "+p+"outbox where xid >= pg_snapshot_xmax(pg_current_snapshot()))").
			Scan(&r.epoch, &r.done, &next, &r.seq, &foreign)
		if err != nil {
			return err
		}
		if next != nil {
			r.next = *next
		}
		if !foreign {
			return nil
		}
		// This cluster's transactions have not come so far: it is another one, and the tables were restored into it.
		if _, err := tx.Exec(ctx, "update "+p+"outbox set xid = pg_current_xact_id()"); err != nil {
			return err
		}
		r.done, r.next, r.seq = "1:1:", "", 0
		return r.write(ctx, tx)
	})
}

// errOvertaken says that another relay is active.
var errOvertaken = errors.New("another relay has taken over")

// executor is a connection, or a transaction.
type executor interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// write writes down how far the relay is, unless another has taken over.
func (r *reader) write(ctx context.Context, c executor) error {
	var next *string
	if r.next != "" {
		next = &r.next
	}
	// also when it is to stop: what is published is known then
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkWait)
	defer cancel()
	var epoch int64
	err := c.QueryRow(ctx, "update "+r.store.prefix+"relay set done = $2::text::pg_snapshot, next = $3::text::pg_snapshot, seq = $4 "+
		"where epoch = $1 returning epoch", r.epoch, r.done, next, r.seq).Scan(&epoch)
	if errors.Is(err, pgx.ErrNoRows) {
		return errOvertaken
	}
	r.written = time.Now()
	return err
}

// run publishes one span after the other, and waits where there is none.
func (r *reader) run(ctx context.Context, b *bus.Bus) error {
	if r.next != "" { // another relay was at it
		if err := r.publishSpan(ctx, b); err != nil {
			return err
		}
	}
	for quiet := 0; ; {
		found, err := r.look(ctx)
		if err != nil {
			return err
		}
		if found {
			if quiet > 0 {
				if err := r.waits(ctx, false); err != nil {
					return err
				}
			}
			quiet = 0
			if err := r.publishSpan(ctx, b); err != nil {
				return err
			}
			continue
		}
		if quiet == 0 { // who commits from now on tells; look once more for who just did
			if err := r.waits(ctx, true); err != nil {
				return err
			}
			quiet++
			continue
		}
		// one that looked whether we wait before we did, and commits after we looked
		pause := min(10*time.Millisecond<<min(quiet-1, 10), lookEvery)
		quiet++
		if err := r.store.await(ctx, r.conn, pause); err != nil {
			return err
		}
	}
}

// waits tells those who commit whether to notify.
func (r *reader) waits(ctx context.Context, yes bool) error {
	ctx, cancel := context.WithTimeout(ctx, beginWait)
	defer cancel()
	tag, err := r.conn.Exec(ctx, "update "+r.store.prefix+"relay set waiting = $2 where epoch = $1", r.epoch, yes)
	if err == nil && tag.RowsAffected() == 0 {
		return errOvertaken
	}
	return err
}

// readWait is how long the relay waits for an answer: one that doesn't come, because the
// connection is dead and doesn't know, is asked for on another.
const readWait = 2 * time.Minute

// persistEvery is how often it is written down that there was nothing.
const persistEvery = 10 * time.Second

// look looks for a span, and reports whether there is one.
func (r *reader) look(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, readWait)
	defer cancel()
	var now string
	var first, last *int64
	table := r.store.prefix + "outbox"
	err := r.conn.QueryRow(ctx, `
		select pg_current_snapshot()::text, min(seq), max(seq) from (
			select seq from `+table+` where xid >= pg_snapshot_xmax($1::text::pg_snapshot)
			union all
			select seq from `+table+` where xid = any (array(select pg_snapshot_xip($1::text::pg_snapshot)))
		) new`, r.done).Scan(&now, &first, &last)
	if err != nil {
		return false, fmt.Errorf("look: %w", err)
	}
	if first == nil {
		r.done = now // nothing is lost if nobody learns of it
		if time.Since(r.written) > persistEvery {
			return false, r.write(ctx, r.conn)
		}
		return false, nil
	}
	r.next, r.seq, r.last = now, *first-1, *last
	return true, nil
}

// publishSpan publishes a span, page by page.
func (r *reader) publishSpan(ctx context.Context, b *bus.Bus) error {
	page, err := r.page(ctx, r.seq)
	if err != nil {
		return err
	}
	for !r.isLast(page) {
		last := page[len(page)-1].seq
		next, err := r.publishAndRead(ctx, b, page)
		if err != nil {
			return err
		}
		r.seq = last
		if err := r.write(ctx, r.conn); err != nil {
			return err
		}
		page = next
	}
	refused, err := r.publish(ctx, b, page)
	if err != nil {
		return err
	}
	if err := r.refuse(ctx, refused); err != nil {
		return err
	}
	r.done, r.next, r.seq, r.last = r.next, "", 0, 0
	return r.write(ctx, r.conn)
}

// isLast reports whether nothing of the span is behind a page.
func (r *reader) isLast(page []row) bool {
	n := len(page)
	return n == 0 || r.last > 0 && page[n-1].seq >= r.last
}

// publishAndRead publishes a page, and reads the next one meanwhile.
func (r *reader) publishAndRead(ctx context.Context, b *bus.Bus, page []row) (next []row, err error) {
	var unread error
	var reading sync.WaitGroup
	reading.Go(func() { next, unread = r.page(ctx, page[len(page)-1].seq) })
	refused, err := r.publish(ctx, b, page)
	reading.Wait() // there is one connection
	if err != nil {
		return nil, err
	}
	if err := r.refuse(ctx, refused); err != nil {
		return nil, err
	}
	return next, unread
}

// page reads what comes next in the span, behind a seq.
func (r *reader) page(ctx context.Context, after int64) ([]row, error) {
	ctx, cancel := context.WithTimeout(ctx, readWait)
	defer cancel()
	sql := `select seq, topic, id, event, octet_length(event) as bytes from ` + r.store.prefix + `outbox
		where seq > $1 and not pg_visible_in_snapshot(xid, $2::text::pg_snapshot) and pg_visible_in_snapshot(xid, $3::text::pg_snapshot)`
	args := []any{after, r.done, r.next}
	if r.last > 0 { // unless the span is another relay's
		sql, args = sql+" and seq <= $5", append(args, pageSize, r.last)
	} else {
		args = append(args, pageSize)
	}
	sql = fmt.Sprintf(`select seq, topic, id, event from (
		select seq, topic, id, event, sum(bytes) over (order by seq rows unbounded preceding) - bytes as before
		from (%s order by seq limit $4) first
	) page where before < %d order by seq`, sql, pageBytes)
	rows, _ := r.conn.Query(ctx, sql, args...)
	page, err := pgx.CollectRows(rows, func(c pgx.CollectableRow) (x row, err error) {
		return x, c.Scan(&x.seq, &x.topic, &x.id, &x.event)
	})
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return page, nil
}
