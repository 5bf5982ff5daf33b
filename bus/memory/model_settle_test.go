package memory_test

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/leat-go/leat/event"
)

// The model is what the engine promises, as simply as it can be said: a list of
// what each group is owed, looked through from the front for everything.

// inHand returns something that a living member has in hand, or nil.
func (m *model) inHand() *owed {
	var all []*owed
	for _, o := range m.owed {
		if o.holder != nil && !o.holder.crashed {
			all = append(all, o)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[m.r.IntN(len(all))]
}

func (m *model) begin() {
	o := m.inHand()
	if o == nil {
		return
	}
	ctx, ok := o.holder.c.Begin(o.token)
	if !ok || ctx.Err() != nil {
		m.failf("Begin of %s: %v %v", o.id, ok, ctx)
	}
	if o.ctx != nil && o.ctx != ctx {
		m.failf("Begin of %s gave another context", o.id)
	}
	o.ctx, o.begun, o.held = ctx, true, false
}

func (m *model) hold() {
	o := m.inHand()
	if o == nil || !o.begun {
		return
	}
	o.failures = m.r.IntN(9)
	x := o.holder
	before := len(x.lost)
	x.c.Hold(o.token, o.failures)
	o.held, o.begun = true, false
	if m.front(o.key) != nil {
		m.recall(x, o.key, before)
	}
}

// back puts o back.
func (m *model) back(o *owed, after time.Duration) {
	m.stale = append(m.stale, staleToken{o.holder, o.token})
	o.holder, o.begun, o.held, o.ctx = nil, false, false, nil
	if after > 0 {
		o.retry, o.due = true, time.Now().Add(after)
	}
}

func (m *model) gone(o *owed) {
	m.stale = append(m.stale, staleToken{o.holder, o.token})
	m.owed = slices.DeleteFunc(m.owed, func(x *owed) bool { return x == o })
	o.holder, o.begun, o.held, o.ctx = nil, false, false, nil
}

func (m *model) settle() {
	o := m.inHand()
	if o == nil {
		m.settleStale()
		return
	}
	x, token := o.holder, o.token
	var s event.Settlement
	full := false
	before := len(x.lost)
	switch m.r.IntN(7) {
	case 0:
		after := time.Duration(m.r.IntN(90)-10) * time.Second
		o.failures = m.r.IntN(9)
		s = event.Retry(token, after, o.failures)
		m.back(o, after)
	case 1:
		s = event.Release(token)
		o.attempts--
		m.back(o, 0)
	case 2, 3:
		s = event.Dead(token, event.Cause{Code: "c"})
		if m.r.IntN(2) == 0 {
			s = event.Park(token, event.Cause{Code: "c"})
		}
		if full = len(m.dead) == modelDead; full {
			o.begun, o.held = false, true
			break
		}
		m.gone(o)
		o.parked = o.key != "" && (s.Kind == event.SettlePark || m.front(o.key) != nil)
		m.dead = append(m.dead, o)
	default:
		s = event.Ack(token)
		m.gone(o)
	}
	m.logf("%v settles %s: %v %v", time.Now().Unix(), o.id, s.Kind, s.After)
	err := x.c.Settle(m.ctx(), []event.Settlement{s})
	switch {
	case full:
		m.refused(err, event.ErrFull)
	default:
		m.check(err)
		if s.Kind == event.SettlePark && o.key != "" {
			m.recall(x, o.key, before)
		}
	}
}

func (m *model) settleStale() {
	if len(m.stale) == 0 {
		return
	}
	s := m.stale[m.r.IntN(len(m.stale))]
	if !slices.Contains(m.members, s.m) || s.m.crashed {
		return
	}
	if _, ok := s.m.c.Begin(s.t); ok {
		m.failf("Begin of a stale token")
	}
	s.m.c.Hold(s.t, 99)
	m.refused(s.m.c.Settle(m.ctx(), []event.Settlement{event.Ack(s.t)}), event.ErrLeaseLost)
}

func (m *model) refused(err, want error) {
	m.t.Helper()
	var some *event.SettleError
	if !errors.As(err, &some) || !errors.Is(some.Failed[0], want) {
		m.failf("Settle returned %v, want %v", err, want)
	}
}

// leave closes a member; what is begun is cancelled at once.
func (m *model) leave() {
	x := m.member()
	if x == nil {
		return
	}
	ctx, cancel := context.WithCancel(m.ctx())
	cancel()
	m.check(x.c.Close(ctx))
	m.drop(x, true)
	m.logf("left")
}

// drop gives everything of a member back.
func (m *model) drop(x *modelMember, closed bool) {
	for _, o := range m.owed {
		if o.holder != x {
			continue
		}
		if closed && o.begun && !errors.Is(context.Cause(o.ctx), event.ErrClosed) {
			m.failf("the context of %s ended with %v", o.id, context.Cause(o.ctx))
		}
		if closed && !o.begun && !o.held {
			o.attempts-- // never begun
		}
		m.back(o, 0)
	}
	m.members = slices.DeleteFunc(m.members, func(y *modelMember) bool { return y == x })
}

func (m *model) crash() {
	x := m.member()
	if x == nil || m.r.IntN(3) > 0 {
		return
	}
	m.ch.Crash(x.c)
	x.crashed, x.expires = true, time.Now().Add(modelLease)
	m.logf("%v crashed", time.Now().Unix())
	if _, err := x.c.Receive(m.ctx(), make([]event.Delivery, 1)); !errors.Is(err, event.ErrClosed) {
		m.failf("Receive of a crashed member: %v", err)
	}
	if err := x.c.Settle(m.ctx(), nil); !errors.Is(err, event.ErrClosed) {
		m.failf("Settle of a crashed member: %v", err)
	}
}

// expire ends the leases that are over.
func (m *model) expire() {
	for _, x := range slices.Clone(m.members) {
		if x.crashed && !x.expires.After(time.Now()) {
			m.drop(x, false)
		}
	}
}
