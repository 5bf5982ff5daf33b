package pgstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/stores/pgstore"
)

// heard collects what arrives on a channel: the first time of each event, in order.
type heard struct {
	mu    sync.Mutex
	first []event.Event
	times map[string]int
	news  chan struct{}
}

// listen subscribes to topics of a channel.
func listen(t *testing.T, ch event.Channel, topics ...string) *heard {
	t.Helper()
	h := &heard{times: make(map[string]int), news: make(chan struct{}, 1)}
	b := bus.New(bus.Config{App: "listener", Channel: ch, KeepChannel: true})
	for _, topic := range topics {
		bus.SubscribeRaw(b, "all-"+topic, nil, func(_ context.Context, e event.Event) error {
			h.mu.Lock()
			if h.times[e.ID()]++; h.times[e.ID()] == 1 {
				h.first = append(h.first, e)
			}
			h.mu.Unlock()
			select {
			case h.news <- struct{}{}:
			default:
			}
			return nil
		}, bus.Topic(topic), bus.Workers(1))
	}
	require.NoError(t, b.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, b.Shutdown(context.WithoutCancel(t.Context()))) })
	return h
}

// wait waits until n different events were heard, and returns them in order.
func (h *heard) wait(t *testing.T, n int) []event.Event {
	t.Helper()
	patience := time.NewTimer(2 * time.Minute)
	defer patience.Stop()
	for {
		h.mu.Lock()
		first := slices.Clone(h.first)
		h.mu.Unlock()
		if len(first) >= n {
			require.Len(t, first, n)
			return first
		}
		select {
		case <-h.news:
		case <-patience.C:
			require.FailNow(t, "waited in vain", "%d of %d events", len(first), n)
		}
	}
}

func ids(events []event.Event) (all []string) {
	for _, e := range events {
		all = append(all, e.ID())
	}
	return all
}

// relaying runs a relay until the test ends, or stop is called.
func relaying(t *testing.T, s *pgstore.Store, b *bus.Bus) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Relay(ctx, b) }()
	stop = sync.OnceFunc(func() {
		cancel()
		assert.ErrorIs(t, <-ended, context.Canceled)
	})
	t.Cleanup(stop)
	return stop
}

// edge is a bus that has no handlers.
func edge(t *testing.T) (*bus.Bus, *memory.Channel) {
	t.Helper()
	return startedWith(t, memory.New(memory.Capacity(1_000_000)), func(*bus.Bus) {})
}

// What is published in a transaction goes out when it has committed, in the order of the
// commits, whatever order they began, wrote and took their numbers in.
func TestPublishInOrderOfCommits(t *testing.T) {
	s, pool := newStore(t)
	b, ch := edge(t)
	h := listen(t, ch, "paid")
	publish := func(tx pgx.Tx, id string) {
		require.NoError(t, s.Publish(t.Context(), tx, b, in(id, Paid{Customer: "ada"})))
	}
	begin := func() pgx.Tx {
		tx, err := pool.Begin(t.Context())
		require.NoError(t, err)
		t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
		return tx
	}
	idle := begin() // has a number all the time
	_, err := idle.Exec(t.Context(), "select pg_current_xact_id()")
	require.NoError(t, err)
	first, second, third, never := begin(), begin(), begin(), begin()
	publish(first, "first-1")
	publish(never, "never")
	publish(second, "second-1")
	publish(third, "third-1")
	publish(first, "first-2")
	require.NoError(t, third.Commit(t.Context()))
	require.NoError(t, second.Commit(t.Context()))
	require.NoError(t, never.Rollback(t.Context()))
	relaying(t, s, b)
	require.Equal(t, []string{"third-1", "second-1"}, ids(h.wait(t, 2)))
	require.NoError(t, first.Commit(t.Context()))
	require.Equal(t, []string{"third-1", "second-1", "first-1", "first-2"}, ids(h.wait(t, 4)))
	require.Eventually(t, func() bool { return outboxOf(t, s) == 0 }, 10*time.Second, 10*time.Millisecond)
}

// On database/sql, and with a handler's transaction, it is the same. What was inherited
// goes with it.
func TestPublishSQL(t *testing.T) {
	s, pool := newStore(t)
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	var b *bus.Bus
	b, ch := started(t, func(b *bus.Bus) {
		bus.Subscribe(b, "billing", func(ctx context.Context, p Paid) error {
			return s.Publish(ctx, pgstore.Tx(ctx), b, Booked{p.Customer})
		}, bus.With(s.InTx()))
	})
	h := listen(t, ch, "booked")
	relaying(t, s, b)
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{})
	require.NoError(t, err)
	require.NoError(t, s.PublishSQL(t.Context(), tx, b, Booked{"ada"}))
	require.NoError(t, tx.Commit())
	h.wait(t, 1)
	cause := in("7", Paid{Customer: "bob"})
	require.NoError(t, b.Publish(t.Context(), cause))
	got := h.wait(t, 2)[1]
	require.Equal(t, event.DerivedID("shop.billing", "/shop", "7", 0), got.ID())
	require.Equal(t, "7", got.Extension(event.ExtCausationID))
}

