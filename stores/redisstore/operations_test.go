package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/command/operationstest"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
	"github.com/leat-go/leat/internal/servicetest"
	"github.com/leat-go/leat/stores/redisstore"
)

// openOperations returns a store on a client of its own.
func openOperations(tb testing.TB, opts *redis.Options, cfg redisstore.OperationsConfig) (*redisstore.Operations, *redis.Client) {
	tb.Helper()
	client := redis.NewClient(opts)
	ops := redisstore.NewOperations(client, cfg)
	tb.Cleanup(func() {
		require.NoError(tb, ops.Close())
		_ = client.Close() // some tests have closed it
	})
	return ops, client
}

// private is a prefix that no other test has.
func private() string { return "test:" + event.NewID() + ":" }

func TestOperations(t *testing.T) {
	for name, protocol := range map[string]int{"RESP2": 2, "RESP3": 3} {
		t.Run(name, func(t *testing.T) {
			addr, prefix := servicetest.Addr(t, "redis"), private()
			operationstest.Run(t, func(tb testing.TB, keep time.Duration) command.Operations {
				tb.Helper()
				ops, _ := openOperations(tb, &redis.Options{Addr: addr, Protocol: protocol},
					redisstore.OperationsConfig{Prefix: prefix + tb.Name() + ":", Keep: keep})
				return ops
			})
		})
	}
}

// Of an operation the record goes at its time, and then the id, by their times to live.
func TestOperationsLeaveNothing(t *testing.T) {
	prefix := private()
	ops, client := openOperations(t, &redis.Options{Addr: servicetest.Addr(t, "redis")},
		redisstore.OperationsConfig{Prefix: prefix, Keep: 300 * time.Millisecond})
	o, err := ops.Create(t.Context(), command.Operation{ID: "a"})
	require.NoError(t, err)
	_, err = ops.Swap(t.Context(), o)
	require.NoError(t, err)
	for want := range 2 {
		require.Eventually(t, func() bool {
			keys, err := client.Keys(t.Context(), prefix+"*").Result()
			return err == nil && len(keys) == 1-want
		}, 10*time.Second, 10*time.Millisecond)
	}
	_, err = ops.Get(t.Context(), "a")
	require.ErrorIs(t, err, command.ErrNoOperation)
}

// counts are the commands that a client sends.
type counts struct{ n atomic.Int64 }

func (c *counts) DialHook(next redis.DialHook) redis.DialHook { return next }
func (c *counts) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.n.Add(1)
		return next(ctx, cmd)
	}
}

func (c *counts) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// Each call is one round trip, and one more after the scripts were flushed.
func TestOperationsAreOneRoundTrip(t *testing.T) {
	server := servicetest.Start(t, "redis")
	ops, client := openOperations(t, &redis.Options{Addr: server.Addr()}, redisstore.OperationsConfig{})
	require.NoError(t, client.Ping(t.Context()).Err()) // it is connected
	var sent counts
	client.AddHook(&sent)
	call := func(want int64, call func() error) {
		t.Helper()
		before := sent.n.Load()
		require.NoError(t, call())
		require.Equal(t, want, sent.n.Load()-before)
	}
	var o command.Operation
	for i := range 3 {
		id, want := fmt.Sprint(i), int64(2)
		if i == 1 {
			want = 1
		}
		call(want, func() (err error) { o, err = ops.Create(t.Context(), command.Operation{ID: id}); return err })
		call(want, func() (err error) { o, err = ops.Swap(t.Context(), o); return err })
		call(want, func() (err error) { o, err = ops.Get(t.Context(), id); return err })
		require.EqualValues(t, 2, o.Version)
		if i == 1 {
			require.NoError(t, client.ScriptFlush(t.Context()).Err())
		}
	}
}

// deaf is a connection that loses one answer when it is told to.
type deaf struct {
	net.Conn

	lose *atomic.Bool
}

func (d *deaf) Read(p []byte) (int, error) {
	n, err := d.Conn.Read(p)
	if n > 0 && d.lose.CompareAndSwap(true, false) {
		_ = d.Close()
		return 0, net.ErrClosed
	}
	return n, err
}

