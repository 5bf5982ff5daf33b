package memory

import (
	"context"
	"time"

	"github.com/leat-go/leat/event"
)

// memberState is where a consumer stands in its life.
type memberState uint8

const (
	memberOpen memberState = iota
	memberClosing
	memberClosed
	memberCrashed
)

// consumer is one member of a group. Its fields belong to the group's mutex.
type consumer struct {
	c       *Channel
	g       *group
	id      int32
	most    int // deliveries in hand, not counting those aside; 0: any number
	grace   time.Duration
	lost    func([]event.Token)
	queues  []*queue
	wake    chan struct{} // of one token: Receive has to look again
	ended   chan struct{} // of one token: Close has to look again; from Close on
	state   memberState
	idle    bool // waits in Receive for an event
	full    bool // waits in Receive for room in its hand
	turn    int  // the queue that was looked at last
	inHand  int
	aside   int // of these, held and waiting for room
	begun   int
	expires int64         // of a crashed one
	unbegun []event.Token // of a crashed one
	owned   laneList
}

var _ event.Consumer = (*consumer)(nil)

func (m *consumer) signal() { signal(m.wake) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // one is there already
	}
}

// Receive implements [event.Consumer].
func (m *consumer) Receive(ctx context.Context, buf []event.Delivery) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	g := m.g
	for {
		g.mu.Lock()
		if m.state != memberOpen || g.gone {
			m.passOn() // what m may have been woken for
			g.mu.Unlock()
			return 0, event.ErrClosed
		}
		if len(buf) == 0 {
			g.mu.Unlock()
			return 0, nil
		}
		end := g.advance()
		n, next, full := m.takeOrWait(buf)
		g.mu.Unlock()
		end.run()
		if n > 0 {
			return n, nil
		}
		if !full {
			m.offerRoom()
		}
		if err := m.wait(ctx, next); err != nil {
			return 0, err
		}
	}
}

// takeOrWait fills buf; when there is nothing, m is marked as waiting, and next is
// when it has to look again by itself.
func (m *consumer) takeOrWait(buf []event.Delivery) (n int, next int64, full bool) {
	g := m.g
	if m.most > 0 {
		room := m.most - m.inHand + m.aside
		if room <= 0 {
			m.drainWake()
			m.full = true
			m.passOn() // somebody may have counted on m
			return 0, never, true
		}
		buf = buf[:min(len(buf), room)]
	}
	if n = g.take(m, buf); n == 0 {
		// Those who produce look at idle after they have published.
		m.idle = true
		g.idle.Add(1)
		if n = g.take(m, buf); n == 0 {
			m.drainWake()
			g.slots.shrink()
			g.lanes.shrink()
			return 0, g.nextTime(), false
		}
		m.idle = false
		g.idle.Add(-1)
	}
	if n == len(buf) {
		m.passOn()
	}
	return n, never, false
}

// drainWake removes a token of an earlier wait.
func (m *consumer) drainWake() {
	select {
	case <-m.wake:
	default:
	}
}

// passOn wakes another member when events are left.
func (m *consumer) passOn() {
	if m.g.idle.Load() == 0 {
		return
	}
	for _, q := range m.queues {
		if q.runnable.first != 0 || q.in.len() > 0 {
			m.g.wakeAny(q)
			return
		}
	}
}

// wait waits for a token, for the time next, or for ctx.
func (m *consumer) wait(ctx context.Context, next int64) error {
	err := sleep(ctx, m.wake, m.c, next)
	g := m.g
	g.mu.Lock()
	defer g.mu.Unlock()
	m.full = false
	if m.idle {
		m.idle = false
		g.idle.Add(-1)
	} else if err != nil { // the token was for somebody who comes
		m.passOn()
	}
	return err
}

