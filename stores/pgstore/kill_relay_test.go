package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/kafkatest"
	"github.com/leat-go/leat/internal/killtest"
	"github.com/leat-go/leat/internal/servicetest"
	"github.com/leat-go/leat/stores/pgstore"
)

type relayTask struct {
	Postgres, Schema string
	Brokers          []string
}

// TestRelayProcess is a relay that is killed.
func TestRelayProcess(t *testing.T) {
	var task relayTask
	if !killtest.Task(&task) {
		return // a part of TestRelayIsKilledOnKafka
	}
	points := &killtest.Points{}
	b := bus.New(bus.Config{App: "shop", Channel: points.Channel(kafka.New(kafka.Config{Brokers: task.Brokers}))})
	require.NoError(t, b.Start(t.Context()))
	require.NoError(t, pgstore.New(connect(t, task.Postgres), pgstore.Schema(task.Schema)).Relay(t.Context(), b))
}

// 16 writers publish 100,000 events, roll some back and take their time with others, while
// the relay is killed 50 times: in Kafka is what was committed, in the order of each key.
func TestRelayIsKilledOnKafka(t *testing.T) {
	servicetest.Long(t)
	const writers, events, kills, keys = 16, 100_000, 50, 200
	brokers := kafkatest.Brokers(t)
	topic := "relayed-" + strings.ToLower(event.NewID())
	killtest.RemoveAtEnd(t, brokers, topic)
	ch := kafka.New(kafka.Config{Brokers: brokers})
	t.Cleanup(func() { require.NoError(t, ch.Close(context.WithoutCancel(t.Context()))) })
	require.NoError(t, ch.EnsureTopic(t.Context(), event.TopicSpec{Name: topic, Partitions: 6}))
	pool := connect(t, servicetest.Addr(t, "postgres"))
	schema := schemaName(t, pool)
	s := pgstore.New(pool, pgstore.Schema(schema))
	require.NoError(t, s.Migrate(t.Context()))
	w := &manyWriters{s: s, b: bus.New(bus.Config{App: "shop", Channel: memory.New()}), topic: topic, keys: newBank(t, pool), n: keys}
	for k := range keys {
		_, err := pool.Exec(t.Context(), "insert into "+w.keys.table+" values ($1, 0)", fmt.Sprintf("k%03d", k))
		require.NoError(t, err)
	}
	_, err := pool.Exec(t.Context(), "create unique index on "+w.keys.table+" (id)")
	require.NoError(t, err)
	w.more, w.most = sync.NewCond(&w.mu), 2*events/kills

	began := time.Now()
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() { w.write(t, rand.New(rand.NewPCG(uint64(i), 2)), events) })
	}
	start := func() *killtest.Process {
		p, err := killtest.Start(t.Context(), "TestRelayProcess", relayTask{servicetest.Addr(t, "postgres"), schema, brokers})
		require.NoError(t, err)
		return p
	}
	for i := range kills {
		p := start()
		w.await((i + 1) * events / kills)
		if i%2 == 0 { // in the middle of its first publish, or of the next ones
			select {
			case <-p.Working():
			case <-p.Ended():
			case <-time.After(time.Minute):
				require.FailNow(t, "nothing is published")
			}
			pause(t, rand.N(50*time.Millisecond))
		} else {
			pause(t, rand.N(time.Second))
		}
		p.Kill()
		require.True(t, p.Killed(), "it ended by itself")
		w.letWrite((i + 3) * events / kills)
	}
	all.Wait()
	wrote := time.Since(began)
	defer start().Kill()
	require.Eventually(t, func() bool { return outboxOf(t, s) == 0 }, 2*time.Minute, 50*time.Millisecond)
	took := time.Since(began)

	want := make(map[string]int)
	rows, err := pool.Query(t.Context(), "select id, cents from "+w.keys.table)
	require.NoError(t, err)
	var key string
	var n int
	_, err = pgx.ForEachRow(rows, []any{&key, &n}, func() error { want[key] = n; return nil })
	require.NoError(t, err)
	records, err := killtest.Read(t.Context(), brokers, topic)
	require.NoError(t, err)
	got, again := make(map[string]int), 0
	var wrong []string
	for _, r := range records {
		key, digits, _ := strings.Cut(killtest.ID(r), "-")
		switch n, _ := strconv.Atoi(digits); {
		case n == got[key]+1:
			got[key] = n
		case n <= got[key]:
			again++
		default:
			wrong = append(wrong, fmt.Sprintf("%s-%d behind %d", key, n, got[key]))
		}
	}
	require.Empty(t, wrong[:min(len(wrong), 10)], "the order of keys: %d in all", len(wrong))
	requireSame(t, want, got)
	total := 0
	for _, n := range want {
		total += n
	}
	assert.GreaterOrEqual(t, total, events)
	assert.Positive(t, again, "no relay was killed while it published")
	t.Logf("%d events of %d transactions (%d rolled back) in %v, all published after %v; %d kills; %d came again",
		total, w.committed.Load(), w.rolledBack.Load(), wrote.Round(time.Second), took.Round(time.Second), kills, again)
}