// A call whose answer was lost has its effect once: the client tries it again, and what it
// did itself is no conflict.
func TestOperationsWhoseAnswerIsLost(t *testing.T) {
	var lose atomic.Bool
	addr := servicetest.Addr(t, "redis")
	ops, _ := openOperations(t, &redis.Options{
		Addr: addr,
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return &deaf{conn, &lose}, err
		},
	}, redisstore.OperationsConfig{Prefix: private(), Keep: time.Minute})
	_, err := ops.Create(t.Context(), command.Operation{ID: "warm"}) // the script is there
	require.NoError(t, err)
	_, err = command.Change(t.Context(), ops, "warm", func(*command.Operation) bool { return true })
	require.NoError(t, err)

	lose.Store(true)
	o, err := ops.Create(t.Context(), command.Operation{ID: "a"})
	require.NoError(t, err)
	require.EqualValues(t, 1, o.Version)
	require.False(t, lose.Load())
	lose.Store(true)
	o, err = ops.Swap(t.Context(), o)
	require.NoError(t, err)
	require.EqualValues(t, 2, o.Version)
	require.False(t, lose.Load())
	got, err := ops.Get(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, o, got)
	_, err = ops.Create(t.Context(), command.Operation{ID: "a"})
	require.ErrorIs(t, err, command.ErrExists)
}

// Where Redis has no memory left, and evicts nothing, a new operation is refused.
func TestOperationsWithoutRoom(t *testing.T) {
	server := servicetest.Start(t, "redis")
	ops, client := openOperations(t, &redis.Options{Addr: server.Addr()}, redisstore.OperationsConfig{})
	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "1").Err())
	_, err := ops.Create(t.Context(), command.Operation{ID: "a"})
	require.ErrorIs(t, err, command.ErrFull)
	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "0").Err())
	_, err = ops.Create(t.Context(), command.Operation{ID: "a"})
	require.NoError(t, err)
}

// goroutines counts those in which a package's code runs.
func goroutines(of string) int {
	buf := make([]byte, 64<<20)
	n := 0
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(stack, of) {
			n++
		}
	}
	return n
}

// Ten thousand who watch a hundred operations take two goroutines and one connection, and
// nothing is left of them.
func TestManyWatchersShareAConnection(t *testing.T) {
	const watchers, ids = 10_000, 100
	prefix := private()
	ops, client := openOperations(t, &redis.Options{Addr: servicetest.Addr(t, "redis")},
		redisstore.OperationsConfig{Prefix: prefix, Keep: time.Minute})
	subscribed := func() int {
		channels, err := client.PubSubChannels(t.Context(), prefix+"*").Result()
		require.NoError(t, err)
		return len(channels)
	}
	var woken sync.WaitGroup
	stops := make([]func(), watchers)
	woken.Add(watchers)
	for i := range watchers {
		var once sync.Once
		stop, err := ops.Watch(t.Context(), fmt.Sprint(i%ids), func() { once.Do(woken.Done) })
		require.NoError(t, err)
		stops[i] = stop
	}
	require.Equal(t, ids, subscribed())
	n := goroutines("redisstore.(*listener)")
	require.LessOrEqual(t, n, 2)
	require.Positive(t, n)
	for i := range ids {
		_, err := ops.Create(t.Context(), command.Operation{ID: fmt.Sprint(i)})
		require.NoError(t, err)
	}
	woken.Wait()
	for _, stop := range stops {
		stop()
	}
	require.Eventually(t, func() bool { return subscribed() == 0 }, 10*time.Second, 10*time.Millisecond)
	require.NoError(t, ops.Close())
	require.Zero(t, goroutines("redisstore.(*listener)"))
}

// What isn't used is given up: nothing runs for a store that nobody watches any more.
func TestAConnectionThatNobodyUsesIsClosed(t *testing.T) {
	ops, _ := openOperations(t, &redis.Options{Addr: servicetest.Addr(t, "redis")}, redisstore.OperationsConfig{Prefix: private()})
	for range 2 {
		stop, err := ops.Watch(t.Context(), "a", func() {})
		require.NoError(t, err)
		stop()
		require.Eventually(t, func() bool { return goroutines("redisstore.(*listener)") == 0 }, 20*time.Second, 50*time.Millisecond)
	}
}

