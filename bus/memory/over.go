package memory

import (
	"context"
	"slices"
)

// MaxOverBound is how many events a topic's fullest group can have above the
// capacity and the reserve, so that handlers that publish can't wait for each
// other for good.
const MaxOverBound = 16

// produceOver accepts events above all bounds when their handler is the one that
// may go on.
func (t *topic) produceOver(ctx context.Context, b *batch, bound int) bool {
	c := t.c
	l := leaseOf(ctx)
	if l == nil || l.m.c != c {
		return false
	}
	over, ok := 0, false
	c.passing.Lock()
	if n := len(b.events); c.mayPass(l, n) {
		t.mu.Lock()
		queues := t.targets(b)
		_, have := fullest(queues)
		if ok = t.takes(b) == nil && have+n <= bound+MaxOverBound; ok {
			over = have + n - bound
			c.over = max(c.over, over)
			t.acceptFront(b, queues)
		} else {
			l.wants.barred = true
			c.next.of = nil
		}
		t.mu.Unlock()
	}
	c.passing.Unlock()
	if !ok {
		return false
	}
	c.wentOut(ctx)
	if c.cfg.overBound != nil && over > 0 {
		c.cfg.overBound(t.name, over)
	}
	return true
}

// HighestOverBound returns how many events a topic's fullest group ever had above
// the capacity and the reserve: at most [MaxOverBound].
func (c *Channel) HighestOverBound() int {
	c.passing.Lock()
	defer c.passing.Unlock()
	return c.over
}

// acceptFront appends events in order, to be delivered before events of other keys
// that came earlier: what went over the bound has to come to its end first, or more
// and more would have to follow it. The topic is locked.
func (t *topic) acceptFront(b *batch, queues []*queue) {
	for _, q := range queues {
		q.g.mu.Lock()
		q.g.unloadAll(q)
	}
	t.accept(b, queues)
	t.room = 0
	for _, q := range queues {
		q.g.takeFront(q)
		q.g.mu.Unlock()
	}
}

// takeFront moves the events of the inbox to the front of what is delivered next.
func (g *group) takeFront(q *queue) {
	var slots []int32
	for range q.in.len() {
		if si, due := g.unload(q); due {
			slots = append(slots, si)
		}
	}
	for _, si := range slices.Backward(slots) {
		g.giveReady(si, true)
	}
	if q.behind > 0 {
		g.wakeAny(q) // to move it
	}
}

// mayPass decides whether the publish of a begun delivery may go over the bounds:
// when every handler that runs waits for room as it does, none that could go over
// the bound is newer, and nothing is on its way that could still make room. It
// notes that the delivery waits for room.
//
// What is on its way is what is delivered and not begun, or could be delivered.
// Where consumers don't fetch that, because their hands are full of deliveries that
// wait for room, it counts only as long as anything moved since the delivery's last
// try. passing is locked.
func (c *Channel) mayPass(l *lease, n int) bool {
	w := l.wants
	if w == nil {
		w = new(want)
		l.wants = w
	}
	if tooMany := n > MaxOverBound; w.tooMany != tooMany || w.barred {
		w.tooMany, w.barred = tooMany, false
		c.next.of = nil
	}
	w.passedBy = 0
	if !l.note() || w.tooMany {
		return false
	}
	var p passing
	for _, g := range c.allGroups() {
		g.mu.Lock()
		p.progress += g.progress
		p.runs = p.runs || g.begun > g.stuck
		p.comes = p.comes || g.fetched > 0 || g.deliverable()
		g.mu.Unlock()
	}
	if p.runs {
		return false
	}
	moved := w.seen != p.progress+1
	w.seen = p.progress + 1
	if p.comes && moved {
		return false
	}
	next := c.nextOver(l)
	if next != l {
		next.wants.passedBy++
	}
	return next == l
}

// passing is what mayPass finds in the groups.
type passing struct {
	progress uint64
	runs     bool // a handler runs that doesn't wait for room
	comes    bool // events are delivered and not begun, or could be delivered
}

// nextOver is the delivery whose publish may go over the bound next, and when that
// was found out.
type nextOver struct {
	of      *lease
	changes uint64
}

// nextOver returns the newest of the waiting deliveries that could go over the
// bound. One of them tries. passing is locked.
func (c *Channel) nextOver(tries *lease) *lease {
	changes := c.waitsChanged.Load()
	if next := c.next.of; next != nil && c.next.changes == changes && (next == tries || next.mayBeNext(c)) {
		return next
	}
	next := tries
	var at, offset int64
	for _, g := range c.allGroups() {
		g.mu.Lock()
		for i := range g.slots.all {
			s := &g.slots.all[i]
			if !s.waits || s.lease != tries && !s.lease.mayBeNext(c) {
				continue
			}
			if s.at > at || s.at == at && s.offset > offset {
				next, at, offset = s.lease, s.at, s.offset
			}
		}
		g.mu.Unlock()
	}
	c.next = nextOver{next, changes}
	return next
}

// mayBeNext reports whether others should leave it to a waiting delivery to go over
// the bound: it could, and it tries about as often as they do. passing is locked.
func (l *lease) mayBeNext(c *Channel) bool {
	w := l.wants
	return !w.tooMany && !w.barred && w.passedBy <= 8*c.waits.Load()
}

// note marks the delivery of a lease as waiting for room, and reports whether it is
// in hand and begun.
func (l *lease) note() bool {
	g := l.m.g
	g.mu.Lock()
	defer g.mu.Unlock()
	s := l.m.mine(l.token)
	if s == nil || s.state != stateBegun {
		return false
	}
	if !s.waits {
		s.waits = true
		g.stuck++
		g.c.waits.Add(1)
		g.c.waitsChanged.Add(1)
	}
	return true
}

// wentOut notes that a delivery doesn't wait for room any more.
func (c *Channel) wentOut(ctx context.Context) {
	l := leaseOf(ctx)
	if l == nil || l.m.c != c {
		return
	}
	c.passing.Lock()
	defer c.passing.Unlock()
	if l.wants != nil {
		l.wants.seen = 0
	}
	g := l.m.g
	g.mu.Lock()
	if s := g.hand(l.m, l.token); s != nil && s.waits {
		s.waits = false
		switch s.state {
		case stateBegun:
			g.stuck--
		case stateHeld:
			l.m.aside--
		default: // not counted
		}
		c.waits.Add(-1)
		c.waitsChanged.Add(1)
	}
	g.mu.Unlock()
}

// deliverable reports whether an event could be received. The group is locked.
func (g *group) deliverable() bool {
	for _, q := range g.queues {
		if q != nil && (q.runnable.first != 0 || q.in.len() > 0) && len(q.members) > 0 {
			return true
		}
	}
	for _, m := range g.members {
		if m.owned.first != 0 {
			return true
		}
	}
	return false
}

// want is what is known of a publish that found no room, at its last try.
type want struct {
	seen     uint64 // progress of the channel then
	passedBy int64  // tries of others since
	tooMany  bool   // events to go over the bound
	barred   bool   // it would have gone too far over the bound
}
