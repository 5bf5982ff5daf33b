package kafka

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

// assigned begins tenures.
func (s *session) assigned(_ context.Context, cl *kgo.Client, got map[string][]int32) {
	from := make(map[partition]kgo.Offset)
	for topic, ns := range got {
		for _, n := range ns {
			from[partition{topic, n}] = kgo.Offset{}
		}
	}
	member, _ := cl.GroupMetadata()
	if s.isAnother(member) {
		return
	}
	if len(from) == 0 {
		return
	}
	cl.ResumeFetchPartitions(got) // the client remembers that they were full when we had them before
	s.c.mu.Lock()
	ts := s.c.assign(s, member, from)
	s.c.mu.Unlock()
	s.side.add(ts)
}

// isAnother reports whether we have become another member of the group. A client that
// the coordinator doesn't know any more joins as a new one and goes on with the
// partitions of the old: others may have had them in between. So all is lost, and the
// session ends.
func (s *session) isAnother(member string) bool {
	ts := s.c.all(s)
	if !slices.ContainsFunc(ts, func(t *tenure) bool { return t.member != member }) {
		return false
	}
	s.c.lose(ts)
	s.c.ch.shutting.Go(s.renew) // it waits for the client, which waits for us
	return true
}

// assign makes a session the owner of partitions. The consumer is locked.
func (c *consumer) assign(s *session, member string, ps map[partition]kgo.Offset) (ts []*tenure) {
	for p := range ps {
		if old := c.owned[p]; old != nil {
			c.drop(old)
		}
		t := c.newTenure(s, p)
		t.member = member
		c.tenures[t.id], c.owned[p] = t, t
		ts = append(ts, t)
	}
	return ts
}

// drop forgets a tenure: its tokens are stale. The consumer is locked.
func (c *consumer) drop(t *tenure) {
	t.ended = true
	t.wakeLevels()
	t.endLease(event.ErrLeaseLost)
	for _, l := range [...]*lane{&t.main, &t.again} {
		if c.transacts() {
			l.each(func(_ uint64, s *slot) { c.dropKept(s) })
		}
		for s, n := range l.count {
			c.count[s] -= n
		}
		l.count = [states]int{}
	}
	c.delays.forget(t)
	delete(c.tenures, t.id)
	if c.owned[t.partition] == t {
		delete(c.owned, t.partition)
	}
	c.change()
}

// revoked ends tenures in order: what can finish may finish, what is settled is
// committed, then the partitions are others'.
func (s *session) revoked(ctx context.Context, _ *kgo.Client, lost map[string][]int32) {
	ts := s.c.ownedOf(s, lost)
	if len(ts) == 0 {
		return
	}
	s.side.remove(ts)
	s.c.finish(ctx, ts)
	wait, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	if err := s.commitLast(wait, ts); err != nil {
		s.c.tell(err)
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	for _, t := range ts {
		s.c.drop(t)
	}
	signal(s.c.more)
}

// lost ends tenures that are others' already.
func (s *session) lost(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	ts := s.c.ownedOf(s, lost)
	s.side.remove(ts)
	s.c.lose(ts)
}

func (c *consumer) ownedOf(s *session, ps map[string][]int32) (ts []*tenure) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for topic, ns := range ps {
		for _, n := range ns {
			if t := c.owned[partition{topic, n}]; t != nil && t.s == s {
				ts = append(ts, t)
			}
		}
	}
	return ts
}

// lose gives tenures up at once.
func (c *consumer) lose(ts []*tenure) {
	var tokens []event.Token
	c.mu.Lock()
	for _, t := range ts {
		t.endLease(event.ErrLeaseLost)
		tokens = t.giveUp(tokens)
		c.drop(t)
	}
	c.mu.Unlock()
	signal(c.more)
	c.tellLost(tokens)
}

// finish waits, up to the grace, until what tenures have in hand is settled. What
// nobody runs soon is given up before: what is held, and what waits behind it.
func (c *consumer) finish(ctx context.Context, ts []*tenure) {
	var tokens []event.Token
	c.mu.Lock()
	for _, t := range ts {
		t.revoking = true
		t.wakeLevels()
		tokens = t.giveUpHeld(tokens)
	}
	closing := c.closing
	c.mu.Unlock()
	c.tellLost(tokens)

	grace := c.sub.Grace
	if closing {
		grace = 0 // Close has waited before
	}
	wait, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	tokens = nil
	c.mu.Lock()
	c.until(wait, func() bool {
		for _, t := range ts {
			if t.busy() {
				return false
			}
		}
		return true
	})
	for _, t := range ts {
		t.endLease(event.ErrLeaseLost)
		tokens = t.giveUp(tokens)
	}
	c.mu.Unlock()
	c.tellLost(tokens)
}

// busy reports whether something in hand can still be settled, or is on its way to
// another topic.
func (t *tenure) busy() bool {
	switch {
	case t.ended:
		return false
	case t.keys.draining > 0, slices.ContainsFunc(t.levels, func(v *level) bool { return v.busy }):
		return true
	}
	for _, l := range [...]*lane{&t.main, &t.again} {
		if l.count[inHand]+l.count[begun]+l.count[leaving] > 0 {
			return true
		}
	}
	return false
}

// endLease ends the context of what runs, if something does.
func (t *tenure) endLease(cause error) {
	if t.main.count[begun]+t.again.count[begun] > 0 {
		t.lease.End(cause)
	}
}

// giveUp takes away all that is left, and appends the tokens of what was in hand and
// not begun.
func (t *tenure) giveUp(tokens []event.Token) []event.Token {
	for _, l := range [...]*lane{&t.main, &t.again} {
		l.each(func(n uint64, s *slot) {
			if s.state == settled || s.state == gone {
				return
			}
			if s.state == inHand || s.state == held {
				tokens = append(tokens, l.token(n))
			}
			l.set(n, gone)
		})
	}
	t.c.change()
	return tokens
}

// giveBack takes a delivery away that goes to the next owner, and with it what waits
// behind it. It returns the tokens of these. The consumer is locked.
func (l *lane) giveBack(n uint64) (behind []event.Token) {
	key := l.at(n).event.Key()
	l.set(n, gone)
	if key == "" {
		return nil
	}
	for _, other := range [...]*lane{&l.t.again, &l.t.main} {
		other.each(func(m uint64, s *slot) {
			if s.state == inHand && s.event.Key() == key {
				behind = append(behind, other.token(m))
				other.set(m, gone)
			}
		})
	}
	return behind
}

// giveUpHeld takes away what nobody has received, what is held, and what waits behind
// it.
func (t *tenure) giveUpHeld(tokens []event.Token) []event.Token {
	waiting := make(map[string]bool) // keys with a held one
	for _, l := range [...]*lane{&t.again, &t.main} {
		l.each(func(n uint64, s *slot) {
			key := s.event.Key()
			switch {
			case s.state == queued, s.state == delayed:
				l.set(n, gone)
			case s.state == held:
				if key != "" {
					waiting[key] = true
				}
				tokens = append(tokens, l.token(n))
				l.set(n, gone)
			case s.state == inHand && waiting[key]:
				tokens = append(tokens, l.token(n))
				l.set(n, gone)
			}
		})
	}
	t.c.change()
	return tokens
}
