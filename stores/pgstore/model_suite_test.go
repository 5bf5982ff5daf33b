package pgstore_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/leat-go/leat/internal/servicetest"
	"github.com/leat-go/leat/query/modeltest"
	"github.com/leat-go/leat/stores/pgstore"
)

// A model keeps what every model has to, also where the default of transactions is another.
func TestModel(t *testing.T) {
	for name, options := range map[string]string{
		"":             "",
		"serializable": "&default_transaction_isolation=serializable",
	} {
		t.Run(name, func(t *testing.T) {
			modeltest.Run(t, func(tb testing.TB) modeltest.Harness {
				tb.Helper()
				return modelHarness(tb, servicetest.Addr(tb, "postgres")+options)
			})
		})
	}
}

func modelHarness(tb testing.TB, addr string) modeltest.Harness {
	tb.Helper()
	s, pool := storeAt(tb, addr, pgstore.Serializable())
	tables := func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "create table numbers (key text primary key, n int not null)")
		return err
	}
	m := s.Model(tables)
	tb.Cleanup(func() { dropGenerations(tb, s, pool) })
	const get = "select coalesce(sum(n), 0) from numbers where key = $1"
	return modeltest.Harness{
		Model: m, Other: s.Model(tables),
		Add: func(ctx context.Context, key string, n int) error {
			_, err := pgstore.Tx(ctx).Exec(ctx, "insert into numbers as x values ($1, $2) on conflict (key) do update set n = x.n + $2", key, n)
			return err
		},
		Get: func(ctx context.Context, key string) (n int, err error) {
			err = pgstore.Tx(ctx).QueryRow(ctx, get, key).Scan(&n)
			if errors.Is(err, pgstore.ErrNoTx) {
				err = m.Read(ctx, func(ctx context.Context, tx pgx.Tx) error { return tx.QueryRow(ctx, get, key).Scan(&n) })
			}
			return n, err
		},
	}
}
