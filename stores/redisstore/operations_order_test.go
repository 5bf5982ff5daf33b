package redisstore_test

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/internal/servicetest"
	"github.com/leat-go/leat/stores/redisstore"
)

// gates hold up what goes over connections: answers, and commands that subscribe.
type gates struct {
	mu         sync.Mutex
	reads      chan struct{} // closed: nothing is held up
	subscribes chan struct{}
	seen       int // commands that subscribe
}

func (g *gates) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	return &gated{conn, g}, err
}

func (g *gates) subscribed() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.seen
}

// hold holds something up until open is called.
func (g *gates) hold(gate *chan struct{}) (open func()) {
	c := make(chan struct{})
	g.mu.Lock()
	defer g.mu.Unlock()
	*gate = c
	return sync.OnceFunc(func() { close(c) })
}

func (g *gates) pass(gate *chan struct{}) {
	g.mu.Lock()
	c := *gate
	g.mu.Unlock()
	if c != nil {
		<-c
	}
}

type gated struct {
	net.Conn

	gates *gates
}

func (c *gated) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.gates.pass(&c.gates.reads)
	return n, err
}

func (c *gated) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("\nsubscribe\r")) {
		c.gates.pass(&c.gates.subscribes)
		c.gates.mu.Lock()
		c.gates.seen++
		c.gates.mu.Unlock()
	}
	return c.Conn.Write(p)
}

// Who comes while the answer to somebody who gave up is on its way shares that answer:
// nothing has been told meanwhile that would make it wrong.
func TestTheAnswerToWhoGaveUpIsGood(t *testing.T) {
	addr, prefix := servicetest.Addr(t, "redis"), private()
	var g gates
	cfg := redisstore.OperationsConfig{Prefix: prefix, Keep: time.Minute}
	watching, _ := openOperations(t, &redis.Options{Addr: addr, Dialer: g.dial}, cfg)
	changing, _ := openOperations(t, &redis.Options{Addr: addr}, cfg)
	_, err := watching.Watch(t.Context(), "first", func() {}) // it is connected
	require.NoError(t, err)

	answers := g.hold(&g.reads)
	defer answers()
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error, 1)
	go func() {
		_, err := watching.Watch(ctx, "a", func() {})
		gaveUp <- err
	}()
	require.Eventually(t, func() bool { return g.subscribed() == 2 }, 10*time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-gaveUp, context.Canceled)

	woken, watches := make(chan struct{}, 10), make(chan error, 1)
	go func() {
		_, err := watching.Watch(t.Context(), "a", func() { woken <- struct{}{} })
		watches <- err
	}()
	require.Eventually(t, func() bool { return goroutines("redisstore.(*listener).watch(") == 1 }, 10*time.Second, time.Millisecond)
	more := g.hold(&g.subscribes)
	defer more()
	answers()
	require.NoError(t, <-watches)
	_, err = changing.Create(t.Context(), command.Operation{ID: "a"})
	require.NoError(t, err)
	select {
	case <-woken:
	case <-time.After(10 * time.Second):
		require.Fail(t, "a change went unnoticed")
	}
}
