package memory

import (
	"fmt"

	"github.com/leat-go/leat/event"
)

// loss is a lease that will be lost.
type loss struct {
	at  int64
	si  int32
	gen uint64 // of the delivery
}

// troubleBegin decides about the lease of a delivery that is begun for the first
// time.
func (m *consumer) troubleBegin(t event.Token) {
	g := m.g
	g.mu.Lock()
	end := g.advance()
	if s := m.mine(t); s != nil && s.lease == nil {
		g.decideLease(int32(t[0]), s, &end)
	}
	g.mu.Unlock()
	end.run()
}

func (g *group) decideLease(si int32, s *slot, end *ending) {
	a := g.afflict(si)
	a.atSettle = false
	if !a.suffers(faultLoseLease, g.c.faults.LoseLease) {
		return
	}
	r := a.random(faultLoseLease)
	switch r.IntN(3) {
	case 0:
		g.lose(si, end)
	case 1:
		a.atSettle = true
	default:
		g.losses = append(g.losses, loss{g.c.now() + 1 + r.Int64N(int64(g.c.cfg.lease)+1), si, s.gen})
		g.wakeIdle() // they have to set their timers anew
	}
}

// lose takes a delivery from its member. Others of its key are not in hand.
func (g *group) lose(si int32, end *ending) {
	s := &g.slots.all[si]
	m := g.member(s.owner)
	end.cause = event.ErrLeaseLost
	if a := g.slots.bad[si]; a != nil {
		a.atSettle = false
	}
	if s.lease != nil {
		end.leases = append(end.leases, s.lease)
	} else {
		s.attempts-- // it was not begun
	}
	if s.state == stateFetched && m.lost != nil {
		end.lost = append(end.lost, lostTokens{m.lost, []event.Token{{uint64(si), s.gen}}})
	}
	g.giveBack(m, si, g.lateness(si))
	m.handEmptied()
}

// loseDue takes what is lost by now.
func (g *group) loseDue(now int64, end *ending) {
	all := g.losses
	g.losses = nil
	for _, l := range all {
		if int(l.si) >= len(g.slots.all) {
			continue
		}
		s := &g.slots.all[l.si]
		switch {
		case s.gen != l.gen || s.state == stateOrphan: // it has ended otherwise
		case l.at > now:
			g.losses = append(g.losses, l)
		default:
			g.lose(l.si, end)
		}
	}
}

// nextLoss returns when the next lease is lost, or never.
func (g *group) nextLoss() int64 {
	next := never
	for _, l := range g.losses {
		next = min(next, l.at)
	}
	return next
}

// troubleSettle loses the leases that are lost when they are settled, and reports
// an outage.
func (m *consumer) troubleSettle(ss []event.Settlement) error {
	g := m.g
	g.mu.Lock()
	if m.state > memberClosing || g.gone {
		g.mu.Unlock()
		return event.ErrClosed
	}
	end := g.advance()
	out := g.c.faults.outage(g.name, g.c.now())
	for i := range ss {
		si := int32(ss[i].Token[0])
		if !out && m.mine(ss[i].Token) != nil && g.afflict(si).atSettle {
			g.lose(si, &end)
		}
	}
	g.mu.Unlock()
	end.run()
	if out {
		return fmt.Errorf("memory: settlements of group %q don't reach the channel: %w", g.name, ErrFault)
	}
	return nil
}
