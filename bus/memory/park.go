package memory

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/leat-go/leat/event"
)

// parkedKey is a key of a queue that has dead letters from a Park on: what comes of
// it goes behind them.
type parkedKey struct {
	front uint64 // number of the oldest of them
	n     int
}

// joinParked counts a dead letter to its key when that is parked, or parks it.
func (q *queue) joinParked(l *deadLetter, park bool) {
	key := l.e.Key()
	p, parked := q.dead.parked[key]
	if key == "" || !parked && !park {
		return
	}
	if !parked {
		p.front = l.number
		q.parkLane(key)
	}
	p.n++
	q.dead.parked[key] = p
	l.parked = true
}

// parkLane closes the lane of a key: nothing in it can be delivered.
func (q *queue) parkLane(key string) {
	g := q.g
	if q.dead.parked == nil {
		q.dead.parked = make(map[string]parkedKey)
	}
	li := g.lanes.of(q.index, key)
	l := &g.lanes.all[li]
	l.parked = true
	q.behind += int(l.waiting)
	g.parked++
	g.arrange(li, false)
}

// unpark lets a key go on.
func (q *queue) unpark(key string) {
	if _, parked := q.dead.parked[key]; !parked {
		return
	}
	g := q.g
	delete(q.dead.parked, key)
	li := g.lanes.find(q.index, key)
	l := &g.lanes.all[li]
	l.parked = false
	if q.behind -= int(l.waiting); q.behind == 0 {
		q.tellAt = 0
	}
	g.parked--
	g.arrange(li, false)
}

// unparkAll forgets what is parked of a queue that is removed.
func (q *queue) unparkAll() {
	for key := range q.dead.parked {
		q.unpark(key)
	}
}

// leaveParked takes a dead letter that is gone off its key: the next is in front, or
// the key goes on when it was the last.
func (q *queue) leaveParked(l *deadLetter) {
	key := l.e.Key()
	p := q.dead.parked[key]
	if p.n--; p.n == 0 {
		q.unpark(key)
		return
	}
	if p.front == l.number {
		i := slices.IndexFunc(q.dead.letters, func(o deadLetter) bool { return o.parked && o.e.Key() == key })
		p.front = q.dead.letters[i].number
	}
	q.dead.parked[key] = p
}

// recall takes what m has in hand of a parked key away, but for what is begun: that
// may end. What is taken counts as an attempt only if it was begun before.
func (g *group) recall(m *consumer, q *queue, key string, end *ending) {
	var tokens []event.Token
	for i := range g.slots.all {
		s := &g.slots.all[i]
		if s.state != stateFetched && s.state != stateHeld ||
			s.owner != m.id || s.queue != q.index || s.e.Key() != key {
			continue
		}
		tokens = append(tokens, event.Token{uint64(i), s.gen})
		if s.lease != nil {
			end.leases = append(end.leases, s.lease)
		}
		if s.state == stateFetched {
			s.attempts--
		}
		g.giveBack(m, int32(i), 0)
	}
	end.cause = event.ErrLeaseLost
	if len(tokens) > 0 && m.lost != nil {
		end.lost = append(end.lost, lostTokens{m.lost, tokens})
	}
}

// recallHeld is recall after a Hold.
func (g *group) recallHeld(m *consumer, s *slot, end *ending) {
	if g.parked == 0 {
		return
	}
	q := g.queues[s.queue]
	if _, parked := q.dead.parked[s.e.Key()]; parked {
		g.recall(m, q, s.e.Key(), end)
		g.moveBehind(end)
	}
}

// moveBehind makes dead letters of what waits in the lanes of parked keys, as far as
// there is room.
func (g *group) moveBehind(end *ending) {
	if g.parked == 0 {
		return
	}
	g.ripen(g.c.now())
	for _, q := range g.queues {
		if q == nil {
			continue
		}
		if q.behind > 0 && q.deadRoom() > 0 {
			q.moveBehind(end)
		}
		q.tellStuck(end)
	}
	end.moved.flush()
	end.c = g.c
}

