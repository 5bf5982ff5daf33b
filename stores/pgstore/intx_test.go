package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
	"github.com/leat-go/leat/stores/pgstore"
)

// Paid is the event of the tests.
type Paid struct {
	Customer string
	Cents    int
}

func (p Paid) EventKey() string { return p.Customer }

// Booked follows it.
type Booked struct{ Customer string }

// bank is a table of what was booked, one row each time: an effect that shows how often it
// was applied.
type bank struct {
	pool  *pgxpool.Pool
	table string
}

func newBank(t *testing.T, pool *pgxpool.Pool) bank {
	t.Helper()
	b := bank{pool, "bank_" + strings.ToLower(event.NewID())}
	_, err := pool.Exec(t.Context(), "create table "+b.table+" (id text, cents int)")
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = pool.Exec(context.WithoutCancel(t.Context()), "drop table "+b.table) })
	return b
}

// book books in the handler's transaction.
func (b bank) book(ctx context.Context, cents int) error {
	in, _ := event.FromContext(ctx)
	return b.bookAs(ctx, in.Event.ID(), cents)
}

func (b bank) bookAs(ctx context.Context, id string, cents int) error {
	_, err := pgstore.Tx(ctx).Exec(ctx, "insert into "+b.table+" values ($1, $2)", id, cents)
	return err
}

// booked returns how often each id was booked.
func (b bank) booked(t *testing.T) map[string]int {
	t.Helper()
	rows, err := b.pool.Query(context.WithoutCancel(t.Context()), "select id, count(*) from "+b.table+" group by id")
	require.NoError(t, err)
	defer rows.Close()
	all := make(map[string]int)
	for rows.Next() {
		var id string
		var n int
		require.NoError(t, rows.Scan(&id, &n))
		all[id] = n
	}
	require.NoError(t, rows.Err())
	return all
}

// outboxOf returns the ids of what is in the outbox.
func outboxOf(t *testing.T, s *pgstore.Store) int64 {
	t.Helper()
	b, err := s.Backlog(t.Context())
	require.NoError(t, err)
	return b.Events
}

// in is an event of the tests by its id.
func in(id string, p Paid) event.Event {
	return event.New("/shop", "paid", nil).WithID(id).WithKey(p.Customer).
		WithData("application/json", fmt.Appendf(nil, `{"Customer":%q,"Cents":%d}`, p.Customer, p.Cents))
}

// started starts a bus on a channel in memory.
func started(t *testing.T, register func(b *bus.Bus)) (*bus.Bus, *memory.Channel) {
	t.Helper()
	return startedWith(t, memory.New(), register)
}

func startedWith[C event.Channel](t *testing.T, ch C, register func(b *bus.Bus)) (*bus.Bus, C) {
	t.Helper()
	b := bus.New(bus.Config{App: "shop", Channel: ch})
	register(b)
	require.NoError(t, b.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, b.Shutdown(context.WithoutCancel(t.Context()))) })
	return b, ch
}

// quiet waits until all has been handled.
func quiet(t *testing.T, ch *memory.Channel) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, ch.Quiet(ctx))
}

// Effect, record, and what is published commit together, once.
func TestInTx(t *testing.T) {
	s, pool := newStore(t)
	money := newBank(t, pool)
	once := s.InTx()
	var runs atomic.Int64
	b, ch := started(t, func(b *bus.Bus) {
		bus.Subscribe(b, "billing", func(ctx context.Context, p Paid) error {
			if runs.Add(1) == 1 {
				return errors.Join(money.book(ctx, p.Cents), b.Publish(ctx, Booked{p.Customer}), errors.New("not yet"))
			}
			return errors.Join(money.book(ctx, p.Cents), b.Publish(ctx, Booked{p.Customer}))
		}, bus.With(once), bus.Retry(bus.Backoff{First: time.Millisecond, Attempts: 3}))
	})
	for range 3 {
		require.NoError(t, b.Publish(t.Context(), in("1", Paid{"ada", 5})))
	}
	quiet(t, ch)
	require.Equal(t, map[string]int{"1": 1}, money.booked(t))
	require.EqualValues(t, 1, outboxOf(t, s))
	require.EqualValues(t, 2, runs.Load())
	st := once.Stats()
	require.EqualValues(t, 2, st.Claimed)
	require.EqualValues(t, 2, st.Suppressed)
}

