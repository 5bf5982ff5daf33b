package bustest

import (
	"context"
	"time"

	"github.com/leat-go/leat/event"
)

// member is a consumer.
type member struct {
	p   *endpoint
	g   *brokerGroup
	s   event.Subscription
	buf []*entry
}

// Receive implements [event.Consumer], but that it doesn't wait.
func (m *member) Receive(_ context.Context, buf []event.Delivery) (int, error) {
	if m.p.gone {
		return 0, event.ErrClosed
	}
	m.p.b.moveBehind()
	m.buf = m.g.deliverable(m.p, time.Now(), m.buf[:0], len(buf))
	for i, en := range m.buf {
		m.p.b.serial++
		en.holder, en.token, en.shuns = m.p, m.p.b.serial, nil
		en.attempts++
		en.waits = false
		buf[i] = event.Delivery{
			Event: en.e, Topic: en.topic, Position: event.Position{Offset: en.offset}, Attempt: en.attempts,
			Failures: en.failures, Redriven: en.redriven, EnqueuedAt: en.at, Token: en.tokenOf(),
		}
	}
	return len(m.buf), nil
}

// mine returns the entry of a token, or nil when it is stale.
func (m *member) mine(t event.Token) *entry {
	if m.p.gone || t[0] >= uint64(len(m.p.b.all)) {
		return nil
	}
	if en := m.p.b.entryOf(t); en.holder == m.p && en.token == t[1] && en.g == m.g {
		return en
	}
	return nil
}

// Begin implements [event.Consumer].
func (m *member) Begin(t event.Token) (context.Context, bool) {
	en := m.mine(t)
	if en == nil {
		return nil, false
	}
	if en.lease == nil {
		en.lease = &lease{p: m.p}
	}
	en.begun = true
	return en.lease, true
}

// Hold implements [event.Consumer].
func (m *member) Hold(t event.Token, failures int) {
	if en := m.mine(t); en != nil {
		en.begun, en.failures = false, failures
		m.p.b.moveBehind()
	}
}

// Settle implements [event.Consumer].
func (m *member) Settle(_ context.Context, ss []event.Settlement) error {
	if m.p.gone {
		return event.ErrClosed
	}
	var failed map[int]error
	for i, s := range ss {
		if err := m.settle(s); err != nil {
			if failed == nil {
				failed = make(map[int]error)
			}
			failed[i] = err
		}
	}
	if failed != nil {
		return &event.SettleError{Failed: failed}
	}
	return nil
}

func (m *member) settle(s event.Settlement) error {
	en := m.mine(s.Token)
	if en == nil {
		return event.ErrLeaseLost
	}
	switch s.Kind {
	case event.SettleAck:
		m.g.remove(en)
		en.acked = true
		m.g.settled = append(m.g.settled, en)
	case event.SettleRetry:
		en.leave()
		en.failures, en.waits, en.due = s.Failures, true, time.Now().Add(s.After)
	case event.SettleRelease:
		m.release(en)
	case event.SettleDead, event.SettlePark:
		var cause event.Cause
		if s.Cause != nil {
			cause = s.Cause.Bounded()
		}
		m.p.b.bury(en, cause, s.Kind == event.SettlePark)
	default:
		return event.ErrNotSupported
	}
	if s.Kind != event.SettleRetry && s.Kind != event.SettleRelease {
		m.p.settled = append(m.p.settled, s.Token[1])
	}
	m.p.b.moveBehind()
	return nil
}

// release gives an entry back as if it had not been delivered.
func (m *member) release(en *entry) {
	en.leave()
	en.attempts--
}

// Close implements [event.Consumer]. It is called when a start fails; processes die
// otherwise.
func (m *member) Close(context.Context) error { return nil }

// lease is the context of a delivery; it leads to the handler's task.
type lease struct {
	event.Lease

	p *endpoint
}

type taskKey struct{}

// Value returns the task that runs now under its key.
func (l *lease) Value(key any) any {
	if _, mine := key.(taskKey); mine {
		return l.p.running()
	}
	return l.Lease.Value(key)
}

var _ context.Context = (*lease)(nil)
