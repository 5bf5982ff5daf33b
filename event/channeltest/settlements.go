package channeltest

import (
	"fmt"
	"slices"

	"github.com/leat-go/leat/event"
)

// settling enters settlements before they are made: their effect can be seen
// before Settle returns.
func (l *ledger) settling(m *member, ss []event.Settlement) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.book(m.book)
	for _, st := range ss {
		s := b.tokens[tokenKey{m, st.Token}]
		switch {
		case s == nil || l.overtaken(s, m, st.Token) || s.state != inHand && s.state != back: // back: m closes meanwhile
		case keeps(st.Kind):
			b.move(s, back)
		default:
			b.move(s, settling)
		}
		if s != nil && st.Kind == event.SettlePark {
			b.park(s, true)
		}
	}
	l.change()
}

// park notes that the key of an entry is parked, or goes on.
func (b *book) park(s *seen, parked bool) {
	if key := s.event.Key(); key != "" {
		b.parked[streamKey{s.topic, key}] = parked
		b.wasParked[streamKey{s.topic, key}] = true
	}
}

// discarded notes that nobody waits for a dead letter any more.
func (l *ledger) discarded(d event.DeadLetter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.book(d.Group)
	x := l.entries[entryKey{d.Topic, d.Event.ID()}]
	if b.seen[x] == nil {
		b.seen[x] = &seen{entry: x}
	}
	b.move(b.seen[x], settled)
	l.change()
}

// unpark notes that a key of a group goes on.
func (l *ledger) unpark(topic, group, key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.book(group).parked, streamKey{topic, key})
}

// keeps reports whether the event is owed after a settlement of a kind.
func keeps(k event.SettleKind) bool { return k == event.SettleRetry || k == event.SettleRelease }

// settled enters how a settlement went. It returns what that breaks.
func (l *ledger) settled(m *member, st event.Settlement, id string, accepted bool) (wrong string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.change()
	b := l.book(m.book)
	s := b.tokens[tokenKey{m, st.Token}]
	if accepted && keeps(st.Kind) {
		l.returns(m, st.Token)
	}
	switch {
	case s == nil && st.Kind == event.SettlePark: // and redriven before Settle returned
	case s == nil && accepted && !keeps(st.Kind) && l.exact:
		return fmt.Sprintf("the %v of %s by %s was accepted, but the event had been delivered again before", st.Kind, id, m.name)
	case s == nil:
	case l.overtaken(s, m, st.Token):
		l.settledLate(b, s, st, accepted)
	case !accepted && st.Kind == event.SettlePark && s.state == settling:
		b.park(s, false)
		b.move(s, inHand)
	case !accepted && m.gone.Load() && s.state != settled:
		b.move(s, back)
	case !accepted && (s.state == settling || s.state == back):
		b.move(s, inHand)
	case accepted && !keeps(st.Kind):
		b.move(s, settled)
		if st.Kind == event.SettleAck {
			s.acks++
		}
	}
	return ""
}

// leaving enters that all that is in a member's hand may go to others.
func (l *ledger) leaving(m *member) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.book(m.book)
	for _, s := range b.seen {
		if s.state == inHand && s.holder == m {
			b.move(s, back)
		}
	}
	l.change()
}

// lost enters that deliveries were taken from a member and may go to others. It
// returns how many of them there was no reason for.
func (l *ledger) lost(m *member, tokens []event.Token) (strange int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tell(m, tokens)
	b := l.book(m.book)
	for _, t := range tokens {
		s := b.tokens[tokenKey{m, t}]
		if s != nil && s.state == inHand && !l.overtaken(s, m, t) {
			b.move(s, back)
		}
		// Whoever redrives the key may be faster than the word of what its Park took away.
		if s == nil {
			b.early++
		}
		if s == nil || !b.wasParked[streamKey{s.topic, s.event.Key()}] {
			strange++
		}
	}
	l.change()
	return strange
}

// done reports whether a group has settled all that it is owed on a topic.
func (l *ledger) done(group, topic string) bool {
	l.mu.Lock()
	n, closed := l.topics[topic], l.book(group).closed[topic]
	yes := n == nil || closed == n.all
	no := n != nil && closed+n.except < n.all
	l.mu.Unlock()
	switch {
	case yes:
		return true
	case no:
		return false
	}
	return len(l.open(group, topic)) == 0
}

// open returns the events of a topic that are owed to a group and not settled.
func (l *ledger) open(group, topic string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.book(group)
	var out []string
	for k, x := range l.entries {
		if k.topic != topic || x.refused || x.maybe || x.group != "" && x.group != group {
			continue
		}
		if s := b.seen[x]; s == nil || s.state != settled {
			out = append(out, k.id)
		}
	}
	slices.Sort(out)
	return out
}

// tokenOf returns the token under which an event is in a member's hand.
func (l *ledger) tokenOf(m *member, d event.Delivery) event.Token {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.book(m.book).seen[l.entries[entryKey{d.Topic, d.Event.ID()}]].token
}

// strayed reports whether a delivery in hand may be another's by now: its event was
// delivered to another member, on a channel that may repeat itself.
func (l *ledger) strayed(m *member, t event.Token) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.book(m.book).tokens[tokenKey{m, t}]
	return s != nil && s.strays > 0
}

// times returns how often an event was delivered to a group, and how often acked.
func (l *ledger) times(group, topic, id string) (deliveries, acks int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.book(group).seen[l.entries[entryKey{topic, id}]]
	if s == nil {
		return 0, 0
	}
	return s.times, s.acks
}
