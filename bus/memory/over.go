package memory

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// MaxOverBound is how many events a topic's fullest group may have above the
// capacity and the reserve, so that handlers that publish don't wait for each other
// for good. More are accepted only when all that wait would need more: see Bounds in
// the package's documentation.
const MaxOverBound = 16

// produceOver accepts events above all bounds when their handler is the one that
// may go on.
func (t *topic) produceOver(ctx context.Context, b *batch, bound int) bool {
	c := t.c
	l := leaseOf(ctx)
	if l == nil || l.m.c != c {
		return false
	}
	c.passing.Lock()
	over, ok := t.passOver(l, b, bound)
	c.passing.Unlock()
	if !ok {
		return false
	}
	b.tell()
	c.wentOut(ctx)
	if c.cfg.overBound != nil && over > 0 {
		c.cfg.overBound(t.name, over)
	}
	return true
}

// passOver accepts events above the bound, and returns how many are above it then.
// passing is locked.
func (t *topic) passOver(l *lease, b *batch, bound int) (over int, ok bool) {
	c, w := t.c, l.tries(t, b)
	if !l.note() {
		return 0, false
	}
	runs, quiet, stuck := c.quietFor(w)
	now, fits := c.now(), w.fits()
	further := !runs && c.leeway.spares(len(b.events), now)
	switch {
	case further:
	case !quiet:
		return 0, false
	default:
		if next := c.nextOver(l, fits); next != l {
			next.wants.passedBy++
			return 0, false
		}
		if stuck && !fits {
			c.leeway.open(now, c.cfg.capacity)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	queues := t.targets(b)
	_, have := fullest(queues)
	over = have + len(b.events) - bound
	if t.takes(b) != nil || over > MaxOverBound && (fits || !stuck) && !further {
		return 0, false
	}
	if further && over > MaxOverBound {
		c.leeway.left -= len(b.events)
	}
	c.over = max(c.over, over)
	t.acceptFront(b, queues)
	return over, true
}

// leeway is how many events may go further over the bounds once nothing moved and none
// that waited would fit: not only those of the publish that found it so, since each of
// the others would have to find it anew.
type leeway struct {
	left  int
	size  int   // that it last had
	since int64 // when it was opened
}

// leewayLasts is how long others have to make use of it: they try again about once a
// second.
const leewayLasts = time.Second

// open gives leeway; twice as much as the last time when that was just now, up to the
// capacity.
func (y *leeway) open(now int64, capacity int) {
	if now-y.since > 2*int64(leewayLasts) {
		y.size = 0
	}
	y.size = min(max(2*y.size, MaxOverBound), max(capacity, MaxOverBound))
	y.left, y.since = y.size, now
}

// spares reports whether there is leeway for n events.
func (y *leeway) spares(n int, now int64) bool {
	return n <= y.left && now-y.since <= int64(leewayLasts)
}

// HighestOverBound returns how many events a topic's fullest group ever had above
// the capacity and the reserve: at most [MaxOverBound], unless all that waited for
// room needed more.
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

// want is what is known of a publish that found no room, at its last try. It belongs
// to Channel.passing.
type want struct {
	t        *topic
	only     *group // of the publish; nil: all groups
	n        int    // events
	seen     uint64 // progress of the channel then, and 1
	seenAt   int64  // since when
	passedBy int64  // tries of others since
}

// tries notes that the delivery of a lease tries to publish.
func (l *lease) tries(t *topic, b *batch) *want {
	if l.wants == nil {
		l.wants = new(want)
	}
	w := l.wants
	w.t, w.only, w.n, w.passedBy = t, b.only, len(b.events), 0
	return w
}

// fits reports whether the publish would go over the bound by [MaxOverBound] at most.
// One of more events than that never does, lest it goes ahead of all others.
func (w *want) fits() bool {
	t := w.t
	t.mu.Lock()
	defer t.mu.Unlock()
	_, have := fullest(t.targets(&batch{only: w.only}))
	return w.n <= MaxOverBound && have+w.n <= t.c.cfg.capacity+t.c.cfg.reserve+MaxOverBound
}

// stuckAfter is how long nothing has to move, where something could, until a publish
// goes over the bound by more than [MaxOverBound].
const stuckAfter = 50 * time.Millisecond

// quietFor reports whether a handler runs that doesn't wait for room; if none does,
// whether nothing is on its way that could still make room, and whether it is sure to
// stay so.
//
// What is on its way is what is delivered and not begun, or could be delivered.
// Where consumers don't fetch that, because their hands are full of deliveries that
// wait for room, or don't begin it, because it is behind such in its key, it counts
// only as long as anything moved since the last try. passing is locked.
func (c *Channel) quietFor(w *want) (runs, quiet, stuck bool) {
	runs, comes, progress := c.motion()
	if !runs && !comes { // unless it went, during the look, from where that came later to where it came first
		before := progress
		runs, comes, progress = c.motion()
		comes = comes || progress != before
	}
	if runs {
		return true, false, false
	}
	moved := w.seen != progress+1
	if now := c.now(); moved {
		w.seen, w.seenAt = progress+1, now
	} else {
		stuck = now-w.seenAt >= int64(stuckAfter)
	}
	return false, !comes || !moved, !comes || stuck
}

// motion looks at one group after the other: whether a handler runs that doesn't wait
// for room, whether something is on its way to one, and how much has moved so far.
func (c *Channel) motion() (runs, comes bool, progress uint64) {
	for _, g := range c.allGroups() {
		g.mu.Lock()
		progress += g.progress
		runs = runs || g.begun > g.stuck
		comes = comes || g.fetched > 0 || g.deliverable()
		g.mu.Unlock()
	}
	return runs, comes, progress
}

// nextOver returns whose publish goes over the bound next: the newest of the waiting
// deliveries whose publish fits; if there is none, the newest. Who doesn't try as
// often as others is passed over. passing is locked.
func (c *Channel) nextOver(tries *lease, fits bool) *lease {
	var newest *lease
	for _, l := range c.waiting() {
		switch {
		case l != tries && !l.stillTries():
			continue
		case l == tries && fits || l != tries && l.wants.fits():
			return l
		case newest == nil:
			newest = l
		}
		if !fits && newest != tries {
			return newest
		}
	}
	return cmp.Or(newest, tries)
}

// stillTries reports whether a waiting delivery tries about as often as others.
func (l *lease) stillTries() bool { return l.wants.passedBy <= 8*l.m.c.waits.Load() }

// lineUp are the deliveries that wait for room, and when they were found out.
type lineUp struct {
	newestFirst []*lease
	changes     uint64
}

// waiting returns the deliveries that wait for room, newest first. passing is locked.
func (c *Channel) waiting() []*lease {
	changes := c.waitsChanged.Load()
	if c.line.changes == changes {
		return c.line.newestFirst
	}
	type waiter struct {
		*lease
		at, offset int64
	}
	var all []waiter
	for _, g := range c.allGroups() {
		g.mu.Lock()
		for i := range g.slots.all {
			if s := &g.slots.all[i]; s.waits {
				all = append(all, waiter{s.lease, s.at, s.offset})
			}
		}
		g.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b waiter) int {
		return cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(b.offset, a.offset))
	})
	line := make([]*lease, len(all))
	for i := range all {
		line[i] = all[i].lease
	}
	c.line = lineUp{line, changes}
	return line
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
