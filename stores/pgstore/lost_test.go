package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
	"github.com/leat-go/leat/stores/pgstore"
)

// That a delivery isn't ours any more when its handler returns doesn't undo what that did.
func TestCommitOfWhatIsNotOurs(t *testing.T) {
	s, pool := newStore(t)
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	money := newBank(t, pool)
	for id, c := range map[string]struct {
		once *idempotency.OnceInTx
		book func(ctx context.Context, id string) error
	}{
		"pgx": {s.InTx(), func(ctx context.Context, id string) error { return money.bookAs(ctx, id, 5) }},
		"sql": {s.InSQL(db), func(ctx context.Context, id string) error {
			tx, err := pgstore.SQLTx(ctx)
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, fmt.Sprintf("insert into %s values ($1, 5)", money.table), id)
			return err
		}},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		e := in(id, Paid{"ada", 5})
		own := &event.Attempt{Context: ctx, Info: event.Info{Event: e, Topic: "paid", Group: "billing", Attempt: 1}}
		handle := c.once.Wrap(func(ctx context.Context, e event.Event) error {
			err := c.book(ctx, e.ID())
			cancel(event.ErrLeaseLost)
			return err
		})
		require.NoError(t, handle(own, e))
		require.Equal(t, 1, money.booked(t)[id])
		require.NoError(t, handle(&event.Attempt{Context: t.Context(), Info: own.Info}, e))
		require.Equal(t, 1, money.booked(t)[id], "whoever gets it next is told that it is done")
	}
}

// A delivery that becomes a dead letter when another of its event has succeeded leaves that
// as it is: driven again, it is told that it is done.
func TestFailureBehindASuccess(t *testing.T) {
	s, pool := newStore(t)
	money := newBank(t, pool)
	e, fails := in("1", Paid{"ada", 5}), true
	once := s.InTx().Wrap(func(ctx context.Context, e event.Event) error {
		if fails {
			return event.Permanent(errors.New("broken"))
		}
		return money.bookAs(ctx, e.ID(), 5)
	})
	attempt := func(redriven bool) *event.Attempt {
		return &event.Attempt{Context: t.Context(), Info: event.Info{Event: e, Topic: "paid", Group: "billing", Attempt: 1, Redriven: redriven}}
	}
	first := attempt(false)
	broken := once(first, e)
	require.Error(t, broken)
	fails = false
	require.NoError(t, once(attempt(false), e))
	first.RunAfter(t.Context(), event.Outcome{Kind: event.OutcomeDead, Err: broken})
	require.NoError(t, once(attempt(true), e))
	require.Equal(t, map[string]int{"1": 1}, money.booked(t))
}

// A handler that leaves its transaction alone for too long has failed, as often as it does,
// whether it notices or not.
func TestHandlerIsIdle(t *testing.T) {
	s, pool := newStore(t, pgstore.Idle(50*time.Millisecond))
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	gone := func(pid int) {
		require.Eventually(t, func() bool {
			var there bool
			err := pool.QueryRow(t.Context(), "select exists (select from pg_stat_activity where pid = $1)", pid).Scan(&there)
			return err == nil && !there
		}, 10*time.Second, 10*time.Millisecond)
	}
	inTx := func(ctx context.Context, notices bool) error {
		var pid int
		if err := pgstore.Tx(ctx).QueryRow(ctx, "select pg_backend_pid()").Scan(&pid); err != nil {
			return err
		}
		gone(pid)
		if !notices {
			return nil
		}
		_, err := pgstore.Tx(ctx).Exec(ctx, "select 1")
		return err
	}
	inSQL := func(ctx context.Context, notices bool) error {
		var pid int
		tx, err := pgstore.SQLTx(ctx)
		if err == nil {
			err = tx.QueryRowContext(ctx, "select pg_backend_pid()").Scan(&pid)
		}
		if err != nil {
			return err
		}
		gone(pid)
		if notices {
			_, err = tx.ExecContext(ctx, "select 1")
		}
		return err
	}
	for name, c := range map[string]struct {
		once    *idempotency.OnceInTx
		idle    func(ctx context.Context, notices bool) error
		notices bool
	}{
		"pgx, it notices":        {s.InTx(), inTx, true},
		"pgx, it doesn't notice": {s.InTx(), inTx, false},
		"sql, it notices":        {s.InSQL(db), inSQL, true},
		"sql, it doesn't notice": {s.InSQL(db), inSQL, false},
	} {
		t.Run(name, func(t *testing.T) {
			b, ch := started(t, func(b *bus.Bus) {
				bus.Subscribe(b, "billing", func(ctx context.Context, p Paid) error {
					return errors.Join(c.idle(ctx, c.notices), b.Publish(ctx, Booked{p.Customer}))
				}, bus.With(c.once), bus.Retry(bus.Backoff{First: time.Millisecond, Attempts: 2}))
			})
			require.NoError(t, b.Publish(t.Context(), Paid{"ada", 5}))
			quiet(t, ch)
			n := 0
			for d, err := range b.DeadLetters(t.Context(), "billing") {
				require.NoError(t, err)
				require.Equal(t, 2, d.Cause.Failures)
				n++
			}
			require.Equal(t, 1, n)
		})
	}
}

// hooked is a channel that calls a function after it has taken events.
type hooked struct {
	*memory.Channel

	took func()
}

func (h hooked) Producer(ctx context.Context, topic string) (event.Producer, error) {
	p, err := h.Channel.Producer(ctx, topic)
	return hookedProducer{p, h.took}, err
}

type hookedProducer struct {
	event.Producer

	took func()
}

func (p hookedProducer) Produce(ctx context.Context, events ...event.Event) error {
	defer p.took()
	return p.Producer.Produce(ctx, events...)
}

// A relay that was overtaken while it published writes nothing over what the other has
// written: it says so, and what it can't know was accepted goes out again.
func TestRelayIsOvertaken(t *testing.T) {
	told := make(chan error, 10)
	s, pool := newStore(t, pgstore.OnError(func(err error) { told <- err }))
	ch := memory.New()
	h := listen(t, ch, "paid")
	overtake := sync.OnceFunc(func() {
		_, err := pool.Exec(t.Context(), "update "+s.Table("relay")+" set epoch = epoch + 1")
		assert.NoError(t, err)
	})
	b, _ := startedWith(t, hooked{ch, overtake}, func(*bus.Bus) {})
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		return s.Publish(t.Context(), tx, b, in("1", Paid{"ada", 5}))
	}))
	relaying(t, s, b)
	require.Eventually(t, func() bool { return outboxOf(t, s) == 0 && again(h) == 1 }, 10*time.Second, 10*time.Millisecond)
	require.ErrorContains(t, <-told, "another relay has taken over")
}
