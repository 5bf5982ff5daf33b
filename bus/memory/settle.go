package memory

import (
	"context"

	"github.com/leat-go/leat/event"
)

// Settle implements [event.Consumer].
func (m *consumer) Settle(_ context.Context, ss []event.Settlement) error {
	var refused map[int]error
	var after settled
	var end ending
	g := m.g
	g.mu.Lock()
	if m.state > memberClosing || g.gone {
		g.mu.Unlock()
		return event.ErrClosed
	}
	for i := range ss {
		if err := m.settle(&ss[i], &after, &end); err != nil {
			if refused == nil {
				refused = make(map[int]error)
			}
			refused[i] = err
		}
	}
	after.flush()
	g.moveBehind(&end)
	m.handEmptied()
	g.mu.Unlock()
	after.tell(g.c)
	end.run()
	if refused != nil {
		return &event.SettleError{Failed: refused}
	}
	return nil
}

// settle ends one delivery.
func (m *consumer) settle(e *event.Settlement, after *settled, end *ending) error {
	g := m.g
	s := g.hand(m, e.Token)
	if s == nil {
		return event.ErrLeaseLost
	}
	si := int32(e.Token[0])
	q := g.queues[s.queue]
	switch e.Kind {
	case event.SettleAck:
	case event.SettleRetry:
		s.failures = int32(e.Failures)
		g.giveBack(m, si, int64(e.After))
		return nil
	case event.SettleRelease:
		s.attempts--
		g.giveBack(m, si, 0)
		return nil
	case event.SettleDead, event.SettlePark:
		if err := g.bury(q, s, e); err != nil {
			m.keepForLater(si, s)
			return err
		}
	default:
		return event.ErrNotSupported
	}
	key := s.e.Key()
	g.settleSlot(m, si)
	after.add(q)
	if e.Kind == event.SettlePark && key != "" && !g.ephemeral {
		g.recall(m, q, key, end)
	}
	return nil
}

// keepForLater holds a delivery whose dead letter finds no room.
func (m *consumer) keepForLater(si int32, s *slot) {
	m.g.setState(m, s, stateHeld)
	if m.state == memberClosing {
		m.g.giveBack(m, si, 0)
	}
}

// settled collects what settlements mean for others.
type settled struct {
	q     *queue
	n     int64
	rooms []*topic // where publishers wait for room
	quiet bool
}

func (a *settled) add(q *queue) {
	if a.q != q {
		a.flush()
		a.q = q
	}
	a.n++
}

// flush counts. The group is locked.
func (a *settled) flush() {
	q := a.q
	if a.n == 0 {
		return
	}
	q.settled.Add(a.n)
	a.n = 0
	if q.t.blocked.Load() > 0 && q.worthWaking() {
		a.rooms = append(a.rooms, q.t)
	}
	if q.g.c.quiet.waiting.Load() > 0 && q.unsettled() == 0 {
		a.quiet = true
	}
}

// tell wakes who waits. Nothing is locked.
func (a *settled) tell(c *Channel) {
	for _, t := range a.rooms {
		t.offer()
	}
	if a.quiet {
		c.quiet.wake()
	}
}