// A rejection rolls the effect back and is recorded.
func TestInTxReject(t *testing.T) {
	s, pool := newStore(t)
	money := newBank(t, pool)
	var runs atomic.Int64
	b, ch := started(t, func(b *bus.Bus) {
		bus.Subscribe(b, "billing", func(ctx context.Context, p Paid) error {
			runs.Add(1)
			return event.Reject(errors.Join(event.NewError("poor", "no money"), money.book(ctx, p.Cents), b.Publish(ctx, Booked{p.Customer})))
		}, bus.With(s.InTx()))
	})
	for range 3 {
		require.NoError(t, b.Publish(t.Context(), in("1", Paid{"ada", 5})))
		quiet(t, ch)
	}
	require.Empty(t, money.booked(t))
	require.Zero(t, outboxOf(t, s))
	require.EqualValues(t, 1, runs.Load())
}

// What became a dead letter is done with until it is driven again.
func TestInTxDead(t *testing.T) {
	s, pool := newStore(t)
	money := newBank(t, pool)
	var runs atomic.Int64
	var broken atomic.Bool
	broken.Store(true)
	b, ch := started(t, func(b *bus.Bus) {
		bus.Subscribe(b, "billing", func(ctx context.Context, p Paid) error {
			runs.Add(1)
			if broken.Load() {
				return event.Permanent(errors.Join(money.book(ctx, p.Cents), errors.New("broken")))
			}
			return money.book(ctx, p.Cents)
		}, bus.With(s.InTx()))
	})
	for range 2 {
		require.NoError(t, b.Publish(t.Context(), in("1", Paid{"ada", 5})))
		quiet(t, ch)
	}
	require.Empty(t, money.booked(t))
	require.EqualValues(t, 1, runs.Load(), "the second was told that it had failed")
	broken.Store(false)
	for d, err := range b.DeadLetters(t.Context(), "billing") {
		require.NoError(t, err)
		require.NoError(t, b.Redrive(t.Context(), d))
	}
	quiet(t, ch)
	require.Equal(t, map[string]int{"1": 1}, money.booked(t))
}

