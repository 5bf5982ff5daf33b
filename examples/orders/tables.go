package main

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// tables are in a schema of their own. A lock lets processes that start at the same time
// make them one after the other.
const tables = `
	select pg_advisory_xact_lock(7467002);
	create schema if not exists shop;
	create table if not exists shop.stock (
		item text primary key,
		remaining int not null check (remaining >= 0)
	);
	create table if not exists shop.orders (
		id bigint generated always as identity primary key,
		item text not null references shop.stock,
		buyer text not null,
		placed timestamptz not null default now()
	);`

const stocked = `insert into shop.stock values ('tea', 20), ('cup', 3), ('moon', 1) on conflict (item) do `

func (s *shop) makeTables(ctx context.Context) error {
	fill := stocked + "nothing"
	if s.cfg.restock {
		fill = stocked + "update set remaining = excluded.remaining"
	}
	_, err := s.pool.Exec(ctx, tables+fill) // several statements at once are one transaction
	return err
}

// Item is a line of the page.
type Item struct {
	Item      string `json:"item"`
	Remaining int    `json:"remaining"`
}

func (s *shop) stock(ctx context.Context) ([]Item, error) {
	rows, err := s.pool.Query(ctx, "select item, remaining from shop.stock order by item")
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Item])
}
