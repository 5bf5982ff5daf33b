package pgstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leat-go/leat/query"
)

// Lately is for how long a read model knows which events are in it: see [query.Model].Seen.
// Of several stores in one schema the longest counts. The default is an hour.
func Lately(d time.Duration) Option { return func(s *Store) { s.lately = d } }

// Model is a read model in the database. Each generation has a schema of its own, in which
// the tables are that its function made. Its methods may be called concurrently.
type Model struct {
	store   *Store
	tables  func(ctx context.Context, tx pgx.Tx) error
	of      atomic.Pointer[modelOf]
	settled atomic.Int64 // steps, for the folding
}

var _ query.Model = (*Model)(nil)

// modelOf is what a model is once it is open.
type modelOf struct {
	projection string
	id         int
}

// Model returns a read model that tables makes the tables of: it runs once for each
// generation, in a transaction whose search_path begins with the generation's schema. So
// tables without a schema are those of the generation, for it, for the handlers of the
// projection, which find their transaction with [Tx], and for [Model.Read].
func (s *Store) Model(tables func(ctx context.Context, tx pgx.Tx) error) *Model {
	if tables == nil {
		panic("pgstore: a model without a function that makes its tables")
	}
	return &Model{store: s, tables: tables}
}

// errNotOpen is the error of a model that no projection has opened.
var errNotOpen = errors.New("pgstore: the model isn't open: its projection has not been started")

func (m *Model) opened() (*modelOf, error) {
	if o := m.of.Load(); o != nil {
		return o, nil
	}
	return nil, errNotOpen
}

// Open implements [query.Model]. Processes that open the same projection wait for each other.
func (m *Model) Open(ctx context.Context, projection string) error {
	if o := m.of.Load(); o != nil && o.projection != projection {
		return fmt.Errorf("pgstore: the model is that of the projection %q: %q needs one of its own", o.projection, projection)
	}
	if projection == "" || printable(projection) != projection {
		return fmt.Errorf("pgstore: a projection named %q", projection)
	}
	o := &modelOf{projection: projection}
	err := m.store.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		return pgx.BeginTxFunc(ctx, c.Conn(), pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
			var serving *int
			err := tx.QueryRow(ctx, "insert into "+m.store.prefix+"models as m (projection, lately) "+ // who has the row goes on alone
				"values ($1, $2) on conflict (projection) do update set lately = greatest(m.lately, excluded.lately) returning id, serving",
				projection, m.store.lately).Scan(&o.id, &serving)
			if err != nil || serving != nil {
				return err
			}
			first, err := m.generation(ctx, tx, o)
			if err != nil {
				return err
			}
			_, err = tx.Exec(ctx, "update "+m.store.prefix+"models set serving = $2 where id = $1", o.id, first)
			return err
		})
	})
	if err != nil {
		return explained(fmt.Sprintf("the model of %q", projection), err)
	}
	m.of.Store(o)
	return nil
}

// generation makes a new generation in a transaction, and its tables.
func (m *Model) generation(ctx context.Context, tx pgx.Tx, o *modelOf) (int, error) {
	var number int
	err := tx.QueryRow(ctx, "update "+m.store.prefix+"models set last = last + 1 where id = $1 returning last", o.id).Scan(&number)
	if err != nil {
		return 0, err
	}
	name, err := freeNamespace(ctx, tx, m.store.schema, o.projection, number)
	if err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, "create schema "+pgx.Identifier{name}.Sanitize()); err != nil {
		if stateOf(err) == codeNoRight {
			return 0, fmt.Errorf("each generation has a schema of its own, which this role may not create: %w", err)
		}
		return 0, err
	}
	_, err = tx.Exec(ctx, "insert into "+m.store.prefix+"generations (model, generation, namespace) values ($1, $2, $3)",
		o.id, number, name)
	if err != nil {
		return 0, err
	}
	var path string
	err = tx.QueryRow(ctx, "select set_config('search_path', "+
		"concat_ws(', ', quote_ident($1), nullif(current_setting('search_path'), '')), true)", name).Scan(&path)
	if err != nil {
		return 0, err
	}
	own := &transaction{conn: tx.Conn()}
	err = m.tables(context.WithValue(ctx, txKey{}, own), own)
	own.end() //nolint:contextcheck // it sends nothing
	if err != nil {
		return 0, fmt.Errorf("the tables of a generation: %w", err)
	}
	if tx.Conn().PgConn().TxStatus() == 'I' {
		return 0, fmt.Errorf("the tables of a generation: it ended the transaction itself: %w", ErrNotYours)
	}
	return number, nil
}

// freeNamespace returns the name of a schema that isn't there.
func freeNamespace(ctx context.Context, tx pgx.Tx, schema, projection string, number int) (string, error) {
	var taken bool
	name := namespace(schema, projection, number, false)
	err := tx.QueryRow(ctx, "select to_regnamespace(quote_ident($1)) is not null", name).Scan(&taken)
	if taken {
		name = namespace(schema, projection, number, true)
	}
	return name, err
}

// maxName is the length of a name in PostgreSQL, in bytes.
const maxName = 63

// namespace is the name of a generation's schema, with a hash where it would be too long, or
// is taken.
func namespace(schema, projection string, number int, hashed bool) string {
	name := schema + "_" + projection
	end := fmt.Sprintf("_%d", number)
	if !hashed && len(name)+len(end) <= maxName {
		return name + end
	}
	end = fmt.Sprintf("_%08x%s", crc32.ChecksumIEEE([]byte(schema+"\x00"+projection)), end)
	for len(name)+len(end) > maxName {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return name + end
}

// hash is a text as the tables have it.
func hash(parts ...string) pgtype.UUID {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return pgtype.UUID{Bytes: [16]byte(sum[:16]), Valid: true}
}
