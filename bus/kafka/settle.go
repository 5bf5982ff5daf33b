package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

// letterWrite is a dead letter on its way.
type letterWrite struct {
	done   chan struct{}
	parked bool // its record says so, and those who read it go by that
	offset int64
	err    error
}

// Settle implements [event.Consumer]. Dead letters are durable before anything of the
// call is recorded: when ctx ends before that, nothing is.
func (c *consumer) Settle(ctx context.Context, ss []event.Settlement) error {
	if err := c.bury(ctx, ss); err != nil {
		return err
	}
	if c.afterLetters != nil {
		c.afterLetters()
		return event.ErrClosed
	}
	parts, err := c.transact(ctx, ss)
	if err != nil {
		return err
	}
	var refused map[int]error
	var moves []move
	var lost []event.Token
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return event.ErrClosed
	}
	s := c.s
	for i := range ss {
		p := parts[i]
		if p != nil && p.err == nil {
			continue // committed
		}
		var m []move
		var tokens []event.Token
		var err error
		if p != nil {
			err = p.err
		} else {
			m, tokens, err = c.end(&ss[i])
		}
		moves, lost = append(moves, m...), append(lost, tokens...)
		if err != nil {
			if refused == nil {
				refused = make(map[int]error)
			}
			refused[i] = err
		}
	}
	resume := c.resumable()
	c.change()
	c.mu.Unlock()
	c.steer(resume)
	signal(c.wake) // there may be room in hand
	s.soil()
	c.tellLost(lost)
	s.moveAll(moves) //nolint:contextcheck // they go on when the call is over
	if refused != nil {
		return &event.SettleError{Failed: refused}
	}
	return nil
}

// end records one settlement. The consumer is locked.
func (c *consumer) end(e *event.Settlement) ([]move, []event.Token, error) {
	l, n, s := c.find(e.Token)
	if s == nil {
		return nil, nil, event.ErrLeaseLost
	}
	switch e.Kind {
	case event.SettleAck:
		l.set(n, settled)
		return nil, nil, nil
	case event.SettleDead, event.SettlePark:
	case event.SettleRetry, event.SettleRelease:
		if c.closing || l.t.revoking {
			return nil, l.giveBack(n), nil // it goes back with its partition
		}
		return nil, nil, event.ErrNotSupported
	default:
		return nil, nil, event.ErrNotSupported
	}
	if s.letter == nil { // ephemeral: nothing is kept
		l.set(n, settled)
		return nil, nil, nil
	}
	if s.letter.err != nil {
		err := s.letter.err
		s.letter = nil // the next Settle tries again
		return nil, nil, err
	}
	key, front := s.event.Key(), letter{offset: s.letter.offset, key: s.event.Key(), id: s.event.ID(), origin: s.origin, parked: true}
	parks := s.letter.parked
	l.set(n, settled)
	if !parks {
		return nil, nil, nil
	}
	l.t.keys.add(&front)
	moves, lost := l.t.takeAway(key)
	return moves, lost, nil
}

// settle ends a delivery and resumes what waited for that. The consumer is locked.
func (s *session) settle(l *lane, n uint64) {
	l.set(n, settled)
	s.c.change()
	s.soil()
	if l.settledSome() {
		go s.c.steer([]*lane{l})
	}
}

// bury writes the dead letters of a call and waits until they are durable. A letter
// that an earlier call has begun to write is waited for, not written again.
func (c *consumer) bury(ctx context.Context, ss []event.Settlement) error {
	if c.sub.Ephemeral {
		return nil
	}
	var waits []*letterWrite
	for i := range ss {
		if ss[i].Kind != event.SettleDead && ss[i].Kind != event.SettlePark {
			continue
		}
		w, err := c.write(ctx, &ss[i])
		if err != nil {
			return err
		}
		if w != nil {
			waits = append(waits, w)
		}
	}
	for _, w := range waits {
		if err := c.ch.doors.wait(ctx, w.done); err != nil {
			return fmt.Errorf("kafka: a dead letter of group %q is not durable yet: %w", c.sub.Group, err)
		}
	}
	return nil
}

// write begins to write a dead letter, or returns the write that has begun; none for
// a stale token.
func (c *consumer) write(ctx context.Context, e *event.Settlement) (w *letterWrite, err error) {
	cl, err := c.ch.use()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	l, _, s := c.find(e.Token)
	if s == nil || s.letter != nil {
		if s != nil {
			w = s.letter
		}
		c.mu.Unlock()
		return w, nil
	}
	kind := kindDead
	if key := s.event.Key(); key != "" && (e.Kind == event.SettlePark || l.t.keys.parked(key)) {
		kind = kindParked
	}
	cause := event.Cause{}
	if e.Cause != nil {
		cause = *e.Cause
	}
	w = &letterWrite{done: make(chan struct{}), parked: kind == kindParked}
	s.letter = w
	rec := l.newLetter(s, kind, cause)
	c.mu.Unlock()
	cl.Produce(context.WithoutCancel(ctx), rec, func(r *kgo.Record, err error) {
		if err != nil {
			_, w.err = judge(r.Topic, err)
		}
		w.offset = r.Offset
		close(w.done)
	})
	return w, nil
}
