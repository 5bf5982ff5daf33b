package kafka

import (
	"context"
	"net"
	"os"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

// Cuts is the networks of a channel's consumers. It must be made before them.
type Cuts struct {
	mu sync.Mutex
	of map[*consumer]*network
}

// network is one that can fail: then nothing gets through it, and nobody says so.
type network struct {
	mu    sync.Mutex
	off   chan struct{} // closed when it works again; nil: it works
	conns []*wire
}

// NewCuts lets consumers of ch be cut off.
func NewCuts(ch *Channel) *Cuts {
	cuts := &Cuts{of: make(map[*consumer]*network)}
	ch.onDial = func(c *consumer, d dialFunc) dialFunc { return cuts.network(c).wrap(d) }
	return cuts
}

func (x *Cuts) network(c *consumer) *network {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.of[c] == nil {
		x.of[c] = new(network)
	}
	return x.of[c]
}

// Crash cuts a consumer off for ever: no broker hears of it again.
func (x *Cuts) Crash(c event.Consumer) { x.network(c.(*consumer)).cut() }

// Mend ends a Crash: brokers can be reached again.
func (x *Cuts) Mend(c event.Consumer) { x.network(c.(*consumer)).mend() }

// CrashAfterDead cuts a consumer off when its next dead letter is durable, before the
// event is settled.
func (x *Cuts) CrashAfterDead(c event.Consumer) {
	c.(*consumer).afterLetters = func() { x.Crash(c) }
}

// Has reports whether a consumer is of the channel.
func (x *Cuts) Has(c event.Consumer) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.of[c.(*consumer)] != nil
}

// Break breaks a consumer's connections, which are made anew. With deaf the brokers
// still get the next request of each, and nobody gets the answers.
func (x *Cuts) Break(c event.Consumer, deaf bool) {
	n := x.network(c.(*consumer))
	n.mu.Lock()
	conns := n.conns
	n.conns = nil
	n.mu.Unlock()
	for _, conn := range conns {
		if deaf {
			conn.deaf.Store(true)
		} else {
			_ = conn.Close()
		}
	}
}

// wire is a connection that can become deaf: it breaks when it is answered.
type wire struct {
	net.Conn

	deaf atomic.Bool
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if w.deaf.Load() {
		_ = w.Close()
		return 0, net.ErrClosed
	}
	return n, err
}

func (n *network) wrap(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		n.mu.Lock()
		off := n.off
		n.mu.Unlock()
		if off != nil {
			select {
			case <-off:
			case <-ctx.Done():
				return nil, &net.OpError{Op: "dial", Net: network, Err: os.ErrDeadlineExceeded}
			}
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.off != nil {
			_ = conn.Close()
			return nil, &net.OpError{Op: "dial", Net: network, Err: os.ErrDeadlineExceeded}
		}
		w := &wire{Conn: conn}
		n.conns = append(n.conns, w)
		return w, nil
	}
}

func (n *network) cut() {
	n.mu.Lock()
	conns := n.conns
	if n.off == nil {
		n.off = make(chan struct{})
	}
	n.conns = nil
	n.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

func (n *network) mend() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.off != nil {
		close(n.off)
		n.off = nil
	}
}

// Most is how many records of a partition a member has open at once.
const Most = most

// AtTransact calls f at points of a consumer's transactions: begun, produced, offsets,
// ended. It must be called before the first Settle.
func AtTransact(c event.Consumer, f func(point string)) { c.(*consumer).onTransact = f }

// Member returns the id of a consumer as a member of its group.
func Member(c event.Consumer) string {
	con := c.(*consumer)
	con.mu.Lock()
	s := con.s
	con.mu.Unlock()
	member, _ := s.cl.GroupMetadata()
	return member
}

// RoomTaken reports whether something of a channel's room for events is in use.
func RoomTaken(ch *Channel) bool {
	if !ch.room.TryAcquire(ch.cfg.MaxBuffered) {
		return true
	}
	ch.room.Release(ch.cfg.MaxBuffered)
	return false
}

// Scan returns how many records there are from one offset of a partition up to another.
func Scan(ctx context.Context, ch *Channel, topic string, n int32, from, to int64) (count int, err error) {
	err = ch.scan(ctx, topic, map[int32]stretch{n: {from, to}}, func(*kgo.Record) bool { count++; return true })
	return count, err
}

// Merge is Scan as letters are listed.
func Merge(ctx context.Context, ch *Channel, topic string, n int32, from, to int64) (count int, err error) {
	err = ch.merge(ctx, topic, map[int32]stretch{n: {from, to}}, func(*kgo.Record) bool { count++; return true })
	return count, err
}
