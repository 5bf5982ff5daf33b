package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/stores/pgstore"
)

const (
	postgresEnv = "LEAT_POSTGRES"

	day    = 24 * time.Hour
	window = 14 * day // for as long as a record is kept; the default
)

// PostgresScenarios returns those on the server that LEAT_POSTGRES names; none without.
func PostgresScenarios() []Scenario {
	url := os.Getenv(postgresEnv)
	if url == "" {
		return nil
	}
	var all []Scenario
	for _, days := range []int{1, 7, 14} {
		p := Postgres{URL: url, Partition: time.Duration(days) * day}
		all = append(all, p.transactions("", "", days)...)
		all = append(all, p.batches(days))
	}
	near := Postgres{URL: url, Partition: 7 * day, Near: true}
	all = append(all, near.transactions("near-", ", 0.25 ms away", 7)...)
	p := Postgres{URL: url, Partition: day}
	return append(all, Scenario{"postgres-relay", "events of about 600 bytes, from the outbox to a handler", []Side{
		{"leat", Leat, 0, p.openRelay},
		{"copy", Floor, 2, p.openCopy},
	}})
}

// transactions are the scenarios of one row inserted in a transaction.
func (p Postgres) transactions(prefix, where string, days int) []Scenario {
	sides := func(workers int) []Side {
		return []Side{
			{"leat", Leat, 0, func() (*Stream, error) { return p.openInTx(workers) }},
			{"plain", Floor, 1 / 0.85, func() (*Stream, error) { return p.openPlain(workers) }},
			{"by-hand", Floor, 0, func() (*Stream, error) { return p.openByHand(workers) }},
		}
	}
	name := func(what string) string { return fmt.Sprintf("postgres-tx-%s%s%dd", prefix, what, days) }
	return []Scenario{
		{name(""), "one row inserted for an event, 8 workers" + where + aged(days), sides(txWorkers)},
		{name("alone-"), "one row inserted for an event, one worker" + where + aged(days), sides(1)},
	}
}

// batches is the scenario of many rows inserted in a transaction.
func (p Postgres) batches(days int) Scenario {
	about := "a row inserted for an event, 100 events in a transaction, one worker" + aged(days)
	return Scenario{fmt.Sprintf("postgres-batch-%dd", days), about, []Side{
		{"leat", Leat, 0, p.openInTxBatch},
		{"single", Peer, 10, func() (*Stream, error) { return p.openInTx(1) }},
		{"plain", Floor, 0, p.openPlainBatch},
	}}
}

func aged(days int) string {
	return fmt.Sprintf(", 14 days of records in partitions of %d (the default is 7)", days)
}

// Postgres says where tables are made, and how.
type Postgres struct {
	URL       string
	Partition time.Duration
	Near      bool // the server is as if on another machine
}

// database is a schema that nobody else has, with the tables of leat and one for effects.
type database struct {
	pool   *pgxpool.Pool
	schema string
	store  *pgstore.Store
}

// open makes a schema. The pool has a connection for each worker and some more.
func (p Postgres) open(conns int) (*database, error) {
	ctx := context.Background()
	cfg, err := pgxpool.ParseConfig(p.URL)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = int32(conns)
	if p.Near {
		cfg.ConnConfig.DialFunc = nearby
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	d := &database{pool: pool, schema: "bench_" + strings.ToLower(event.NewID())}
	d.store = pgstore.New(pool, pgstore.Schema(d.schema), pgstore.Window(window), pgstore.Partition(p.Partition))
	err = d.store.Migrate(ctx)
	if err == nil {
		err = d.exec(ctx, "create table @.effects (id text primary key, data bytea not null)")
	}
	if err == nil {
		err = d.past(ctx, p.Partition)
	}
	if err != nil {
		return nil, errors.Join(err, d.close(ctx))
	}
	return d, nil
}

// exec runs a statement in which @ stands for the schema.
func (d *database) exec(ctx context.Context, sql string) error {
	_, err := d.pool.Exec(ctx, d.sql(sql))
	return err
}

func (d *database) sql(sql string) string { return strings.ReplaceAll(sql, "@", d.schema) }

// past makes the partitions that a schema has once it is as old as the window, each with
// some thousand records: a claim looks into all of them.
func (d *database) past(ctx context.Context, span time.Duration) error {
	return d.exec(ctx, fmt.Sprintf(`do $$
		declare
			span interval = '%d ms';
			since_ timestamptz;
			name_ text;
		begin
			select min(since) into since_ from @.partitions where of = 'inbox';
			while since_ > clock_timestamp() - interval '%d ms' loop
				since_ := since_ - span;
				name_ := 'inbox' || to_char(since_ at time zone 'UTC', '_YYYYMMDD_HH24MISSMS');
				execute format('create table @.%%I (like @.inbox including defaults)', name_);
				execute format('create unique index on @.%%I (id)', name_);
				execute format('alter table @.inbox attach partition @.%%I for values from (%%L) to (%%L)',
					name_, since_, since_ + span);
				insert into @.partitions values ('inbox', name_, since_, since_ + span);
				insert into @.inbox (id, at, state, fence, attempts, key)
					select gen_random_uuid(), since_, 2, 1, 1, 'shop.billing||/shop|' || n from generate_series(1, 5000) n;
			end loop;
			analyze @.inbox;
		end $$`, span.Milliseconds(), window.Milliseconds()))
}

// inserted checks how many effects there are.
func (d *database) inserted(ctx context.Context, want int) error {
	var got int64
	if err := d.pool.QueryRow(ctx, d.sql("select count(*) from @.effects")).Scan(&got); err != nil {
		return err
	}
	return exactly(want, got)
}

func (d *database) close(ctx context.Context) error {
	defer d.pool.Close()
	return d.exec(ctx, "drop schema if exists @ cascade")
}