// manyWriters count keys up, and publish their numbers.
type manyWriters struct {
	s     *pgstore.Store
	b     *bus.Bus
	topic string
	keys  bank
	n     int // keys

	committed, rolledBack atomic.Int64 // transactions

	mu    sync.Mutex
	more  *sync.Cond
	wrote int // events that were committed
	most  int // that are to be: the writers don't end before the kills
}

// await waits until so many events were committed.
func (w *manyWriters) await(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.wrote < n {
		w.more.Wait()
	}
}

func (w *manyWriters) letWrite(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.most = n
	w.more.Broadcast()
}

func (w *manyWriters) add(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrote += n
	w.more.Broadcast()
}

// mayWrite waits until more is to be written, and reports whether there is any more.
func (w *manyWriters) mayWrite(events int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.wrote >= w.most && w.wrote < events {
		w.more.Wait()
	}
	return w.wrote < events
}

// write writes until all writers together have written so many events.
func (w *manyWriters) write(t *testing.T, r *rand.Rand, events int) {
	t.Helper()
	errRolledBack := errors.New("rolled back")
	for w.mayWrite(events) {
		n := 0
		err := pgx.BeginFunc(t.Context(), w.keys.pool, func(tx pgx.Tx) error {
			n = 0
			return w.transact(t, tx, r, &n, errRolledBack)
		})
		switch {
		case err == nil:
			w.committed.Add(1)
			w.add(n)
		case errors.Is(err, errRolledBack):
			w.rolledBack.Add(1)
		default:
			t.Error(err)
			w.add(events) // nobody waits for more
			return
		}
	}
}

func (w *manyWriters) transact(t *testing.T, tx pgx.Tx, r *rand.Rand, written *int, rollback error) error {
	t.Helper()
	if r.IntN(2) == 0 { // a number that is older than what it waits for
		if _, err := tx.Exec(t.Context(), "select pg_current_xact_id()"); err != nil {
			return err
		}
	}
	var keys []string
	for range 1 + r.IntN(3) {
		keys = append(keys, fmt.Sprintf("k%03d", r.IntN(w.n)))
	}
	slices.Sort(keys) // no deadlocks
	for _, key := range slices.Compact(keys) {
		n, last := 1+r.IntN(12), 0
		err := tx.QueryRow(t.Context(), "update "+w.keys.table+" set cents = cents + $2 where id = $1 returning cents", key, n).Scan(&last)
		if err != nil {
			return err
		}
		for i := last - n + 1; i <= last; i++ {
			e := in(fmt.Sprintf("%s-%d", key, i), Paid{Customer: key})
			if err := w.s.Publish(t.Context(), tx, w.b, e, bus.Topic(w.topic)); err != nil {
				return err
			}
		}
		*written += n
	}
	if r.IntN(100) == 0 { // with its locks
		pause(t, time.Duration(r.IntN(100))*time.Millisecond)
	}
	if r.IntN(10) == 0 {
		return rollback
	}
	return nil
}
