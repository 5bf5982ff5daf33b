package bridgeredis_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

// collect receives and settles until all ids 0 to n-1 have come.
func collect(t *testing.T, c event.Consumer, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got := make(map[string]bool)
	buf := make([]event.Delivery, 8)
	for len(got) < n {
		k, err := c.Receive(ctx, buf)
		require.NoError(t, err, "got %d of %d", len(got), n)
		for _, d := range buf[:k] {
			got[d.Event.ID()] = true
			_, ok := c.Begin(d.Token)
			require.True(t, ok)
			require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Ack(d.Token)}))
		}
	}
}

func shut(t *testing.T, ch *watermillbridge.Channel, cs ...event.Consumer) {
	t.Helper()
	for _, c := range cs {
		require.NoError(t, c.Close(t.Context()))
	}
	require.NoError(t, ch.Close(t.Context()))
}

// cables are the connections of a client.
type cables struct {
	mu   sync.Mutex
	down bool
	all  []net.Conn
}

func (c *cables) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c.mu.Lock()
	down := c.down
	c.mu.Unlock()
	if down {
		return nil, net.ErrClosed
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, conn)
	return conn, nil
}

// cut breaks all connections; down: and lets none be made.
func (c *cables) cut(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = down
	for _, conn := range c.all {
		_ = conn.Close()
	}
	c.all = nil
}

// Connections that break lose nothing.
func TestConnectionsBreak(t *testing.T) {
	cfg, net := config(t), new(cables)
	cfg.Redis.Dialer, cfg.MaxHold = net.dial, 2*time.Second
	ch, topic := openWith(t, cfg), name(t, "orders")
	c := join(t, ch, "g", topic)
	var broken sync.WaitGroup
	done := make(chan struct{})
	broken.Go(func() {
		for {
			select {
			case <-time.After(50 * time.Millisecond):
				net.cut(false)
			case <-done:
				return
			}
		}
	})
	p, err := open(t).Producer(t.Context(), topic)
	require.NoError(t, err)
	for i := range 300 {
		require.NoError(t, p.Produce(t.Context(), event.New("/t", "e", nil).WithID(itoa(i))))
	}
	collect(t, c, 300)
	close(done)
	broken.Wait()
	shut(t, ch, c)
}

// A server that is away keeps nobody from closing.
func TestCloseWithoutServer(t *testing.T) {
	cfg, net := config(t), new(cables)
	cfg.Redis.Dialer = net.dial
	ch, topic := openWith(t, cfg), name(t, "orders")
	c := join(t, ch, "g", topic)
	produce(t, ch, topic, 20)
	_, err := c.Receive(t.Context(), make([]event.Delivery, 1))
	require.NoError(t, err)
	net.cut(true)
	began := time.Now()
	_ = c.Close(t.Context())
	_ = ch.Close(t.Context())
	require.Less(t, time.Since(began), 20*time.Second)
}

// A group that somebody removes is made again, and begins at the earliest event.
func TestGroupIsRemoved(t *testing.T) {
	rdb, ch, topic := client(t), open(t), name(t, "orders")
	c := join(t, ch, "g", topic)
	produce(t, ch, topic, 10)
	collect(t, c, 10)
	require.NoError(t, rdb.XGroupDestroy(t.Context(), topic, "g").Err())
	collect(t, c, 10)
	require.NoError(t, rdb.Del(t.Context(), topic).Err())
	produce(t, ch, topic, 10)
	collect(t, c, 10)
	shut(t, ch, c)
}

// Streams that a group alone reads keep nothing that it has settled.
func TestOwnStreamsAreTrimmed(t *testing.T) {
	rdb, ch, topic := client(t), open(t), name(t, "orders")
	c := join(t, ch, "g", topic)
	require.NoError(t, ch.ProduceTo(t.Context(), "g", topic, event.MarkNone, event.New("/t", "e", nil).WithID("0")))
	collect(t, c, 1)
	empty := func(stream string) func() bool {
		return func() bool { n, err := rdb.XLen(t.Context(), stream).Result(); return err == nil && n == 0 }
	}
	require.Eventually(t, empty(topic+".g.redrive"), 10*time.Second, 10*time.Millisecond)
	produce(t, ch, topic, 3)
	buf := make([]event.Delivery, 1)
	for range 3 {
		_, err := c.Receive(t.Context(), buf)
		require.NoError(t, err)
		require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Dead(buf[0].Token, event.Cause{Code: "x"})}))
	}
	for range 3 {
		for l, err := range ch.DeadLetters(t.Context(), topic, "g") {
			require.NoError(t, err)
			require.NotEmpty(t, l.Handle)
		}
	}
	n, err := rdb.XLen(t.Context(), topic+".g.dead").Result()
	require.NoError(t, err)
	require.EqualValues(t, 3, n, "each look puts them back")
	for l, err := range ch.DeadLetters(t.Context(), topic, "g") {
		require.NoError(t, err)
		require.NoError(t, ch.Discard(t.Context(), l))
	}
	require.Eventually(t, empty(topic+".g.dead"), 10*time.Second, 10*time.Millisecond)
	shut(t, ch, c)
}

// What all groups have settled goes when it is old; what one has not had, or not settled,
// stays, and all that is newer.
func TestRetention(t *testing.T) {
	cfg, rdb := config(t), client(t)
	cfg.Retention, cfg.MaxHold = time.Second, time.Minute
	ch, topic := openWith(t, cfg), name(t, "orders")
	stays := func(why string) {
		t.Helper()
		require.Never(t, func() bool {
			n, err := rdb.XLen(t.Context(), topic).Result()
			return err != nil || n < 500
		}, 2500*time.Millisecond, 100*time.Millisecond, why)
	}
	produce(t, ch, topic, 500)
	stays("it has no group")
	a, b := join(t, ch, "a", topic), join(t, ch, "b", topic)
	collect(t, a, 500)
	stays("one group has settled all, the other nothing")
	var first event.Token
	buf := make([]event.Delivery, 8)
	for n := 0; n < 500; {
		k, err := b.Receive(t.Context(), buf)
		require.NoError(t, err)
		n += k
		for _, d := range buf[:k] {
			if d.Event.ID() == "0" {
				first = d.Token
				continue
			}
			require.NoError(t, b.Settle(t.Context(), []event.Settlement{event.Ack(d.Token)}))
		}
	}
	stays("the other has settled all but the first")
	require.NoError(t, b.Settle(t.Context(), []event.Settlement{event.Ack(first)}))
	require.Eventually(t, func() bool {
		n, err := rdb.XLen(t.Context(), topic).Result()
		return err == nil && n <= 100 // whole nodes go, of 100 entries
	}, 10*time.Second, 100*time.Millisecond)
	produce(t, ch, topic, 5)
	collect(t, a, 5)
	shut(t, ch, a, b)
}

// A consumer that has something in hand stays in its group: it would be lost with it.
func TestLeavesNothingBehind(t *testing.T) {
	rdb, ch, topic := client(t), open(t), name(t, "orders")
	c := join(t, ch, "g", topic)
	produce(t, ch, topic, 4)
	require.Eventually(t, func() bool { return len(pending(t, rdb, "g", topic, 0)) == 4 }, 10*time.Second, 10*time.Millisecond)
	require.NoError(t, c.Close(t.Context()))
	left, err := rdb.XInfoConsumers(t.Context(), topic, "g").Result()
	require.NoError(t, err)
	require.Len(t, left, len(pending(t, rdb, "g", topic, 0)), "those with something in hand alone")
	c = join(t, ch, "g", topic)
	collect(t, c, 4)
	shut(t, ch, c)
}
