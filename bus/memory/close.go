package memory

import (
	"context"

	"github.com/leat-go/leat/event"
)

// Close implements [event.Consumer].
func (m *consumer) Close(ctx context.Context) error {
	g := m.g
	g.mu.Lock()
	if m.state != memberOpen || g.gone {
		g.mu.Unlock()
		return nil
	}
	m.state = memberClosing
	m.ended = make(chan struct{}, 1)
	m.stopReceive() // first, so that nobody counts on m
	m.giveBackAll(stateFetched)
	m.giveBackAll(stateHeld)
	running := m.begun > 0
	g.mu.Unlock()
	if running && !m.awaitBegun(ctx) {
		m.endBegun(event.ErrClosed)
		if m.grace > 0 {
			graced, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.grace)
			m.awaitBegun(graced)
			cancel()
		}
	}
	var end ending
	g.mu.Lock()
	left := m.state == memberClosing
	if left {
		m.giveBackAll(stateBegun)
		g.moveBehind(&end)
		g.leave(m)
	}
	g.mu.Unlock()
	end.run()
	if left && g.ephemeral {
		m.c.removeEphemeral(g)
	}
	return nil
}

// stopReceive wakes a Receive that waits.
func (m *consumer) stopReceive() {
	if m.idle {
		m.idle = false
		m.g.idle.Add(-1)
	}
	m.signal()
}

// awaitBegun waits until nothing is begun, and reports whether that came before
// ctx ended.
func (m *consumer) awaitBegun(ctx context.Context) bool {
	for {
		m.g.mu.Lock()
		over := m.begun == 0 || m.state != memberClosing
		m.g.mu.Unlock()
		if over {
			return true
		}
		select {
		case <-m.ended:
		case <-ctx.Done():
			return false
		}
	}
}

// endBegun ends the contexts of what is begun.
func (m *consumer) endBegun(cause error) {
	end := ending{cause: cause}
	m.g.mu.Lock()
	for i := range m.g.slots.all {
		if s := &m.g.slots.all[i]; s.state == stateBegun && s.owner == m.id {
			end.leases = append(end.leases, s.lease)
		}
	}
	m.g.mu.Unlock()
	end.run()
}

// giveBackAll gives all in one state of being in hand back. A delivery that was
// never begun does not count as an attempt.
func (m *consumer) giveBackAll(st state) {
	g := m.g
	for i := range g.slots.all {
		s := &g.slots.all[i]
		if s.state != st || s.owner != m.id {
			continue
		}
		if st == stateFetched {
			s.attempts--
		}
		g.giveBack(m, int32(i), 0)
	}
}