func (q *queue) moveBehind(end *ending) {
	g := q.g
	waiting := make([]int32, 0, q.behind)
	for li := q.parked.first; li != 0; li = g.lanes.all[li].next {
		for si := g.lanes.all[li].first; si != 0; si = g.slots.all[si].next {
			waiting = append(waiting, si)
		}
	}
	slices.SortFunc(waiting, func(a, b int32) int {
		return cmp.Compare(g.slots.all[a].offset, g.slots.all[b].offset)
	})
	for _, si := range waiting[:min(len(waiting), q.deadRoom())] {
		s := &g.slots.all[si]
		q.joinParked(q.dead.add(s, g.c.now(), q.behindCause(s)), false)
		if s.heap != 0 {
			g.undelay(si)
		}
		g.stepOut(si)
		g.arrange(s.lane, false)
		g.slots.remove(si)
		g.progress++
		end.moved.add(q)
	}
}

// tellEvery is how often members are told that parked keys find no room: more often
// than who asks whether all is well forgets it.
const tellEvery = int64(10 * time.Second)

// tellStuck tells the members when events of parked keys find no room behind them, and
// again as long as that lasts. Nobody else would: nothing of these keys is delivered.
func (q *queue) tellStuck(end *ending) {
	if q.behind == 0 {
		q.tellAt = 0
		return
	}
	now := q.g.c.now()
	if q.tellAt != 0 && now < q.tellAt {
		return
	}
	const text = "memory: events of parked keys of group %q on topic %q wait, since its %d dead letters leave no room for them: %w"
	err := fmt.Errorf(text, q.g.name, q.t.name, len(q.dead.letters), event.ErrFull)
	for _, m := range q.members {
		if m.state == memberOpen && m.onError != nil {
			end.told = append(end.told, toldError{m.onError, err})
			q.tellAt = now + tellEvery
		}
	}
}

// nextTold returns when the member has to look whether parked keys still find no room,
// or never.
func (m *consumer) nextTold() int64 {
	next := never
	if m.g.parked == 0 || m.onError == nil {
		return next
	}
	for _, q := range m.queues {
		if q.tellAt != 0 {
			next = min(next, q.tellAt)
		}
	}
	return next
}

// behindCause says what an event of a parked key waits for.
func (q *queue) behindCause(s *slot) event.Cause {
	i, _ := q.dead.find(q.dead.parked[s.e.Key()].front)
	front := &q.dead.letters[i]
	return event.Cause{
		Code:     event.CodeParkedBehind,
		Text:     fmt.Sprintf("waits behind %s of the same key", front.e.ID()),
		Handler:  front.cause.Handler,
		Attempts: int(s.attempts),
		Failures: int(s.failures),
	}.Bounded()
}

// upToDate does what time has made due, and moves all that has come of parked keys
// behind them, also when no member receives. The group is locked.
func (q *queue) upToDate() ending {
	if len(q.dead.parked) > 0 {
		q.g.unloadAll(q)
	}
	return q.g.advance()
}

// mayRedrive returns why a dead letter can't be redriven by itself: its key is
// parked and another is in front.
func (q *queue) mayRedrive(l *deadLetter) error {
	p, parked := q.dead.parked[l.e.Key()]
	if !parked || p.front == l.number {
		return nil
	}
	i, _ := q.dead.find(p.front)
	const text = "memory: dead letter %d of group %q on topic %q is parked behind %s, the dead letter %d: redrive that, or the key"
	return fmt.Errorf(text, l.number, q.g.name, q.t.name, q.dead.letters[i].e.ID(), p.front)
}

// upToDate is that of all queues of a group.
func (g *group) upToDate() ending {
	if g.parked > 0 {
		for _, q := range g.queues {
			if q != nil && len(q.dead.parked) > 0 {
				g.unloadAll(q)
			}
		}
	}
	return g.advance()
}