func TestWatchAfterClose(t *testing.T) {
	addr := servicetest.Addr(t, "redis")
	ops, client := openOperations(t, &redis.Options{Addr: addr}, redisstore.OperationsConfig{Prefix: private(), Keep: time.Minute})
	stop, err := ops.Watch(t.Context(), "a", func() {})
	require.NoError(t, err)
	require.NoError(t, ops.Close())
	require.NoError(t, ops.Close())
	stop()
	_, err = ops.Watch(t.Context(), "a", func() {})
	require.ErrorIs(t, err, event.ErrClosed)
	_, err = ops.Create(t.Context(), command.Operation{ID: "a"})
	require.NoError(t, err, "all else goes on")

	ops = redisstore.NewOperations(client, redisstore.OperationsConfig{Prefix: private()})
	_, err = ops.Watch(t.Context(), "a", func() {})
	require.NoError(t, err)
	require.NoError(t, client.Close())
	_, err = ops.Watch(t.Context(), "b", func() {})
	require.Error(t, err)
	require.Eventually(t, func() bool { return goroutines("redisstore.(*listener)") == 0 }, 10*time.Second, 10*time.Millisecond,
		"no client, no goroutine")
	_, err = ops.Watch(t.Context(), "b", func() {})
	require.Error(t, err)
}

// Who may not subscribe is told so, and who asks a server that hangs waits no longer than
// it wants to.
func TestWatchIsRefused(t *testing.T) {
	server := servicetest.Start(t, "redis")
	_, admin := openOperations(t, &redis.Options{Addr: server.Addr()}, redisstore.OperationsConfig{})
	require.NoError(t, admin.Do(t.Context(), "ACL", "SETUSER", "mute", "on", "nopass", "~*", "+@all", "resetchannels").Err())
	ops, _ := openOperations(t, &redis.Options{Addr: server.Addr(), Username: "mute", Password: "x"}, redisstore.OperationsConfig{})
	patient, end := context.WithTimeout(t.Context(), time.Minute)
	defer end()
	_, err := ops.Watch(patient, "a", func() {})
	require.ErrorContains(t, err, "NOPERM")

	ops, _ = openOperations(t, &redis.Options{Addr: server.Addr()}, redisstore.OperationsConfig{})
	_, err = ops.Watch(t.Context(), "a", func() {})
	require.NoError(t, err)
	server.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = ops.Watch(ctx, "b", func() {})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = ops.Watch(t.Context(), "a", func() {})
	require.NoError(t, err, "that is subscribed to")
	server.Resume()

	_, err = redisstore.NewOperations(redis.NewRing(&redis.RingOptions{}), redisstore.OperationsConfig{}).Watch(t.Context(), "a", func() {})
	require.Error(t, err)
}

