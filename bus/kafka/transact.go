package kafka

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/leat-go/leat/event"
)

// transaction is the acks of a Settle that something goes out with.
type transaction struct {
	s     *session
	parts []*part
	done  chan struct{} // closed when it is known what became of it
	err   error         // why nothing of it is recorded
	left  bool          // nobody waits for it any more
}

// part is one of the acks.
type part struct {
	x      *transaction
	l      *lane
	n      uint64
	offset int64
	token  event.Token
	kept   *kept
	err    error // why it is not in the transaction, though others are

	committed bool
}

// transact writes what is kept by the deliveries that a Settle acks, and these acks,
// and waits. It returns the acks that it has dealt with, by index. An error means that
// nothing is recorded.
func (c *consumer) transact(ctx context.Context, ss []event.Settlement) (map[int]*part, error) {
	if !c.transacts() {
		return nil, nil //nolint:nilnil // a map that is only read
	}
	parts, x := c.partsOf(ss)
	if len(x.parts) > 0 {
		go x.s.txs.run(x) //nolint:contextcheck // ctx ends the wait, not the transaction
	}
	for _, p := range parts {
		if p.x == nil {
			continue
		}
		select {
		case <-p.x.done:
		case <-ctx.Done():
			c.leaveAlone(parts)
			return nil, fmt.Errorf("kafka: group %q: a transaction is not answered for: %w", c.sub.Group, context.Cause(ctx))
		}
	}
	for _, p := range parts {
		if p.x != nil && p.x.err != nil {
			c.leaveAlone(parts)
			return nil, p.x.err
		}
	}
	return parts, nil
}

// partsOf returns the acks that need a transaction, by index, and one for those that
// are in none yet.
func (c *consumer) partsOf(ss []event.Settlement) (map[int]*part, *transaction) {
	x := &transaction{done: make(chan struct{})}
	var parts map[int]*part
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range ss {
		if ss[i].Kind != event.SettleAck {
			continue
		}
		p := c.partOf(ss[i].Token, x)
		if p == nil {
			continue
		}
		if parts == nil {
			parts = make(map[int]*part, len(ss))
		}
		parts[i] = p
	}
	// The events of a key go out in its order, whatever that of the acks is.
	slices.SortFunc(x.parts, func(a, b *part) int {
		if a.token[0] != b.token[0] {
			return cmp.Compare(a.token[0], b.token[0])
		}
		if a.l != b.l { // what is redriven is older
			return cmp.Compare(b.token[1]&1, a.token[1]&1)
		}
		return cmp.Compare(a.n, b.n)
	})
	return parts, x
}

// partOf returns an ack that needs a transaction, in x if it is in none yet. The
// consumer is locked.
func (c *consumer) partOf(t event.Token, x *transaction) *part {
	l, n, s := c.find(t)
	switch {
	case s == nil:
		if _, committed := c.late[t]; !committed {
			return nil
		}
		delete(c.late, t)
		return &part{token: t, committed: true}
	case s.part != nil:
		return s.part // an earlier Settle gave up waiting
	case s.kept == nil:
		return nil
	case x.s == nil:
		x.s = l.t.s
	case x.s != l.t.s:
		return &part{err: event.ErrLeaseLost} // of a session that is over
	}
	s.part = &part{x: x, l: l, n: n, offset: s.offset, token: t, kept: s.kept}
	s.kept = nil // the transaction's
	x.parts = append(x.parts, s.part)
	return s.part
}

// leaveAlone notes that a Settle doesn't wait any more, or fails: its next call asks
// again for what was committed.
func (c *consumer) leaveAlone(parts map[int]*part) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range parts {
		if p.x != nil {
			p.x.left = true
		}
		if p.committed {
			c.remember(p.token)
		}
	}
}

// remember keeps a token that was committed and whose Settle didn't say so. The
// consumer is locked.
func (c *consumer) remember(t event.Token) {
	if c.closed {
		return
	}
	if c.late == nil {
		c.late = make(map[event.Token]struct{})
	}
	c.late[t] = struct{}{}
}

// arrange decides what can go into a transaction now, and returns that and what is to
// be committed with it.
func (x *transaction) arrange(by membership) (live []*part, marks map[partition]mark) {
	c := x.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	lanes := make(map[*lane]int64) // and the offset behind their last
	for _, p := range x.parts {
		if p.err != nil {
			continue
		}
		s := p.slot()
		if s == nil || s.part != p || p.l.t.member != by.member {
			p.err = event.ErrLeaseLost
			continue
		}
		lanes[p.l] = max(lanes[p.l], p.offset+1)
	}
	marks = make(map[partition]mark)
	limit := int(c.ch.metadataLimit.Load())
	for l, behind := range lanes {
		l.holdBack(x)
		was := l.exact
		l.exact = max(l.exact, behind)
		m, complete := l.mark(x, limit)
		l.exact = was
		if !complete {
			x.refuse(l, fmt.Errorf("kafka: topic %q, partition %d: too much in between is not settled: %w",
				l.topic, l.partition, event.ErrFull))
			continue
		}
		marks[partition{l.topic, l.partition}] = m
	}
	for _, p := range x.parts {
		if p.err == nil {
			live = append(live, p)
		}
	}
	return live, marks
}

// slot returns the slot of a part while its tenure lasts. The consumer is locked.
func (p *part) slot() *slot {
	if p.l.t.ended {
		return nil
	}
	s := p.l.slot(p.n)
	if s == nil || s.offset != p.offset {
		return nil
	}
	return s
}

// haveLost reports whether all partitions of parts are others'.
func (c *consumer) haveLost(parts []*part) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !slices.ContainsFunc(parts, func(p *part) bool { return !p.l.t.ended })
}

// refuse takes the parts of a lane out of a transaction.
func (x *transaction) refuse(l *lane, err error) {
	for _, p := range x.parts {
		if p.l == l && p.err == nil {
			p.err = err
		}
	}
}

// holdBack takes parts out of a transaction that something of their key is ahead of
// that is acked too, but not in this one. The consumer is locked.
func (l *lane) holdBack(x *transaction) {
	var ahead map[string]bool
	l.each(func(_ uint64, s *slot) {
		mine := s.part != nil && s.part.x == x
		if s.kept == nil && !mine {
			return
		}
		key := s.event.Key()
		if key == "" {
			return
		}
		switch {
		case !mine || s.part.err != nil:
			if ahead == nil {
				ahead = make(map[string]bool)
			}
			ahead[key] = true
		case ahead[key]:
			s.part.err = fmt.Errorf("kafka: what an event ahead of it in its key caused is not written: %w", event.ErrFull)
		}
	})
}

// end records what became of a transaction.
func (x *transaction) end(err error) {
	c := x.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	x.err = err
	for _, p := range x.parts {
		s := p.slot()
		switch {
		case err == nil && p.err == nil:
			p.commit(s)
		case s != nil && s.part == p: // it stays in hand
			s.part, s.kept = nil, p.kept
		default:
			c.ch.room.Release(p.kept.weight)
		}
	}
	c.change()
}

// commit notes that a part is settled, also when it was given up meanwhile: a commit
// that doesn't know of it would undo it. The consumer is locked.
func (p *part) commit(s *slot) {
	c := p.x.s.c
	c.ch.room.Release(p.kept.weight)
	if s != nil && s.state != settled {
		p.l.exact = max(p.l.exact, p.offset+1)
		p.l.set(p.n, settled)
	}
	p.committed = true
	if p.x.left {
		c.remember(p.token)
	}
}
