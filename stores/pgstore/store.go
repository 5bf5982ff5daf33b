package pgstore

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leat-go/leat/idempotency"
)

// Store is what leat keeps in one schema of a database. Its methods may be called
// concurrently.
type Store struct {
	pool      *pgxpool.Pool
	schema    string
	prefix    string // the schema, quoted, with a dot
	window    time.Duration
	partition time.Duration // of the outbox
	span      time.Duration // of a partition of the inbox
	idle      time.Duration
	lately    time.Duration // of read models
	isolation pgx.TxIsoLevel
	limit     string // of the time between two statements of a handler
	onError   func(error)
	onRefused func(Refused)
}

var _ idempotency.BatchStore = (*Store)(nil)

// Option is an option of [New].
type Option func(*Store)

// Schema is where the tables are. The default is "leat".
func Schema(name string) Option { return func(s *Store) { s.schema = name } }

// Window is for how long a record is kept after its last change. Of several stores in one
// schema, one after the other too, the longest counts. The default is 14 days,
// for as long as SQS can bring an event again.
func Window(d time.Duration) Option { return func(s *Store) { s.window = d } }

// Partition is the span of time of a partition. Fewer and longer ones cost less to look
// into and keep more: each claim looks into all of a [Window]. The default is a day for
// what is to be published, and for what was handled half a window, but a day at least.
func Partition(d time.Duration) Option {
	return func(s *Store) { s.partition = max(d, 1) } // what is too short is refused, not taken for none
}

// Idle is how long a handler of [Store.InTx] may leave its transaction alone before the
// server ends it, which is a failure of the handler's if it lives. The default is 10 minutes; 0 leaves it to the server's own setting.
func Idle(d time.Duration) Option { return func(s *Store) { s.idle = d } }

// Serializable lets transactions of [Store.InTx] be SERIALIZABLE. Those that the server
// can't serialize are run again, which is no failure of the event.
func Serializable() Option { return func(s *Store) { s.isolation = pgx.Serializable } }

// OnError is told what the relay and the housekeeping couldn't do, and try again. It must
// not block.
func OnError(f func(error)) Option { return func(s *Store) { s.onError = f } }

// OnRefused is told of an event that the channel refused for good, which is in the table
// refused now. It must not block.
func OnRefused(f func(Refused)) Option { return func(s *Store) { s.onRefused = f } }

const (
	defaultSchema    = "leat"
	defaultWindow    = 14 * 24 * time.Hour
	defaultPartition = 24 * time.Hour
	defaultIdle      = 10 * time.Minute
	defaultLately    = time.Hour
)

// New returns a store on a pool of connections, which stays the caller's. See
// [Store.Migrate]. It panics on options that can't be: they are mistakes of the program.
func New(pool *pgxpool.Pool, opts ...Option) *Store {
	s := &Store{
		pool: pool, schema: defaultSchema, window: defaultWindow, idle: defaultIdle, lately: defaultLately,
		isolation: pgx.ReadCommitted, onError: func(error) {}, onRefused: func(Refused) {},
	}
	for _, o := range opts {
		o(s)
	}
	s.span = s.partition
	if s.partition == 0 {
		s.partition, s.span = defaultPartition, max(defaultPartition, s.window/2)
	}
	switch {
	case pool == nil:
		panic("pgstore: the pool is nil")
	case s.schema == "" || strings.ContainsRune(s.schema, 0) || len(s.schema) > 63:
		panic(fmt.Sprintf("pgstore: a schema named %q: 1 to 63 bytes are possible", s.schema))
	case s.window <= 0 || s.partition < time.Millisecond || s.idle < 0 || s.lately <= 0:
		panic(fmt.Sprintf("pgstore: a window of %v, partitions of %v, %v idle, %v lately", s.window, s.partition, s.idle, s.lately))
	}
	s.limit = ", null"
	if s.idle > 0 {
		s.limit = fmt.Sprintf(", set_config('idle_in_transaction_session_timeout', '%d', true)", s.idle.Milliseconds())
	}
	s.prefix = pgx.Identifier{s.schema}.Sanitize() + "."
	return s
}

// name is a key as the tables have it.
type name struct {
	lock int64 // of the advisory lock
	id   pgtype.UUID
	text string // for people
}

// name hashes a key: 128 bits tell keys apart, 64 their locks, which the schemas of a
// database share.
func (s *Store) name(key idempotency.Key) name {
	full := key.String()
	n := name{text: printable(full)}
	sum := sha256.Sum256([]byte(full))
	n.id = pgtype.UUID{Bytes: [16]byte(sum[:16]), Valid: true}
	lock := sha256.Sum256([]byte(s.schema + "\x00" + full))
	n.lock = int64(binary.BigEndian.Uint64(lock[:]))
	return n
}

// text is a text that may be missing.
func text(s string) *string {
	if s == "" {
		return nil
	}
	s = printable(s)
	return &s
}

// printable returns a text that a column can hold: others, with NUL or of another encoding
// than UTF-8, it refuses.
func printable(s string) string {
	if utf8.ValidString(s) && !strings.ContainsRune(s, 0) {
		return s
	}
	return strconv.QuoteToASCII(s)
}