// Publish refuses what could never be sent, and writes nothing.
func TestPublishRefuses(t *testing.T) {
	s, pool := newStore(t)
	b, _ := edge(t)
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		require.Error(t, s.Publish(t.Context(), tx, b, Booked{"ada"}, bus.Now()))
		require.Error(t, s.Publish(t.Context(), tx, b, Booked{"ada"}, bus.Topic("no topic")))
		require.Error(t, s.Publish(t.Context(), tx, b, nil))
		require.Error(t, s.Publish(t.Context(), tx, b, Booked{"ada"}, bus.Key("\x00")))
		return nil
	}))
	require.Zero(t, outboxOf(t, s))
}

// One relay of many is active, and when it stops another goes on at once.
func TestRelaysTakeOver(t *testing.T) {
	s, pool := newStore(t)
	b, ch := edge(t)
	h := listen(t, ch, "paid")
	n := 0
	publish := func() {
		n++
		require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			return s.Publish(t.Context(), tx, b, in(fmt.Sprint(n), Paid{Customer: "ada"}))
		}))
		h.wait(t, n)
	}
	var stops []func()
	for range 4 {
		stops = append(stops, relaying(t, s, b))
	}
	for range stops {
		publish()
		st, err := s.Backlog(t.Context())
		require.NoError(t, err)
		require.True(t, st.Active)
	}
	for _, stop := range stops[1:] {
		stop()
		publish()
	}
	require.Len(t, h.times, n)
	for id, times := range h.times {
		require.Equal(t, 1, times, id)
	}
	stops[0]()
	st, err := s.Backlog(t.Context())
	require.NoError(t, err)
	require.False(t, st.Active)
}

// refusing is a channel that refuses some events for good, and fails now and then.
type refusing struct {
	*memory.Channel

	whole bool // says nothing of which
	calls atomic.Int64
}

func (c *refusing) Producer(ctx context.Context, topic string) (event.Producer, error) {
	p, err := c.Channel.Producer(ctx, topic)
	return refusingProducer{p, c}, err
}

type refusingProducer struct {
	event.Producer

	c *refusing
}

func (p refusingProducer) Produce(ctx context.Context, events ...event.Event) error {
	if p.c.calls.Add(1)%3 == 0 {
		return errors.New("not now")
	}
	var good []event.Event
	some := &event.ProduceError{}
	for i, e := range events {
		if strings.HasPrefix(e.ID(), "large") {
			some.Failed = append(some.Failed, event.ProduceFailure{Index: i, ID: e.ID(), Err: event.ErrTooLarge})
			continue
		}
		good = append(good, e)
	}
	switch {
	case len(some.Failed) == 0:
		return p.Producer.Produce(ctx, events...)
	case p.c.whole:
		return event.ErrTooLarge
	}
	return errors.Join(p.Producer.Produce(ctx, good...), some)
}

// What the channel refuses for good is put aside, and the others go on.
func TestRefused(t *testing.T) {
	for name, whole := range map[string]bool{"by index": false, "as a whole": true} {
		t.Run(name, func(t *testing.T) {
			var told atomic.Int64
			s, pool := newStore(t, pgstore.OnRefused(func(pgstore.Refused) { told.Add(1) }))
			ch := &refusing{Channel: memory.New(), whole: whole}
			b, _ := startedWith(t, ch, func(*bus.Bus) {})
			h := listen(t, ch.Channel, "paid")
			require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
				for _, id := range []string{"1", "large-1", "2", "3", "large-2"} {
					if err := s.Publish(t.Context(), tx, b, in(id, Paid{Customer: "ada"})); err != nil {
						return err
					}
				}
				return nil
			}))
			relaying(t, s, b)
			require.Equal(t, []string{"1", "2", "3"}, ids(h.wait(t, 3)))
			require.Eventually(t, func() bool { return told.Load() == 2 }, 10*time.Second, time.Millisecond)
			all, err := s.Refused(t.Context(), 10)
			require.NoError(t, err)
			require.Len(t, all, 2)
			require.Equal(t, "large-1", all[0].Event.ID())
			require.Contains(t, all[0].Cause, event.ErrTooLarge.Error())
			require.NoError(t, s.Resend(t.Context(), all[0], all[0].Event.WithID("small-1")))
			require.NoError(t, s.Discard(t.Context(), all[1]))
			require.Equal(t, []string{"1", "2", "3", "small-1"}, ids(h.wait(t, 4)))
			all, err = s.Refused(t.Context(), 10)
			require.NoError(t, err)
			require.Empty(t, all)
			require.Error(t, s.Resend(t.Context(), pgstore.Refused{Seq: 1}))
		})
	}
}

