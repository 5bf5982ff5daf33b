package kafka

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

// move is an event on its way to another topic: behind the parked key that it has, or
// to the delay topic.
type move struct {
	l      *lane
	n      uint64
	to     int32 // partition
	behind bool
	key    string
	rec    *kgo.Record
	seq    uint64 // of its session
}

// leave lets an event of a parked key go behind it. The consumer is locked.
func (l *lane) leave(n uint64) move {
	s := l.at(n)
	key := s.event.Key()
	front := l.t.keys.front(key)
	l.set(n, leaving)
	l.t.keys.moving[key]++
	return l.t.s.let(move{l: l, n: n, to: l.partition, behind: true, key: key, rec: l.newLetter(s, kindParked, event.Cause{
		Code: event.CodeParkedBehind, Text: "behind " + front,
	})})
}

// let lets an event go, behind those that were let go before. The consumer is locked.
func (s *session) let(m move) move {
	s.gone++
	m.seq = s.gone
	s.leaving = append(s.leaving, m)
	return m
}

// moveAll sends events behind their parked keys, in the order in which they were let
// go, whoever does it. It doesn't wait: the records of a partition arrive in the order
// in which they are sent.
func (s *session) moveAll(moves []move) {
	if len(moves) == 0 {
		return
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.sending {
		return // they are sent with those before them
	}
	s.sending = true
	for len(s.leaving) > 0 {
		m := s.leaving[0]
		s.leaving = s.leaving[1:]
		if m.l.t.ended {
			continue // the next owner moves it
		}
		if _, stuck := s.stuck[m.queue()]; stuck {
			s.stick(m)
			continue
		}
		s.c.mu.Unlock()
		s.move(m)
		s.c.mu.Lock()
	}
	s.leaving, s.sending = nil, false
}

func (s *session) move(m move) {
	cl, err := s.c.ch.use()
	if err != nil {
		return // closing: the next owner moves it
	}
	cl.Produce(context.Background(), m.rec, func(r *kgo.Record, err error) {
		if err != nil {
			s.c.tell(fmt.Errorf("kafka: group %q: an event can't go to topic %q: %w", s.c.sub.Group, r.Topic, err))
			s.c.mu.Lock()
			defer s.c.mu.Unlock()
			s.stick(m)
			return
		}
		s.moved(m, r.Offset)
	})
}

// queue names those that have to go in order.
type queue struct {
	t   *tenure
	key string
}

func (m move) queue() queue { return queue{m.l.t, m.key} }

// stick lets an event that could not go, and those of its key after it, try again
// together: what is let go later must not overtake them. The consumer is locked.
func (s *session) stick(m move) {
	q := m.queue()
	if q.t.ended || s.c.closed {
		return
	}
	ms, waiting := s.stuck[q]
	if !waiting {
		if s.stuck == nil {
			s.stuck = make(map[queue][]move)
		}
		time.AfterFunc(time.Second, func() { s.moveAgain(q) })
	}
	at, _ := slices.BinarySearchFunc(ms, m.seq, func(o move, seq uint64) int { return cmp.Compare(o.seq, seq) })
	s.stuck[q] = slices.Insert(ms, at, m)
}

func (s *session) moveAgain(q queue) {
	s.c.mu.Lock()
	ms := s.stuck[q]
	delete(s.stuck, q)
	if q.t.ended || s.c.closed {
		ms = nil
	}
	for _, m := range ms {
		to(m.rec, m.to)
	}
	s.leaving = slices.Concat(ms, s.leaving)
	s.c.mu.Unlock()
	s.moveAll(ms)
}

// moved notes that an event is where it was sent.
func (s *session) moved(m move, offset int64) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	t := m.l.t
	if t.ended {
		return
	}
	sl := m.l.slot(m.n)
	if m.behind {
		t.keys.arrived(m.key)
	}
	if sl == nil || sl.state != leaving {
		return
	}
	if !m.behind {
		s.settle(m.l, m.n)
		return
	}
	t.keys.add(&letter{offset: offset, key: m.key, id: sl.event.ID(), origin: sl.origin, parked: true})
	s.settle(m.l, m.n)
}

// follow lets what was read before it was known which keys are parked go behind them.
// The consumer is locked.
func (t *tenure) follow() (moves []move) {
	for _, l := range [...]*lane{&t.again, &t.main} {
		l.each(func(n uint64, s *slot) {
			if s.state != queued || !t.keys.parked(s.event.Key()) {
				return
			}
			if t.keys.holds(s.origin) {
				l.set(n, settled)
				return
			}
			moves = append(moves, l.leave(n))
		})
	}
	return moves
}

// takeAway takes what a member has of a parked key and has not begun, and lets it go
// behind. The consumer is locked. What is redriven is older than what is not.
func (t *tenure) takeAway(key string) (moves []move, lost []event.Token) {
	for _, l := range [...]*lane{&t.again, &t.main} {
		l.each(func(n uint64, s *slot) {
			if s.event.IsZero() || s.event.Key() != key || s.letter != nil { // with a letter: it is a dead one itself
				return
			}
			switch s.state {
			case inHand, held:
				lost = append(lost, l.token(n))
				moves = append(moves, l.leave(n))
			case queued:
				moves = append(moves, l.leave(n))
			case delayed, begun, gone, leaving, settled, states:
			}
		})
	}
	t.c.change()
	return moves, lost
}