// final watches an operation until it is final, whatever happens to the server meanwhile.
func final(ctx context.Context, ops command.Operations, id string) (command.Operation, error) {
	var last command.Operation
	for ctx.Err() == nil {
		for o, err := range command.Watch(ctx, ops, id, last.Version) {
			if err != nil {
				break // the server is gone: once more
			}
			if last = o; o.State.Final() {
				return o, nil
			}
		}
		select { // as whoever asks again would
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	return last, context.Cause(ctx)
}

// Redis is killed again and again while operations change: who watches sees the end of
// each, and wakes alone tell of it.
func TestRedisIsKilledWhileOperationsAreWatched(t *testing.T) {
	const kills, ids, watchers = 10, 20, 10
	server := servicetest.Start(t, "redis")
	watching, _ := openOperations(t, &redis.Options{Addr: server.Addr()}, redisstore.OperationsConfig{})
	changing, _ := openOperations(t, &redis.Options{Addr: server.Addr(), MaxRetries: -1}, redisstore.OperationsConfig{})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for round := range kills {
		id := func(i int) string { return fmt.Sprint(round, "-", i) }
		var all sync.WaitGroup
		var woken [ids]atomic.Int64
		for i := range ids {
			_, err := changing.Create(ctx, command.Operation{ID: id(i), State: command.Accepted})
			require.NoError(t, err)
			stop, err := watching.Watch(ctx, id(i), func() { woken[i].Add(1) })
			require.NoError(t, err)
			t.Cleanup(stop)
			for range watchers {
				all.Go(func() {
					o, err := final(ctx, watching, id(i))
					if err != nil || o.State != command.Succeeded {
						t.Errorf("%s ended as %q, %v", o.ID, o.State, err)
					}
				})
			}
		}
		var changes sync.WaitGroup
		begun := make(chan struct{}, ids)
		for i := range ids {
			changes.Go(func() { steps(ctx, t, changing, id(i), begun) })
		}
		<-begun
		server.Kill()
		server.Start()
		changes.Wait()
		all.Wait()
		for i := range ids {
			require.Positive(t, woken[i].Load())
		}
	}
}

// steps drives an operation to its end, through the death of the server.
func steps(ctx context.Context, t *testing.T, ops command.Operations, id string, begun chan<- struct{}) {
	t.Helper()
	for ctx.Err() == nil {
		o, err := command.Change(ctx, ops, id, func(o *command.Operation) bool {
			o.Attempt++
			o.State = command.Running
			if o.Attempt >= 50 {
				o.State = command.Succeeded
			}
			return true
		})
		switch {
		case err == nil && o.State.Final():
			return
		case errors.Is(err, command.ErrNoOperation):
			t.Errorf("%s is lost", id)
			return
		}
		select {
		case begun <- struct{}{}:
		default:
		}
	}
}

// Changes that came while the connection was down are told when it is up again.
func TestWhatChangedDuringAnOutageIsTold(t *testing.T) {
	server := servicetest.Start(t, "redis")
	var cut atomic.Bool
	var conns sync.Map
	watching, _ := openOperations(t, &redis.Options{
		Addr: server.Addr(),
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if cut.Load() {
				return nil, errors.New("no way")
			}
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if err == nil {
				conns.Store(conn, nil)
			}
			return conn, err
		},
	}, redisstore.OperationsConfig{})
	changing, _ := openOperations(t, &redis.Options{Addr: server.Addr()}, redisstore.OperationsConfig{})
	woken := make(chan struct{}, 100)
	o, err := changing.Create(t.Context(), command.Operation{ID: "a"})
	require.NoError(t, err)
	_, err = watching.Watch(t.Context(), "a", func() { woken <- struct{}{} })
	require.NoError(t, err)

	cut.Store(true)
	conns.Range(func(conn, _ any) bool {
		require.NoError(t, conn.(net.Conn).Close())
		return true
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = watching.Watch(ctx, "b", func() {})
	require.ErrorContains(t, err, "no way", "who begins to watch meanwhile is told")
	_, err = changing.Swap(t.Context(), o)
	require.NoError(t, err)
	require.Empty(t, woken)
	cut.Store(false)
	select {
	case <-woken:
	case <-time.After(20 * time.Second):
		require.Fail(t, "nobody was woken")
	}
}

// A server that hangs, with its connections open, is given up, and who watched is woken
// when it goes on.
func TestAServerThatHangsIsGivenUp(t *testing.T) {
	server := servicetest.Start(t, "redis")
	ops, _ := openOperations(t, &redis.Options{Addr: server.Addr()}, redisstore.OperationsConfig{})
	woken := make(chan struct{}, 100)
	_, err := ops.Watch(t.Context(), "a", func() { woken <- struct{}{} })
	require.NoError(t, err)
	server.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = ops.Watch(ctx, "b", func() {})
	require.Error(t, err)
	require.NoError(t, ctx.Err(), "it was not waited for any longer")
	server.Resume()
	select {
	case <-woken:
	case <-time.After(20 * time.Second):
		require.Fail(t, "nobody was woken")
	}
}

// One value has all the stores, with the names that each has by itself.
func TestStore(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: servicetest.Start(t, "redis").Addr()})
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	store := redisstore.New(client)
	first := store.Operations()
	require.Same(t, first, store.Operations())
	ctx := t.Context()
	_, err := store.Operations().Create(ctx, command.Operation{ID: "1", Name: "n", State: command.Accepted})
	require.NoError(t, err)
	o, err := redisstore.NewOperations(client, redisstore.OperationsConfig{}).Get(ctx, "1")
	require.NoError(t, err)
	require.Equal(t, "n", o.Name)
	require.NoError(t, store.Payloads().Put(ctx, "a", []byte("x"), time.Minute))
	data, err := redisstore.NewPayloads(client, redisstore.PayloadConfig{}).Get(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, "x", string(data))
	key := idempotency.Key{Group: "g", ID: "1"}
	g, err := store.Idempotency().Claim(ctx, key, idempotency.Claim{Lease: time.Minute})
	require.NoError(t, err)
	require.Equal(t, idempotency.Claimed, g.State)
	g, err = redisstore.NewIdempotency(client, redisstore.IdempotencyConfig{}).Claim(ctx, key, idempotency.Claim{Lease: time.Minute})
	require.NoError(t, err)
	require.Equal(t, idempotency.Busy, g.State)
	require.NoError(t, store.Close())
}
