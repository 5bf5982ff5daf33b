package pgstore_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// gated is a channel whose first produce to a topic waits for a gate.
type gated struct {
	*memory.Channel

	calls   atomic.Int64
	arrived chan struct{}
	gate    chan struct{}
}

func (c *gated) Producer(ctx context.Context, topic string) (event.Producer, error) {
	p, err := c.Channel.Producer(ctx, topic)
	return gatedProducer{p, c}, err
}

type gatedProducer struct {
	event.Producer

	c *gated
}

func (p gatedProducer) Produce(ctx context.Context, events ...event.Event) error {
	if p.c.calls.Add(1) == 1 {
		close(p.c.arrived)
		<-p.c.gate
	}
	return p.Producer.Produce(ctx, events...)
}

// A page that can't be read isn't the end of a span.
func TestRelayIsInterruptedWhileItReads(t *testing.T) {
	s, pool := newStore(t)
	ch := &gated{Channel: memory.New(memory.Capacity(100_000)), arrived: make(chan struct{}), gate: make(chan struct{})}
	b, _ := startedWith(t, ch, func(*bus.Bus) {})
	h := listen(t, ch.Channel, "paid")
	const n = 5000 // three pages
	_, err := pool.Exec(t.Context(), "select "+s.Table("put")+`(false, array_agg('paid'::text), array_agg('k'::text), array_agg(i::text order by i), array_agg('paid'::text),
		array_agg('{"specversion":"1.0","id":"' || i || '","source":"/s","type":"paid"}' order by i)) from generate_series(1, $1) i`, n)
	require.NoError(t, err)
	relaying(t, s, b)
	<-ch.arrived // the first page is on its way, and the second read
	var pid int
	require.Eventually(t, func() bool {
		err := pool.QueryRow(t.Context(), "select pid from pg_stat_activity where query like '%' || $1 || '%' and state = 'idle' "+
			"and query like '%pg_visible_in_snapshot%' and pid <> pg_backend_pid()", s.Table("outbox")).Scan(&pid)
		return err == nil
	}, 10*time.Second, 5*time.Millisecond)
	lock, err := pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = lock.Exec(t.Context(), "lock table "+s.Table("outbox")+" in access exclusive mode")
	require.NoError(t, err)
	close(ch.gate)
	require.Eventually(t, func() bool { // it waits to read the third
		var cancelled bool
		err := pool.QueryRow(t.Context(), "select pg_cancel_backend(pid) from pg_stat_activity where pid = $1 and wait_event_type = 'Lock'", pid).
			Scan(&cancelled)
		return err == nil && cancelled
	}, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, lock.Rollback(t.Context()))
	h.wait(t, n)
}