// A handler that hides the error of a statement has failed; so has one that leaves a query
// open, or whose effect the commit refuses.
func TestInTxCannotCommit(t *testing.T) {
	s, pool := newStore(t)
	money := newBank(t, pool)
	_, err := pool.Exec(t.Context(), "alter table "+money.table+" add constraint c_"+money.table+" unique (cents) deferrable initially deferred")
	require.NoError(t, err)
	for name, f := range map[string]func(ctx context.Context) error{
		"hides an error": func(ctx context.Context) error {
			_, err := pgstore.Tx(ctx).Exec(ctx, "select 1/0")
			if err == nil {
				return event.Permanent(errors.New("no error"))
			}
			return nil
		},
		"leaves rows open": func(ctx context.Context) error {
			rows, err := pgstore.Tx(ctx).Query(ctx, "select n from generate_series(1, 100000) n")
			if err == nil {
				rows.Next()
			}
			return err
		},
		"a deferred constraint": func(ctx context.Context) error { return errors.Join(money.book(ctx, 1), money.book(ctx, 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			b, ch := started(t, func(b *bus.Bus) {
				bus.Subscribe(b, "billing", func(ctx context.Context, _ Paid) error { return f(ctx) },
					bus.With(s.InTx()), bus.Retry(bus.Backoff{First: time.Millisecond, Attempts: 3}))
			})
			require.NoError(t, b.Publish(t.Context(), Paid{"ada", 5}))
			quiet(t, ch)
			var causes []string
			for d, err := range b.DeadLetters(t.Context(), "billing") {
				require.NoError(t, err)
				require.Equal(t, 3, d.Cause.Failures)
				causes = append(causes, d.Cause.Text)
			}
			require.Len(t, causes, 1)
			require.Contains(t, causes[0], idempotency.ErrAborted.Error())
			require.Empty(t, money.booked(t))
		})
	}
	require.Zero(t, pool.Stat().AcquiredConns())
}

// While one delivery is at work another of the same event is postponed; it takes no
// connection, and no worker.
func TestInTxConcurrently(t *testing.T) {
	s, pool := newStore(t)
	money := newBank(t, pool)
	once := s.InTx()
	began, end := make(chan struct{}), make(chan struct{})
	handler := func(ctx context.Context, p Paid) error {
		close(began) // panics if it runs again
		<-end
		return money.book(ctx, p.Cents)
	}
	ch := memory.New()
	for range 2 {
		b := bus.New(bus.Config{App: "shop", Channel: ch, KeepChannel: true})
		bus.Subscribe(b, "billing", handler, bus.With(once))
		require.NoError(t, b.Start(t.Context()))
		t.Cleanup(func() { require.NoError(t, b.Shutdown(context.WithoutCancel(t.Context()))) })
	}
	p, err := ch.Producer(t.Context(), "paid")
	require.NoError(t, err)
	e := in("1", Paid{"ada", 5})
	require.NoError(t, p.Produce(t.Context(), e))
	<-began
	require.NoError(t, p.Produce(t.Context(), e.WithKey("b"), e.WithKey("c")))
	require.Eventually(t, func() bool { return once.Stats().Busy >= 4 }, 10*time.Second, time.Millisecond)
	require.EqualValues(t, 1, pool.Stat().AcquiredConns())
	close(end)
	quiet(t, ch)
	require.Equal(t, map[string]int{"1": 1}, money.booked(t))
}

// The result of a handler is given again; the same id with something else is refused.
func TestInTxResultAndFingerprint(t *testing.T) {
	s, pool := newStore(t)
	money := newBank(t, pool)
	var mu sync.Mutex
	var results []string
	watch := event.MiddlewareFunc(func(next event.Handler) event.Handler {
		return func(ctx context.Context, e event.Event) error {
			err := next(ctx, e)
			r, _ := event.ResultOf(ctx)
			mu.Lock()
			defer mu.Unlock()
			results = append(results, string(r.Data))
			return err
		}
	})
	b, ch := started(t, func(b *bus.Bus) {
		bus.Subscribe(b, "billing", func(ctx context.Context, p Paid) error {
			return errors.Join(event.SetResult(ctx, "text/plain", []byte("thanks")), money.book(ctx, p.Cents))
		}, bus.With(watch, s.InTx()))
	})
	for range 2 {
		require.NoError(t, b.Publish(t.Context(), in("1", Paid{"ada", 5})))
		quiet(t, ch)
	}
	require.NoError(t, b.Publish(t.Context(), in("1", Paid{"ada", 6})))
	quiet(t, ch)
	require.Equal(t, []string{"thanks", "thanks", ""}, results)
	n := 0
	for d, err := range b.DeadLetters(t.Context(), "billing") {
		require.NoError(t, err)
		require.Contains(t, d.Cause.Text, idempotency.ErrMismatch.Error())
		n++
	}
	require.Equal(t, 1, n)
	require.Equal(t, map[string]int{"1": 1}, money.booked(t))
}

// A batch is one transaction; when one of it fails each has its own.
func TestInTxBatch(t *testing.T) {
	s, pool := newStore(t)
	money := newBank(t, pool)
	once := s.InTx()
	var mu sync.Mutex
	var sizes []int
	b, ch := started(t, func(b *bus.Bus) {
		bus.SubscribeBatch(b, "billing", func(ctx context.Context, all []Paid) error {
			mu.Lock()
			sizes = append(sizes, len(all))
			mu.Unlock()
			failed := make(bus.BatchError)
			for i, p := range all {
				el := event.Element(ctx, i)
				if err := errors.Join(money.book(el, p.Cents), b.Publish(el, Booked{p.Customer})); err != nil {
					return err
				}
				switch p.Cents {
				case 13:
					failed[i] = event.Permanent(errors.New("unlucky"))
				case 14:
					failed[i] = event.Reject(errors.New("no"))
				}
			}
			if len(failed) > 0 {
				return failed
			}
			return nil
		}, bus.Batch(100, 10*time.Millisecond), bus.With(once), bus.Workers(1))
	})
	var whole, mixed []any
	for i := range 50 {
		whole = append(whole, in(fmt.Sprint("a", i), Paid{fmt.Sprint(i), 1}))
		mixed = append(mixed, in(fmt.Sprint("b", i), Paid{fmt.Sprint(i), i}))
	}
	require.NoError(t, b.PublishAll(t.Context(), append(whole, whole[0])...))
	quiet(t, ch)
	require.Len(t, money.booked(t), 50)
	mu.Lock()
	require.Less(t, len(sizes), 10, "batches %v", sizes)
	mu.Unlock()
	require.EqualValues(t, 50, outboxOf(t, s))
	require.NoError(t, b.PublishAll(t.Context(), append(mixed, whole...)...))
	quiet(t, ch)
	got := money.booked(t)
	require.Len(t, got, 98)
	for id, n := range got {
		require.Equal(t, 1, n, id)
	}
	require.NotContains(t, got, "b13")
	require.NotContains(t, got, "b14")
	require.EqualValues(t, 98, outboxOf(t, s))
	require.NoError(t, b.PublishAll(t.Context(), mixed...))
	quiet(t, ch)
	require.Equal(t, got, money.booked(t))
}

// The same on database/sql.
func TestInSQL(t *testing.T) {
	s, pool := newStore(t)
	money := newBank(t, pool)
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	var runs atomic.Int64
	b, ch := started(t, func(b *bus.Bus) {
		bus.Subscribe(b, "billing", func(ctx context.Context, p Paid) error {
			tx, err := pgstore.SQLTx(ctx)
			if err != nil {
				return err
			}
			info, _ := event.FromContext(ctx)
			_, err = tx.ExecContext(ctx, "insert into "+money.table+" values ($1, $2)", info.Event.ID(), p.Cents)
			err = errors.Join(err, b.Publish(ctx, Booked{p.Customer}), event.SetResult(ctx, "text/plain", []byte("x")))
			switch runs.Add(1) {
			case 1:
				return errors.Join(err, errors.New("not yet"))
			case 2: // hides the error
				_, _ = tx.ExecContext(ctx, "select 1/0")
			}
			return err
		}, bus.With(s.InSQL(db)), bus.Retry(bus.Backoff{First: time.Millisecond, Attempts: 5}))
	})
	for range 3 {
		require.NoError(t, b.Publish(t.Context(), in("1", Paid{"ada", 5})))
	}
	quiet(t, ch)
	require.Equal(t, map[string]int{"1": 1}, money.booked(t))
	require.EqualValues(t, 1, outboxOf(t, s))
	require.EqualValues(t, 3, runs.Load())
	_, err := pgstore.SQLTx(t.Context())
	require.ErrorIs(t, err, pgstore.ErrNoTx)
}

// Outside of a handler, and after it, a transaction answers with an error.
func TestTx(t *testing.T) {
	s, pool := newStore(t)
	money := newBank(t, pool)
	checkUnusable(t, t.Context(), pgstore.ErrNoTx)
	var after context.Context
	b, ch := started(t, func(b *bus.Bus) {
		bus.Subscribe(b, "billing", func(ctx context.Context, p Paid) error {
			after = ctx //nolint:fatcontext // it is used when it is over
			tx := pgstore.Tx(ctx)
			if err := tx.Commit(ctx); !errors.Is(err, pgstore.ErrNotYours) {
				return event.Permanent(fmt.Errorf("Commit: %w", err))
			}
			if err := tx.Rollback(ctx); !errors.Is(err, pgstore.ErrNotYours) {
				return event.Permanent(fmt.Errorf("Rollback: %w", err))
			}
			part, err := tx.Begin(ctx)
			if err != nil {
				return err
			}
			if _, err := part.Exec(ctx, "select 1/0"); err == nil {
				return errors.New("no error")
			}
			objects := tx.LargeObjects() // only made
			_ = objects
			return errors.Join(part.Rollback(ctx), money.book(ctx, p.Cents))
		}, bus.With(s.InTx()))
	})
	require.NoError(t, b.Publish(t.Context(), in("1", Paid{"ada", 5})))
	quiet(t, ch)
	require.Equal(t, map[string]int{"1": 1}, money.booked(t))
	checkUnusable(t, after, pgstore.ErrOver)
}

func checkUnusable(t *testing.T, ctx context.Context, want error) { //nolint:revive // the context is what is tested
	t.Helper()
	tx := pgstore.Tx(ctx)
	_, err := tx.Exec(t.Context(), "select 1")
	require.ErrorIs(t, err, want)
	rows, err := tx.Query(t.Context(), "select 1")
	require.ErrorIs(t, err, want)
	require.False(t, rows.Next())
	require.ErrorIs(t, rows.Err(), want)
	rows.Close()
	require.ErrorIs(t, tx.QueryRow(t.Context(), "select 1").Scan(new(int)), want)
	_, err = tx.Begin(t.Context())
	require.ErrorIs(t, err, want)
	_, err = tx.Prepare(t.Context(), "a", "select 1")
	require.ErrorIs(t, err, want)
	_, err = tx.CopyFrom(t.Context(), []string{"a"}, []string{"b"}, nil)
	require.ErrorIs(t, err, want)
	require.ErrorIs(t, tx.Commit(t.Context()), want)
	require.ErrorIs(t, tx.Rollback(t.Context()), want)
	answers := tx.SendBatch(t.Context(), nil)
	_, err = answers.Exec()
	require.ErrorIs(t, err, want)
	_, err = answers.Query() //nolint:gocritic,sqlclosecheck // there are no rows
	require.ErrorIs(t, err, want)
	require.ErrorIs(t, answers.QueryRow().Scan(new(int)), want)
	require.ErrorIs(t, answers.Close(), want)
	require.Nil(t, tx.Conn())
}
