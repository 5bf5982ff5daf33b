//go:build synctests

package kafka_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
)

// hole swallows what is sent to a broker while it is open, as a broker that hangs does.
type hole struct {
	mu   sync.Mutex
	open map[string]bool // by address
}

func (h *hole) set(address string, open bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open[address] = open
}

func (h *hole) isOpen(address string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open[address]
}

// through returns a dialer whose connections may fall into the hole.
func (h *hole) through(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return swallowed{conn, h, address}, err
	}
}

type swallowed struct {
	net.Conn

	h       *hole
	address string
}

func (s swallowed) Write(b []byte) (int, error) {
	if s.h.isOpen(s.address) {
		return len(b), nil
	}
	return s.Conn.Write(b)
}

// A member that closes while a broker hangs is done within the time that it was given,
// and a little.
func TestBubbleCloseWhileABrokerHangs(t *testing.T) {
	for _, after := range []time.Duration{0, time.Second, 5 * time.Second, 6 * time.Second, 7 * time.Second, 8 * time.Second, 12 * time.Second, 20 * time.Second, 40 * time.Second} {
		for broker := range 3 {
			t.Run(fmt.Sprint(after, " ", broker), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFake(t, 3, 12)
					h := &hole{open: make(map[string]bool)}
					f.cfg.Dialer = h.through(f.cfg.Dialer)
					ch := f.channel()
					some := func(d event.Delivery) bool { return d.Position.Offset%10 == 0 }
					a, b := join(t, ch, "g", "topic", some), join(t, f.channel(), "g", "topic", some)
					for i := range 20 {
						put(t, ch, "topic", numbers(100*i, 100)...)
						time.Sleep(50 * time.Millisecond) // virtual
					}
					h.set(f.cfg.Brokers[broker], true)
					time.Sleep(after) // virtual
					for _, m := range []*hand{a, b} {
						start := time.Now()
						ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
						_ = m.Close(ctx)
						cancel()
						assert.LessOrEqual(t, time.Since(start), 20*time.Second)
						<-m.done
					}
					h.set(f.cfg.Brokers[broker], false)
					c := join(t, ch, "g", "topic", nil)
					eventually(t, "what was held is handled", func() bool { return len(c.got()) > 0 })
					require.NoError(t, ch.Quiet(t.Context(), "g"))
					c.leave(t)
				})
			})
		}
	}
}
