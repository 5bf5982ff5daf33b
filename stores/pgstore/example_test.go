package pgstore_test

import (
	"context"
	"log"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/query"
	"github.com/leat-go/leat/stores/pgstore"
)

// OrderPlaced is what happened.
type OrderPlaced struct {
	Customer string
	Cents    int
}

// Billed is what follows.
type Billed struct{ Customer string }

// The effect of an event, that it was handled, and what follows from it commit together.
func Example() { //nolint:testableexamples // it needs a database
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://localhost/shop")
	if err != nil {
		log.Fatal(err)
	}
	store := pgstore.New(pool)
	if err := store.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
	b := bus.New(bus.Config{App: "shop", Channel: memory.New()}) // in production: kafka.New, …
	bus.Subscribe(b, "billing", func(ctx context.Context, e OrderPlaced) error {
		_, err := pgstore.Tx(ctx).Exec(ctx, `update balance set cents = cents - $1 where id = $2`, e.Cents, e.Customer)
		if err != nil {
			return err
		}
		return b.Publish(ctx, Billed{e.Customer})
	}, bus.With(store.InTx()))
	go func() { log.Print(store.Relay(ctx, b)) }()
	if err := b.Run(ctx); err != nil {
		log.Fatal(err)
	}
}

// Where no event came in, what is published goes into the caller's own transaction.
func ExampleStore_Publish() { //nolint:testableexamples // it needs a database
	var (
		ctx   context.Context
		pool  *pgxpool.Pool
		store *pgstore.Store
		b     *bus.Bus
	)
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `insert into orders (customer, cents) values ($1, $2)`, "ada", 100); err != nil {
			return err
		}
		return store.Publish(ctx, tx, b, OrderPlaced{"ada", 100}, bus.Key("ada"))
	})
	if err != nil {
		log.Fatal(err)
	}
}

// A read model: its tables are filled in the transactions in which its events are applied.
func ExampleStore_Model() { //nolint:testableexamples // it needs a database
	var store *pgstore.Store
	b := bus.New(bus.Config{App: "shop", Channel: memory.New()})
	spent := store.Model(func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `create table spent (customer text primary key, cents bigint)`)
		return err
	})
	p := query.Project(b, "spent", spent)
	query.Apply(p, func(ctx context.Context, e OrderPlaced) error {
		_, err := pgstore.Tx(ctx).Exec(ctx,
			`insert into spent as s values ($1, $2) on conflict (customer) do update set cents = s.cents + $2`, e.Customer, e.Cents)
		return err
	})
}

func ExampleModel_Read() { //nolint:testableexamples // it needs a database
	var spent *pgstore.Model
	var most int
	err := spent.Read(context.Background(), func(ctx context.Context, tx pgx.Tx) error {
		return tx.QueryRow(ctx, `select coalesce(max(cents), 0) from spent`).Scan(&most)
	})
	if err != nil {
		log.Fatal(err)
	}
}
