package bustest

import (
	"context"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/event/channeltest"
)

// The broker of an exploration passes the suite that every channel has to: so Explore
// asks no more of handlers than a channel may. What the suite needs besides, calls that
// wait and may be concurrent, is added here.
func TestBrokerIsAChannel(t *testing.T) {
	var mu sync.Mutex
	var all []*blocking
	channeltest.Run(t, channeltest.Harness{
		Open: func(testing.TB) event.Channel {
			c := &blocking{p: newEndpoint(newBroker(newSymbols())), change: make(chan struct{})}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, c)
			return c
		},
		Declared: &channeltest.Declaration{Guarantees: guarantees(false), Capabilities: channeltest.DeadLetters},
		Exact:    true,
		Crash:    func(c event.Consumer) { c.(*blockingMember).crash() },
		Bubble:   true,
		Events:   1000,
	})
}

// blocking is an endpoint whose calls wait and may be concurrent. Each of its consumers
// is a process of its own on the same broker.
type blocking struct {
	mu     sync.Mutex
	p      *endpoint
	change chan struct{}
}

func (c *blocking) changed() {
	close(c.change)
	c.change = make(chan struct{})
}

// wait waits with the lock held for a change, or for what is due.
func (c *blocking) wait(ctx context.Context) error {
	change := c.change
	pause := time.Hour
	if at, waits := c.p.b.nextDue(time.Now()); waits {
		pause = time.Until(at)
	}
	c.mu.Unlock()
	defer c.mu.Lock()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-change:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

func (c *blocking) Producer(ctx context.Context, topic string) (event.Producer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	inner, err := c.p.Producer(ctx, topic)
	if err != nil {
		return nil, err
	}
	return &blockingProducer{c, inner}, nil
}

type blockingProducer struct {
	c     *blocking
	inner event.Producer
}

func (o *blockingProducer) Produce(ctx context.Context, events ...event.Event) error {
	o.c.mu.Lock()
	defer o.c.mu.Unlock()
	defer o.c.changed()
	return o.inner.Produce(ctx, events...)
}

func (c *blocking) Consumer(ctx context.Context, s event.Subscription) (event.Consumer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.p.gone {
		return nil, event.ErrClosed
	}
	p := newEndpoint(c.p.b)
	inner, err := p.Consumer(ctx, s)
	if err != nil {
		return nil, err
	}
	return &blockingMember{c: c, m: inner.(*member)}, nil
}

func (c *blocking) Guarantees(ctx context.Context, topic, group string) (event.Guarantees, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.p.Guarantees(ctx, topic, group)
}

func (c *blocking) Close(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.changed()
	return c.p.Close(ctx)
}

func (c *blocking) DeadLetters(ctx context.Context, topic, group string) iter.Seq2[event.DeadLetter, error] {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.p.b.moveBehind()
	letters := slices.Clone(c.p.b.dead)
	return (&endpoint{b: &broker{dead: letters}}).DeadLetters(ctx, topic, group)
}

func (c *blocking) Redrive(ctx context.Context, d event.DeadLetter, repaired ...event.Event) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.changed()
	return c.p.Redrive(ctx, d, repaired...)
}

func (c *blocking) RedriveKey(ctx context.Context, topic, group, key string) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.changed()
	return c.p.RedriveKey(ctx, topic, group, key)
}

func (c *blocking) Discard(ctx context.Context, d event.DeadLetter) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.p.Discard(ctx, d)
}

type blockingMember struct {
	c       *blocking
	m       *member
	closing bool
}

func (m *blockingMember) Receive(ctx context.Context, buf []event.Delivery) (int, error) {
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	for {
		if m.closing || m.c.p.gone {
			return 0, event.ErrClosed
		}
		room := len(buf)
		if most := m.m.s.InFlight; most > 0 {
			room = min(room, most-m.inHand(func(*entry) bool { return true }))
		}
		if n, err := m.m.Receive(ctx, buf[:max(0, room)]); n > 0 || err != nil {
			return n, err
		}
		if err := m.c.wait(ctx); err != nil {
			return 0, err
		}
	}
}

func (m *blockingMember) inHand(that func(*entry) bool) int {
	n := 0
	m.c.p.b.inHand(m.m.p, func(en *entry) {
		if that(en) {
			n++
		}
	})
	return n
}

func (m *blockingMember) Begin(t event.Token) (context.Context, bool) {
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	if en := m.m.mine(t); en == nil || m.closing && !en.begun {
		return nil, false
	}
	return m.m.Begin(t)
}

func (m *blockingMember) Hold(t event.Token, failures int) {
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	m.m.Hold(t, failures)
	if en := m.m.mine(t); en != nil && m.closing {
		en.leave()
	}
	m.c.changed()
}

func (m *blockingMember) Settle(ctx context.Context, s []event.Settlement) error {
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	defer m.c.changed()
	return m.m.Settle(ctx, s)
}

func (m *blockingMember) Close(ctx context.Context) error {
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	m.closing = true
	m.c.p.b.inHand(m.m.p, func(en *entry) {
		switch {
		case en.begun:
		case en.lease != nil: // held
			en.leave()
		default:
			m.m.release(en)
		}
	})
	m.c.changed()
	begun := func(en *entry) bool { return en.begun }
	for m.inHand(begun) > 0 && m.c.wait(ctx) == nil {
	}
	m.c.p.b.inHand(m.m.p, func(en *entry) { en.lease.End(event.ErrClosed) })
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.m.s.CancelGrace)
	defer cancel()
	for m.inHand(begun) > 0 && m.c.wait(grace) == nil {
	}
	m.m.p.gone = true
	m.c.p.b.abandon(m.m.p)
	m.c.changed()
	return nil
}

// crash takes its leases from a consumer that vanishes, as Explore does with one that
// stalls.
func (m *blockingMember) crash() {
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	var mine []*entry
	m.m.g.fronts(func(en *entry) {
		if en.holder == m.m.p {
			mine = append(mine, en)
		}
	})
	for _, en := range mine {
		m.c.p.b.lose(en)
	}
	m.closing, m.m.p.gone = true, true
	m.c.p.b.abandon(m.m.p)
	m.c.changed()
}
