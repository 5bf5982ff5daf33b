package pgstore_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/servicetest"
	"github.com/leat-go/leat/stores/pgstore"
)

// unread lets each third reading of a page fail.
type unread struct{ pages atomic.Int64 }

func (u *unread) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if !strings.Contains(q.SQL, "order by seq limit") || u.pages.Add(1)%3 != 0 {
		return ctx
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	return ended
}

func (*unread) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// A page that can't be read is read again: nothing is taken for the end.
func TestRelayReadsAgain(t *testing.T) {
	const n = 9000 // five pages
	cfg, err := pgxpool.ParseConfig(servicetest.Addr(t, "postgres"))
	require.NoError(t, err)
	u := new(unread)
	cfg.ConnConfig.Tracer = u
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	s := pgstore.New(pool, schema(t, pool))
	require.NoError(t, s.Migrate(t.Context()))
	b, ch := edge(t)
	h := listen(t, ch, "paid")
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		for i := range n {
			if err := s.Publish(t.Context(), tx, b, in(fmt.Sprint("paid-", i), Paid{Customer: "ada"})); err != nil {
				return err
			}
		}
		return nil
	}))
	stop := relaying(t, s, b)
	defer stop()
	got := h.wait(t, n)
	require.Greater(t, u.pages.Load(), int64(5))
	for i, id := range ids(got)[:n] {
		require.Equal(t, fmt.Sprint("paid-", i), id)
	}
}

// Who commits what is to be published wakes a relay that waits, in whatever way it got into
// the outbox.
func TestCommitWakesTheRelay(t *testing.T) {
	s, pool := newStore(t)
	b, _ := edge(t)
	relaying(t, s, b)
	c, err := pgx.Connect(t.Context(), servicetest.Addr(t, "postgres"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close(context.WithoutCancel(t.Context()))) })
	_, err = c.Exec(t.Context(), "listen leat_outbox")
	require.NoError(t, err)
	once := s.InTx().Wrap(func(ctx context.Context, e event.Event) error { return b.Publish(ctx, Booked{e.ID()}) })
	ways := []func() error{
		func() error {
			return pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return s.Publish(t.Context(), tx, b, Booked{"ada"}) })
		},
		func() error {
			e := in("1", Paid{"ada", 5})
			return once(&event.Attempt{Context: t.Context(), Info: event.Info{Event: e, Topic: "paid", Group: "billing", Attempt: 1}}, e)
		},
	}
	for _, write := range ways {
		require.Eventually(t, func() bool {
			var waiting bool
			err := pool.QueryRow(t.Context(), "select waiting from "+s.Table("relay")).Scan(&waiting)
			return err == nil && waiting && outboxOf(t, s) == 0
		}, 10*time.Second, time.Millisecond)
		require.NoError(t, write())
		soon, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		for payload := ""; payload != s.SchemaName(); { // others test, too
			n, err := c.WaitForNotification(soon)
			require.NoError(t, err)
			payload = n.Payload
		}
		cancel()
	}
}
