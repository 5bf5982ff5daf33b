package memory

import (
	"math"

	"github.com/leat-go/leat/event"
)

// Crash is for tests: it lets a consumer vanish as if its process had died. Its
// calls fail from now on; when the [Lease] has run out, what it had in hand goes to
// others, and the contexts of what it had begun end with [event.ErrLeaseLost].
// Until then its handlers may go on, as a process may that has lost its connection.
// Consumers that are closed or come from another channel are left alone.
func (c *Channel) Crash(victim event.Consumer) {
	m, ok := victim.(*consumer)
	if !ok || m.c != c {
		return
	}
	g := m.g
	g.mu.Lock()
	if g.gone || m.state > memberClosing {
		g.mu.Unlock()
		return
	}
	m.state = memberCrashed
	if m.expires = c.now() + int64(c.cfg.lease); m.expires < 0 {
		m.expires = math.MaxInt64 - 1
	}
	g.crashed++
	for i := range g.slots.all {
		if s := &g.slots.all[i]; s.state.inHand() && s.owner == m.id {
			if s.state == stateFetched {
				m.unbegun = append(m.unbegun, event.Token{uint64(i), s.gen})
			}
			g.setState(m, s, stateOrphan)
		}
	}
	m.stopReceive()
	if m.ended != nil {
		signal(m.ended)
	}
	if g.ephemeral {
		g.dying = true
		for _, q := range m.queues {
			q.tell.Store(nil)
		}
		c.dying.Add(1)
	}
	g.wakeIdle()
	queues, ephemeral := m.queues, g.ephemeral
	g.mu.Unlock()
	if ephemeral {
		for _, q := range queues {
			q.t.offer() // who waits for room waits for the lease now
		}
	}
}

// expire takes everything from crashed members whose lease is over.
func (g *group) expire(now int64, end *ending) {
	for i := 0; i < len(g.members); {
		m := g.members[i]
		if m.state != memberCrashed || m.expires > now {
			i++
			continue
		}
		end.cause = event.ErrLeaseLost
		if m.lost != nil && len(m.unbegun) > 0 {
			end.lost = append(end.lost, lostTokens{m.lost, m.unbegun})
		}
		m.unbegun = nil
		for i := range g.slots.all {
			s := &g.slots.all[i]
			if s.state != stateOrphan || s.owner != m.id {
				continue
			}
			if s.lease != nil {
				end.leases = append(end.leases, s.lease)
			}
			g.giveBack(m, int32(i), 0)
		}
		g.leave(m)
	}
}
