package channeltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/leat-go/leat/event"
)

// twins are further deliveries of an event that is in the same hand: channels that
// aren't exact may make them. They are begun and settled in place of the first, or
// with it.
type twins struct {
	mu sync.Mutex
	of map[event.Token][]event.Token
}

func (w *twins) add(first, other event.Token) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of == nil {
		w.of = map[event.Token][]event.Token{}
	}
	w.of[first] = append(w.of[first], other)
}

func (w *twins) get(first event.Token) []event.Token {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.of[first]
}

// tryBegin is Begin.
func (m *member) tryBegin(t event.Token) (context.Context, bool) {
	ctx, ok := m.c.Begin(t)
	if ok {
		m.ledger.began(ctx, m, t)
		return ctx, true
	}
	for _, other := range m.twins.get(t) {
		if again, ok := m.c.Begin(other); ok {
			return again, true
		}
	}
	return nil, false
}

// begin begins a delivery that is ours.
func (m *member) begin(d event.Delivery) context.Context {
	m.t.Helper()
	ctx, ok := m.tryBegin(d.Token)
	m.story.addf("%s begins %s: %v", m.name, short(d.Event.ID()), ok)
	if !ok {
		m.shaken.Store(true) // it may be told of the loss later than this
		m.fatalf("%s may not begin %s, which was just delivered to it", m.name, d.Event.ID())
	}
	if ctx == nil {
		m.fatalf("%s: Begin of %s returned no context", m.name, d.Event.ID())
	}
	if err := ctx.Err(); err != nil {
		m.fatalf("%s: the context of %s had ended when Begin returned it: %v", m.name, d.Event.ID(), context.Cause(ctx))
	}
	return ctx
}

// hold puts a begun delivery aside.
func (m *member) hold(d event.Delivery, failures int) {
	m.story.addf("%s holds %s, %d failures", m.name, short(d.Event.ID()), failures)
	m.c.Hold(d.Token, failures)
	for _, other := range m.twins.get(d.Token) {
		m.c.Hold(other, failures)
	}
}

// settle is Settle, accounted for.
func (m *member) settle(ss ...event.Settlement) error {
	ctx, cancel := m.patient()
	defer cancel()
	m.ledger.settling(m, ss)
	all := ss
	for _, s := range ss {
		for _, other := range m.twins.get(s.Token) {
			s.Token = other
			all = append(slices.Clip(all), s)
		}
	}
	err := m.forgive(ss, all, m.settleSoon(ctx, all))
	refused, partly := errors.AsType[*event.SettleError](err)
	for i, s := range ss {
		why := err
		if partly {
			why = refused.At(i)
		}
		if wrong := m.ledger.settled(m, s, fmt.Sprintf("settlement %d", i), why == nil); wrong != "" {
			m.fatalf("%s", wrong)
		}
		if m.Faulty && errors.Is(why, event.ErrLeaseLost) {
			m.ledger.lost(m, []event.Token{s.Token})
		}
		m.story.addf("%s settles %x: %v%s, %s", m.name, s.Token, s.Kind, after(s), outcome(why))
	}
	return err
}

// settleSoon is Settle, which is called again on a channel with faults while it says
// that nothing was recorded.
func (m *member) settleSoon(ctx context.Context, ss []event.Settlement) error {
	for pause := time.Millisecond; ; pause *= 2 {
		err := m.c.Settle(ctx, ss)
		_, partly := errors.AsType[*event.SettleError](err)
		if err == nil || partly || !m.Faulty || errors.Is(err, event.ErrClosed) || ctx.Err() != nil {
			return err
		}
		m.story.addf("%s settles nothing: %v", m.name, err)
		m.pass(pause)
	}
}

// forgive takes those refusals from an error that a channel which isn't exact may
// make: where another delivery of the event was settled, or is another member's.
func (m *member) forgive(ss, all []event.Settlement, err error) error {
	refused, partly := errors.AsType[*event.SettleError](err)
	if !partly {
		return err
	}
	left := &event.SettleError{Failed: map[int]error{}}
	for i, why := range refused.Failed {
		if i < 0 || i >= len(all) {
			m.fatalf("%s: Settle of %d refused the index %d", m.name, len(all), i)
		}
		if i < len(ss) {
			left.Failed[i] = why
		}
	}
	if m.Exact {
		return err
	}
	at := len(ss)
	for i, s := range ss {
		if m.ledger.strayed(m, s.Token) && errors.Is(left.Failed[i], event.ErrLeaseLost) {
			delete(left.Failed, i)
		}
		for range m.twins.get(s.Token) {
			if refused.At(at) == nil {
				delete(left.Failed, i)
			}
			at++
		}
	}
	if len(left.Failed) == 0 {
		return nil
	}
	return left
}

func after(s event.Settlement) string {
	if s.Kind != event.SettleRetry {
		return ""
	}
	return fmt.Sprintf(" after %v with %d failures", s.After, s.Failures)
}

func outcome(err error) string {
	if err == nil {
		return "done"
	}
	return "refused: " + err.Error()
}

// mustSettle is a settle that nothing stands against.
func (m *member) mustSettle(ss ...event.Settlement) {
	m.t.Helper()
	if err := m.settle(ss...); err != nil {
		if errors.Is(err, event.ErrLeaseLost) {
			m.shaken.Store(true)
		}
		m.fatalf("%s: Settle of deliveries in hand: %v", m.name, err)
	}
}

func (m *member) ack(ds ...event.Delivery) {
	m.t.Helper()
	ss := make([]event.Settlement, len(ds))
	for i, d := range ds {
		ss[i] = event.Ack(d.Token)
	}
	m.mustSettle(ss...)
}

func (m *member) release(ds ...event.Delivery) {
	m.t.Helper()
	ss := make([]event.Settlement, len(ds))
	for i, d := range ds {
		ss[i] = event.Release(d.Token)
	}
	m.mustSettle(ss...)
}

func (m *member) retry(d event.Delivery, after time.Duration, failures int) {
	m.t.Helper()
	m.mustSettle(event.Retry(d.Token, after, failures))
}

// refusedAsStale settles a delivery that is no longer m's, and fails unless it is
// refused as it must be.
func (m *member) refusedAsStale(s event.Settlement, what string) {
	m.t.Helper()
	err := m.settle(s)
	var refused *event.SettleError
	switch {
	case err == nil:
		m.fatalf("%s: Settle accepted %s; it had to refuse it with ErrLeaseLost", m.name, what)
	case !errors.As(err, &refused):
		m.fatalf("%s: Settle of %s: %v; it had to be a *SettleError that names it", m.name, what, err)
	case !errors.Is(refused.Failed[0], event.ErrLeaseLost):
		m.fatalf("%s: Settle refused %s with %v; it had to be ErrLeaseLost", m.name, what, refused.Failed[0])
	}
}

// beginsNot fails when a delivery that is no longer m's can be begun.
func (m *member) beginsNot(d event.Delivery, what string) {
	m.t.Helper()
	_, ok := m.c.Begin(d.Token)
	m.story.addf("%s begins %s: %v", m.name, short(d.Event.ID()), ok)
	if ok {
		m.fatalf("%s: Begin accepted %s", m.name, what)
	}
}
