package memory

import (
	"context"
	"time"

	"github.com/leat-go/leat/event"
)

// Receive implements [event.Consumer].
func (m *consumer) Receive(ctx context.Context, buf []event.Delivery) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	g := m.g
	for {
		g.mu.Lock()
		if m.state != memberOpen || g.gone {
			m.passOn() // what m may have been woken for
			g.mu.Unlock()
			return 0, event.ErrClosed
		}
		if len(buf) == 0 {
			g.mu.Unlock()
			return 0, nil
		}
		end := g.advance()
		n, next, full := m.takeOrWait(buf)
		for ; m.errs > 0; m.errs-- {
			end.told = append(end.told, toldError{m.onError, errReceive})
		}
		g.moveBehind(&end)
		next = min(next, m.nextTold())
		g.mu.Unlock()
		end.run()
		if n > 0 {
			return n, nil
		}
		if !full {
			m.offerRoom()
		}
		if err := m.wait(ctx, next); err != nil {
			return 0, err
		}
	}
}

// takeOrWait fills buf; when there is nothing, m is marked as waiting, and next is
// when it has to look again by itself.
func (m *consumer) takeOrWait(buf []event.Delivery) (n int, next int64, full bool) {
	g := m.g
	if m.most > 0 && m.aside == 0 {
		room := m.most - m.inHand
		if room <= 0 {
			m.drainWake()
			m.full = true
			m.passOn() // somebody may have counted on m
			return 0, never, true
		}
		buf = buf[:min(len(buf), room)]
	}
	if n = g.take(m, buf); n == 0 {
		// Those who produce look at idle after they have published.
		m.idle = true
		g.idle.Add(1)
		if n = g.take(m, buf); n == 0 {
			if !m.idle { // what came in between is due later, and woke m itself
				m.idle = true
				g.idle.Add(1)
			}
			m.drainWake()
			g.slots.shrink()
			g.lanes.shrink()
			return 0, g.nextTime(), false
		}
		if m.idle {
			m.idle = false
			g.idle.Add(-1)
		}
	}
	if n == len(buf) {
		m.passOn()
	}
	return n, never, false
}

// drainWake removes a token of an earlier wait.
func (m *consumer) drainWake() {
	select {
	case <-m.wake:
	default:
	}
}

// passOn wakes another member when events are left.
func (m *consumer) passOn() {
	if m.g.idle.Load() == 0 {
		return
	}
	for _, q := range m.queues {
		if q.runnable.first != 0 || q.in.len() > 0 {
			m.g.wakeAny(q)
			return
		}
	}
}

// wait waits for a token, for the time next, or for ctx.
func (m *consumer) wait(ctx context.Context, next int64) error {
	err := sleep(ctx, m.wake, m.c, next)
	g := m.g
	g.mu.Lock()
	defer g.mu.Unlock()
	m.full = false
	if m.idle {
		m.idle = false
		g.idle.Add(-1)
	} else if err != nil { // the token was for somebody who comes
		m.passOn()
	}
	return err
}

// sleep waits for a token, until a time of the channel's clock, or until ctx ends;
// then it returns ctx's error.
func sleep(ctx context.Context, token <-chan struct{}, c *Channel, until int64) error {
	if until == never {
		select {
		case <-token:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	timer := time.NewTimer(time.Duration(until - c.now()))
	defer timer.Stop()
	select {
	case <-token:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// offerRoom lets publishers go on that wait for more room than there is, when the
// group has nothing left to deliver.
func (m *consumer) offerRoom() {
	for _, q := range m.queues {
		if q.t.blocked.Load() > 0 {
			q.t.offer()
		}
	}
}
