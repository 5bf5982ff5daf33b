package channeltest

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/leat-go/leat/event"
)

func (m *logMember) Receive(ctx context.Context, buf []event.Delivery) (int, error) {
	m.b.mu.Lock()
	defer m.b.mu.Unlock()
	n := 0
	err := m.b.until(ctx, func() bool {
		if m.closing || m.gone || m.b.closed {
			return true
		}
		for p, owner := range m.g.owner {
			if owner == m {
				n += m.take(p, buf[n:])
			}
		}
		return n > 0
	})
	switch {
	case n > 0:
		return n, nil
	case err != nil:
		return 0, err
	}
	return 0, event.ErrClosed
}

func (m *logMember) take(p logPartition, buf []event.Delivery) int {
	n := 0
	room := func() bool {
		return n < len(buf) && (m.s.InFlight == 0 || len(m.hand) < m.s.InFlight)
	}
	for _, a := range m.g.front[p] {
		if !room() {
			return n
		}
		if !a.out {
			a.out = true
			buf[n] = m.deliver(p, a.off, a.logRecord, a)
			n++
		}
	}
	records := m.b.topic(p.topic)[p.n]
	for room() && m.g.next[p] < len(records) {
		off := m.g.next[p]
		m.g.next[p]++
		r := records[off]
		switch {
		case m.g.done[p][off]:
		case m.g.parked[logKey{p.topic, r.e.Key()}]:
			m.g.buryBehind(p, off, r)
			m.g.passed[p] = off + 1
		default:
			buf[n] = m.deliver(p, off, r, nil)
			buf[n].Gap = int64(off - m.g.passed[p])
			m.g.passed[p] = off + 1
			n++
		}
	}
	return n
}

func (m *logMember) deliver(p logPartition, off int, r logRecord, again *logAgain) event.Delivery {
	m.g.serial++
	t := event.Token{m.g.tenure[p], uint64(m.g.serial)}
	m.hand[t] = &logDelivery{p: p, off: off, again: again}
	d := event.Delivery{
		Event: r.e, Topic: p.topic, Position: event.Position{Lane: int32(p.n), Offset: int64(off) + 1},
		EnqueuedAt: r.at, Token: t, Redriven: again != nil,
	}
	if r.raw != nil && m.b.flaw == "cuts bytes" {
		r.raw = r.raw[:3]
	}
	if r.raw != nil {
		d.Err, d.Raw = errors.New("no event"), r.raw
	}
	return d
}

// bury makes a dead letter.
func (g *logGroup) bury(p logPartition, off int, r logRecord, c event.Cause) {
	g.serial++
	g.letters = append(g.letters, event.DeadLetter{
		Handle: strconv.Itoa(g.serial), Topic: p.topic, Event: r.e, Raw: r.raw, Cause: c.Bounded(), FailedAt: time.Now(),
		Position: event.Position{Lane: int32(p.n), Offset: int64(off) + 1},
	})
}

func (m *logMember) Begin(t event.Token) (context.Context, bool) {
	m.b.mu.Lock()
	defer m.b.mu.Unlock()
	d := m.hand[t]
	if d == nil || m.gone || m.closing && !d.begun {
		return nil, false
	}
	d.begun = true
	return &d.lease, true
}

func (m *logMember) Hold(t event.Token, _ int) {
	m.b.mu.Lock()
	defer m.b.mu.Unlock()
	if d := m.hand[t]; d != nil {
		d.begun = false
		m.b.changed()
	}
}

func (m *logMember) Settle(_ context.Context, ss []event.Settlement) error {
	var lost []event.Token
	defer func() {
		if len(lost) > 0 && m.s.OnLost != nil {
			m.s.OnLost(lost)
		}
	}()
	m.b.mu.Lock()
	defer m.b.mu.Unlock()
	if m.gone || m.b.closed {
		return event.ErrClosed
	}
	failed := map[int]error{}
	for i, s := range ss {
		d := m.hand[s.Token]
		switch {
		case d == nil:
			failed[i] = event.ErrLeaseLost
		case s.Kind == event.SettleAck:
			m.done(s.Token, d)
		case s.Kind == event.SettleDead, s.Kind == event.SettlePark:
			r := m.b.topic(d.p.topic)[d.p.n][d.off]
			if d.again != nil {
				r = d.again.logRecord
			}
			c := event.Cause{}
			if s.Cause != nil {
				c = *s.Cause
			}
			if m.b.flaw == "the origin before the letter" && m.dies {
				m.done(s.Token, d)
				return event.ErrClosed
			}
			m.g.bury(d.p, d.off, r, c)
			if m.dies {
				return event.ErrClosed
			}
			m.done(s.Token, d)
			if s.Kind == event.SettlePark && r.e.Key() != "" && m.b.flaw != "parks nothing" {
				m.g.parked[logKey{d.p.topic, r.e.Key()}] = true
				lost = append(lost, m.park(d.p, r.e.Key())...)
			}
		default:
			failed[i] = event.ErrNotSupported
		}
	}
	m.b.changed()
	if len(failed) > 0 {
		return &event.SettleError{Failed: failed}
	}
	return nil
}

func (m *logMember) done(t event.Token, d *logDelivery) {
	delete(m.hand, t)
	if d.again == nil {
		m.g.done[d.p][d.off] = true
		return
	}
	m.g.front[d.p] = slices.DeleteFunc(m.g.front[d.p], func(a *logAgain) bool { return a == d.again })
}

func (m *logMember) Close(ctx context.Context) error {
	m.b.mu.Lock()
	defer m.b.mu.Unlock()
	m.closing = true
	m.b.changed()
	idle := func() bool {
		for _, d := range m.hand {
			if d.begun {
				return false
			}
		}
		return true
	}
	if m.b.until(ctx, idle) != nil {
		for _, d := range m.hand {
			if d.begun {
				d.lease.End(event.ErrClosed)
			}
		}
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.s.CancelGrace)
		_ = m.b.until(grace, idle)
		cancel()
	}
	m.leave()
	m.g.moving++
	m.g.rebalance(context.WithoutCancel(ctx))
	return nil
}

func (m *logMember) leave() {
	if m.b.flaw == "forgets parked keys" {
		clear(m.g.parked)
	}
	m.gone = true
	m.g.members = slices.DeleteFunc(m.g.members, func(o *logMember) bool { return o == m })
}

// crash lets a member vanish: the others hear of it when its session is over.
func (m *logMember) crash() {
	m.b.mu.Lock()
	defer m.b.mu.Unlock()
	m.gone = true
	m.b.changed()
	time.AfterFunc(logSession, func() {
		m.b.mu.Lock()
		defer m.b.mu.Unlock()
		m.closing = true
		m.leave()
		m.g.moving++
		m.g.rebalance(context.Background())
	})
}
