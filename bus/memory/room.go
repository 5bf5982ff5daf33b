package memory

import (
	"context"
	"fmt"
	"slices"

	"github.com/leat-go/leat/event"
)

// MaxOverBound is how many events a topic's fullest group can have above the
// capacity and the reserve, so that handlers that publish can't wait for each
// other for good.
const MaxOverBound = 16

// blockedPublisher waits for room, outside of handlers, first come first served.
type blockedPublisher struct{ wake chan struct{} }

// worthWaking reports whether publishers that wait for room should go on: at three
// quarters of the bound, so that they don't go on one event at a time; at any room
// when little is left to deliver, so that they don't wait for what is held.
func (q *queue) worthWaking() bool {
	capacity := q.t.c.cfg.capacity
	unsettled := q.unsettled()
	return unsettled <= capacity*3/4 || unsettled < capacity && q.in.len() < max(capacity/4, 1)
}

// offer lets the first publisher in line look for room.
func (t *topic) offer() {
	t.mu.Lock()
	t.offerLocked()
	t.mu.Unlock()
}

func (t *topic) offerLocked() {
	if len(t.line) > 0 {
		signal(t.line[0].wake)
	}
}

// produceTight is produce when there may not be room for all. The topic is locked;
// it is unlocked on return.
func (t *topic) produceTight(ctx context.Context, b *batch) (int, error) {
	if inHandler(ctx) {
		return t.produceInside(ctx, b)
	}
	return t.produceWaiting(ctx, b)
}

// inHandler reports whether a publish under ctx must not wait.
func inHandler(ctx context.Context) bool { return event.Handling(ctx) || leaseOf(ctx) != nil }

func leaseOf(ctx context.Context) *lease {
	l, _ := ctx.Value(leaseKey{}).(*lease)
	return l
}

// produceWaiting accepts as many events as there is room for and waits for more
// room until all are accepted.
func (t *topic) produceWaiting(ctx context.Context, b *batch) (done int, err error) {
	var me *blockedPublisher
	for {
		if err = t.takes(b); err != nil {
			break
		}
		if len(t.line) == 0 || t.line[0] == me {
			queues := t.targets(b)
			if n := min(t.look(queues), len(b.events)-done); n > 0 {
				part := b.cut(done, n)
				t.accept(&part, queues)
				done += n
				t.room = 0
				t.mu.Unlock()
				wake(queues)
				t.mu.Lock()
			}
		}
		if done == len(b.events) {
			break
		}
		if me == nil {
			me = &blockedPublisher{wake: make(chan struct{}, 1)}
			t.line = append(t.line, me)
			t.room = 0
			t.blocked.Add(1)
			continue // who settles looks at blocked: look once more after that
		}
		if err = t.waitForRoom(ctx, me); err != nil {
			err = t.full(err, t.targets(b), t.c.cfg.capacity)
			break
		}
	}
	t.leaveLine(me)
	t.mu.Unlock()
	return done, err
}

// takes returns why a batch can't be accepted at all. The topic is locked.
func (t *topic) takes(b *batch) error {
	if t.closed {
		return event.ErrClosed
	}
	if b.only != nil && t.targets(b) == nil {
		return fmt.Errorf("memory: group %q on topic %q: %w", b.only.name, t.name, event.ErrNotFound)
	}
	return nil
}

// leaveLine lets the next publisher go on. The topic is locked.
func (t *topic) leaveLine(me *blockedPublisher) {
	if me != nil {
		i := slices.Index(t.line, me)
		t.line = slices.Delete(t.line, i, i+1)
		t.blocked.Add(-1)
		if i == 0 {
			t.offerLocked()
		}
	}
	t.renewRoom()
}

// renewRoom looks how many events may come next without looking. The topic is locked.
func (t *topic) renewRoom() {
	t.room = 0
	if len(t.line) == 0 && !t.closed {
		t.line = nil
		t.room = t.look(t.queues)
	}
}

// waitForRoom waits until there may be room. The topic is unlocked meanwhile. Like
// everybody who waits, it keeps the time for crashed members.
func (t *topic) waitForRoom(ctx context.Context, me *blockedPublisher) error {
	t.mu.Unlock()
	defer t.mu.Lock()
	return sleep(ctx, me.wake, t.c, t.c.reap())
}

// full returns the error that names the fullest group. The topic is locked.
func (t *topic) full(err error, queues []*queue, bound int) error {
	e := &event.FullError{Topic: t.name, Bound: bound, Err: err}
	if q, n := fullest(queues); q != nil {
		e.Group, e.Waiting = q.g.name, n
	}
	return e
}

// produceInside accepts all events or none, without waiting: up to the capacity
// and the reserve, and beyond when nothing else can move. The topic is locked; it is
// unlocked on return.
func (t *topic) produceInside(ctx context.Context, b *batch) (int, error) {
	bound := t.c.cfg.capacity + t.c.cfg.reserve
	n := len(b.events)
	if n > max(bound, MaxOverBound) {
		t.mu.Unlock()
		return 0, fmt.Errorf("memory: %d events at once inside a handler, topic %q has a capacity and reserve of %d: %w",
			n, t.name, bound, event.ErrTooLarge)
	}
	if err := t.takes(b); err != nil {
		t.mu.Unlock()
		return 0, err
	}
	queues := t.targets(b)
	if _, have := fullest(queues); have <= bound-n {
		t.accept(b, queues)
		t.renewRoom()
		t.mu.Unlock()
		wake(queues)
		if t.c.waits.Load() > 0 {
			t.c.wentOut(ctx)
		}
		return n, nil
	}
	err := t.full(nil, queues, bound)
	t.mu.Unlock()
	if t.produceOver(ctx, b, bound) {
		return n, nil
	}
	return 0, err
}

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
