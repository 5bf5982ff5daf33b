package pgstore

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed migrations/*.sql
var files embed.FS

// Migrations returns the migrations as plain SQL for those with a tool of their own: see
// the package's documentation.
func Migrations() fs.FS {
	sub, err := fs.Sub(files, "migrations")
	if err != nil {
		panic(err) // it is embedded
	}
	return sub
}

// migrateLock is the advisory lock of who migrates.
const migrateLock = 0x6c6561740001

// Migrate brings the schema to what this version of the package needs, and makes it where
// it isn't there. Others that migrate at the same time are waited for. Where nothing is to
// be done it changes nothing, also when the schema is newer than the package.
func (s *Store) Migrate(ctx context.Context) error {
	err := s.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		if err := s.migrate(ctx, c.Conn()); err != nil {
			return err
		}
		return s.makePartitions(ctx, c.Conn())
	})
	if err != nil {
		return fmt.Errorf("pgstore: migrate: %w", err)
	}
	return nil
}

func (s *Store) migrate(ctx context.Context, c *pgx.Conn) error {
	names, err := fs.Glob(Migrations(), "*.sql")
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		schema := pgx.Identifier{s.schema}.Sanitize()
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1)", int64(migrateLock)); err != nil {
			return err
		}
		var there bool
		if err := tx.QueryRow(ctx, "select to_regclass($1) is not null", s.prefix+"migrations").Scan(&there); err != nil {
			return err
		}
		done := 0
		if there {
			if err := tx.QueryRow(ctx, "select coalesce(max(version), 0) from "+s.prefix+"migrations").Scan(&done); err != nil {
				return err
			}
		} else if err := makeSchema(ctx, tx, schema); err != nil {
			return err
		}
		if done >= len(names) {
			return nil
		}
		if _, err := tx.Exec(ctx, "set local search_path to "+schema); err != nil {
			return err
		}
		for _, name := range names[done:] {
			sql, err := fs.ReadFile(Migrations(), name)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, string(sql)); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	})
}

// makeSchema makes a schema where there is none: to say "if not exists" needs the right to
// make one.
func makeSchema(ctx context.Context, tx pgx.Tx, schema string) error {
	var there bool
	if err := tx.QueryRow(ctx, "select to_regnamespace($1) is not null", schema).Scan(&there); err != nil || there {
		return err
	}
	_, err := tx.Exec(ctx, "create schema "+schema)
	return err
}