// Published events are dropped with their partition, others aren't.
func TestOutboxIsDropped(t *testing.T) {
	s, pool := newStore(t, pgstore.Partition(300*time.Millisecond))
	b, ch := edge(t)
	h := listen(t, ch, "paid")
	count := func() (n int) {
		require.NoError(t, pool.QueryRow(t.Context(), "select count(*) from "+s.Table("outbox")).Scan(&n))
		return n
	}
	publish := func(id string) {
		require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			return s.Publish(t.Context(), tx, b, in(id, Paid{Customer: "ada"}))
		}))
	}
	publish("1")
	for range 5 {
		pause(t, 300*time.Millisecond)
		require.NoError(t, s.KeepOnce(t.Context()))
	}
	require.Equal(t, 1, count())
	open, err := pool.Begin(t.Context()) // commits when its partition is about to be dropped
	require.NoError(t, err)
	require.NoError(t, s.Publish(t.Context(), open, b, in("2", Paid{Customer: "ada"})))
	stop := relaying(t, s, b)
	h.wait(t, 1)
	pause(t, 2*time.Second)
	require.NoError(t, open.Commit(t.Context()))
	h.wait(t, 2)
	require.Eventually(t, func() bool { return count() == 0 }, 20*time.Second, 50*time.Millisecond)
	stop()
}

func pause(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d) // the server's clock
	defer timer.Stop()
	<-timer.C
}

// The events of 16 writers, some of whom roll back or take their time, while the relay is
// killed again and again: what is published is what was committed, in the order of each
// key.
func TestRelayIsKilled(t *testing.T) {
	writers, each, kills := 16, 250, 50
	s, pool := newStore(t)
	b, ch := edge(t)
	h := listen(t, ch, "paid")
	keys := newBank(t, pool)
	for k := range 20 {
		_, err := pool.Exec(t.Context(), "insert into "+keys.table+" values ($1, 0)", fmt.Sprint(k))
		require.NoError(t, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var all sync.WaitGroup
		defer all.Wait()
		for w := range writers {
			all.Go(func() {
				r := rand.New(rand.NewPCG(uint64(w), 1))
				for range each {
					write(t, s, b, keys, r)
				}
			})
		}
	}()
	errs := make(chan error, 1)
	run := func(ctx context.Context) { errs <- s.Relay(ctx, b) }
	for range kills {
		ctx, cancel := context.WithCancel(t.Context())
		go run(ctx)
		pause(t, rand.N(60*time.Millisecond))
		if rand.N(2) == 0 { // as if its process, or its server's, were gone
			_, err := pool.Exec(t.Context(), "select pg_terminate_backend(pid) from pg_stat_activity where query like '%'||$1||'%' "+
				"and pid <> pg_backend_pid() and wait_event = 'ClientRead' and query like '%pg_current_snapshot%'", s.Table("outbox"))
			require.NoError(t, err)
		}
		cancel()
		require.ErrorIs(t, <-errs, context.Canceled)
	}
	<-done
	relaying(t, s, b)
	committed := 0
	for k := range 20 {
		var n int
		require.NoError(t, pool.QueryRow(t.Context(), "select cents from "+keys.table+" where id = $1", fmt.Sprint(k)).Scan(&n))
		committed += n
	}
	got := make(map[string]int)
	for _, e := range h.wait(t, committed) {
		got[e.Key()]++
		require.Equal(t, fmt.Sprintf("%s-%d", e.Key(), got[e.Key()]), e.ID(), "the order of a key")
	}
	t.Logf("%d events, each in the order of its key; %d were published again", committed, again(h))
}

func again(h *heard) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, times := range h.times {
		n += times - 1
	}
	return n
}

// write counts up some keys and publishes their numbers, and may think better of it.
func write(t *testing.T, s *pgstore.Store, b *bus.Bus, keys bank, r *rand.Rand) {
	t.Helper()
	errRolledBack := errors.New("rolled back")
	err := pgx.BeginFunc(t.Context(), keys.pool, func(tx pgx.Tx) error {
		if r.IntN(2) == 0 { // a number that is older than what it waits for
			if _, err := tx.Exec(t.Context(), "select pg_current_xact_id()"); err != nil {
				return err
			}
		}
		key, n := fmt.Sprint(r.IntN(20)), 0
		err := tx.QueryRow(t.Context(), "update "+keys.table+" set cents = cents + 1 where id = $1 returning cents", key).Scan(&n)
		if err != nil {
			return err
		}
		if err := s.Publish(t.Context(), tx, b, in(fmt.Sprintf("%s-%d", key, n), Paid{Customer: key})); err != nil {
			return err
		}
		if r.IntN(20) == 0 {
			pause(t, time.Duration(r.IntN(20))*time.Millisecond)
		}
		if r.IntN(10) == 0 {
			return errRolledBack
		}
		return nil
	})
	if err != nil && !errors.Is(err, errRolledBack) {
		t.Error(err)
	}
}
