package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

// move is an event on its way to another topic: behind the parked key that it has, or
// to the redrive topic.
type move struct {
	l      *lane
	n      uint64
	behind bool
	key    string
	rec    *kgo.Record
}

// leave lets an event of a parked key go behind it. The consumer is locked.
func (l *lane) leave(n uint64) move {
	s := l.at(n)
	key := s.event.Key()
	front := l.t.keys.front(key)
	l.set(n, leaving)
	l.t.keys.moving[key]++
	m := move{l, n, true, key, l.newLetter(s, kindParked, event.Cause{
		Code: event.CodeParkedBehind, Text: "behind " + front,
	})}
	l.t.s.leaving = append(l.t.s.leaving, m)
	return m
}

// postpone lets the delayed events of a lane that is filling up wait in the redrive
// topic, so that others get through. The consumer is locked.
func (l *lane) postpone(moves []move) []move {
	if l.count[delayed] == 0 {
		return moves
	}
	l.each(func(n uint64, s *slot) {
		if s.state != delayed || time.Until(s.event.NotBefore()) < time.Second {
			return
		}
		l.set(n, leaving)
		h := own(s.rec)
		h.mark(s.mark)
		h.origin(s.origin)
		r := &kgo.Record{Topic: l.t.again.topic, Key: s.rec.Key, Value: s.rec.Value, Headers: h}
		to(r, l.partition)
		m := move{l: l, n: n, key: s.event.Key(), rec: r}
		l.t.s.leaving = append(l.t.s.leaving, m)
		moves = append(moves, m)
	})
	return moves
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
		moves, s.leaving = s.leaving, nil
		s.c.mu.Unlock()
		for _, m := range moves {
			s.move(m)
		}
		s.c.mu.Lock()
	}
	s.sending = false
}

func (s *session) move(m move) {
	cl, err := s.c.ch.use()
	if err != nil {
		return // closing: the next owner moves it
	}
	cl.Produce(context.Background(), m.rec, func(r *kgo.Record, err error) {
		if err != nil {
			s.c.tell(fmt.Errorf("kafka: group %q: an event can't go to topic %q: %w", s.c.sub.Group, r.Topic, err))
			time.AfterFunc(time.Second, func() { s.moveAgain(m) })
			return
		}
		s.moved(m, r.Offset)
	})
}

func (s *session) moveAgain(m move) {
	s.c.mu.Lock()
	stale := m.l.t.ended || s.c.closed
	s.c.mu.Unlock()
	if stale {
		return
	}
	to(m.rec, m.l.partition)
	s.move(m)
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