// sleep waits for a token, until a time of the channel's clock, or until ctx ends;
// then it returns ctx's error.
func sleep(ctx context.Context, token <-chan struct{}, c *Channel, until int64) error {
	if until == never {
		select {
		case <-token:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	timer := time.NewTimer(time.Duration(until - c.now()))
	defer timer.Stop()
	select {
	case <-token:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Begin implements [event.Consumer]. All runs of a delivery have the same context.
func (m *consumer) Begin(t event.Token) (context.Context, bool) {
	g := m.g
	g.mu.Lock()
	defer g.mu.Unlock()
	s := m.mine(t)
	if s == nil {
		return nil, false
	}
	if s.state != stateBegun {
		g.setState(m, s, stateBegun)
	}
	if s.lease == nil {
		s.lease = g.newLease(m, t)
	}
	return s.lease, true
}

// mine returns the slot of a token, or nil.
func (m *consumer) mine(t event.Token) *slot {
	if m.state > memberClosing || m.g.gone {
		return nil
	}
	return m.g.hand(m, t)
}

// Hold implements [event.Consumer].
func (m *consumer) Hold(t event.Token, failures int) {
	g := m.g
	g.mu.Lock()
	s := m.mine(t)
	if s == nil {
		g.mu.Unlock()
		return
	}
	s.failures = int32(failures)
	g.setState(m, s, stateHeld)
	if m.state == memberClosing {
		g.giveBack(m, int32(t[0]), 0)
	}
	m.handEmptied()
	g.mu.Unlock()
}

// handEmptied tells a waiting Close that nothing is begun any more, and a waiting
// Receive that there is room in the hand.
func (m *consumer) handEmptied() {
	if m.ended != nil && m.begun == 0 {
		signal(m.ended)
	}
	if m.full {
		m.full = false
		m.signal()
	}
}

// Settle implements [event.Consumer].
func (m *consumer) Settle(_ context.Context, ss []event.Settlement) error {
	var refused map[int]error
	var after settled
	g := m.g
	g.mu.Lock()
	if m.state > memberClosing || g.gone {
		g.mu.Unlock()
		return event.ErrClosed
	}
	for i := range ss {
		if err := m.settle(&ss[i], &after); err != nil {
			if refused == nil {
				refused = make(map[int]error)
			}
			refused[i] = err
		}
	}
	after.flush()
	m.handEmptied()
	g.mu.Unlock()
	after.tell(g.c)
	if refused != nil {
		return &event.SettleError{Failed: refused}
	}
	return nil
}

// settle ends one delivery.
func (m *consumer) settle(e *event.Settlement, after *settled) error {
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
	case event.SettleDead:
		if err := g.bury(q, s, e.Cause); err != nil {
			m.keepForLater(si, s)
			return err
		}
	case event.SettlePark:
		return event.ErrNotSupported
	default:
		return event.ErrNotSupported
	}
	g.settleSlot(m, si)
	after.add(q)
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

// offerRoom lets publishers go on that wait for more room than there is, when the
// group has nothing left to deliver.
func (m *consumer) offerRoom() {
	for _, q := range m.queues {
		if q.t.blocked.Load() > 0 {
			q.t.offer()
		}
	}
}

// Close implements [event.Consumer].
func (m *consumer) Close(ctx context.Context) error {
	g := m.g
	g.mu.Lock()
	if m.state != memberOpen || g.gone {
		g.mu.Unlock()
		return nil
	}
	m.state = memberClosing
	m.ended = make(chan struct{}, 1)
	m.stopReceive() // first, so that nobody counts on m
	m.giveBackAll(stateFetched)
	m.giveBackAll(stateHeld)
	running := m.begun > 0
	g.mu.Unlock()
	if running && !m.awaitBegun(ctx) {
		m.endBegun(event.ErrClosed)
		if m.grace > 0 {
			graced, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.grace)
			m.awaitBegun(graced)
			cancel()
		}
	}
	g.mu.Lock()
	left := m.state == memberClosing
	if left {
		m.giveBackAll(stateBegun)
		g.leave(m)
	}
	g.mu.Unlock()
	if left && g.ephemeral {
		m.c.removeEphemeral(g)
	}
	return nil
}

// stopReceive wakes a Receive that waits.
func (m *consumer) stopReceive() {
	if m.idle {
		m.idle = false
		m.g.idle.Add(-1)
	}
	m.signal()
}

// awaitBegun waits until nothing is begun, and reports whether that came before
// ctx ended.
func (m *consumer) awaitBegun(ctx context.Context) bool {
	for {
		m.g.mu.Lock()
		over := m.begun == 0 || m.state != memberClosing
		m.g.mu.Unlock()
		if over {
			return true
		}
		select {
		case <-m.ended:
		case <-ctx.Done():
			return false
		}
	}
}

// endBegun ends the contexts of what is begun.
func (m *consumer) endBegun(cause error) {
	end := ending{cause: cause}
	m.g.mu.Lock()
	for i := range m.g.slots.all {
		if s := &m.g.slots.all[i]; s.state == stateBegun && s.owner == m.id {
			end.leases = append(end.leases, s.lease)
		}
	}
	m.g.mu.Unlock()
	end.run()
}

// giveBackAll gives all in one state of being in hand back. A delivery that was
// never begun does not count as an attempt.
func (m *consumer) giveBackAll(st state) {
	g := m.g
	for i := range g.slots.all {
		s := &g.slots.all[i]
		if s.state != st || s.owner != m.id {
			continue
		}
		if st == stateFetched {
			s.attempts--
		}
		g.giveBack(m, int32(i), 0)
	}
}
