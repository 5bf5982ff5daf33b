//nolint:contextcheck // a case has a context of its own, and its steps have their patience
package channeltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/leat-go/leat/event"
)

// A channel with faults inside does at any time what the contract permits on a bad
// day: it repeats itself, comes late, takes leases away, loses its answers. Then
// cases go by what is left: nothing is lost or changed, nothing goes to a group that
// isn't owed it, of a key the first deliveries come in order, and a key is in one
// hand at a time. The last can't be told at once, since a member may have lost a
// delivery and not know yet. So a conflict is noted, and at the end of the case one of
// the two must have been told.

// holding is a delivery in a member's hand, and how the member would learn that it
// lost it.
type holding struct {
	m     *member
	token event.Token
	ctx   context.Context // of Begin, or nil
	told  bool            // by OnLost, or by a refused settlement

	returned bool // given back by its member
}

// conflict is two deliveries that may not be in hand together, or one that may not be
// in hand yet. When it was noted, it may have been lost.
type conflict struct {
	a, b *holding // b may be nil
	text string
}

// hold returns what is known of a delivery.
func (l *ledger) holding(m *member, t event.Token) *holding {
	k := tokenKey{m, t}
	h := l.holdings[k]
	if h == nil {
		h = &holding{m: m, token: t}
		l.holdings[k] = h
	}
	return h
}

// began enters the context of a delivery.
func (l *ledger) began(ctx context.Context, m *member, t event.Token) {
	if !l.faulty {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holding(m, t).ctx = ctx
}

// tolds enters that a member knows of a loss. The ledger is locked.
func (l *ledger) tell(m *member, tokens []event.Token) {
	if !l.faulty {
		return
	}
	for _, t := range tokens {
		l.holding(m, t).told = true
	}
}

// conflicts notes that a delivery was made while another was in hand.
func (l *ledger) conflicts(m *member, t event.Token, s *seen, text string) {
	l.doubts = append(l.doubts, conflict{l.holding(m, t), l.holding(s.holder, s.token), text})
}

// gone reports whether the member knows that it lost the delivery.
func (h *holding) lost() bool {
	return h.told || h.m.gone.Load() || h.ctx != nil && errors.Is(context.Cause(h.ctx), event.ErrLeaseLost)
}

// overtaken reports whether another delivery of an event was entered since. It may be
// older all the same: its member was slow to enter it.
func (l *ledger) overtaken(s *seen, m *member, t event.Token) bool {
	return l.faulty && (s.holder != m || s.token != t)
}

// returns enters that a delivery was given back. The ledger is locked.
func (l *ledger) returns(m *member, t event.Token) {
	if l.faulty {
		l.holding(m, t).returned = true
	}
}

// settledLate enters how the settlement of an overtaken delivery went. Where it was
// accepted, it was the one that counts.
func (l *ledger) settledLate(b *book, s *seen, st event.Settlement, accepted bool) {
	switch {
	case !accepted || s.state == settled:
	case keeps(st.Kind):
		b.move(s, back)
	default:
		b.move(s, settled)
	}
}

// elsewhere reports whether another delivery of an event that is given back, as far as
// is entered, is neither lost nor given back itself: its member was quick to get it
// and to settle it.
func (s *seen) elsewhere() bool {
	return slices.ContainsFunc(s.hands, func(h *holding) bool { return !h.lost() && !h.returned })
}

// inTwoHands says which delivery was made while another was in hand, and neither was
// lost.
func (l *ledger) inTwoHands() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range l.doubts {
		if !d.a.lost() && (d.b == nil || !d.b.lost()) {
			return d.text + ", and nobody was told of a loss"
		}
	}
	return ""
}

// repeats says what to do, on a channel with faults, with a delivery of an event that
// was delivered before.
func (l *ledger) faultyAgain(m *member, s *seen, d event.Delivery) fate {
	switch s.state {
	case settled:
		return repeat
	case inHand:
		l.conflicts(m, d.Token, s, fmt.Sprintf("%s got %s, which is in the hand of %s, not settled", m.name, d.Event.ID(), s.holder.name))
	case unseen, back, settling: // settling: it was lost meanwhile, or recorded and lost
	}
	return fresh
}

// copy reports whether a delivery is of another copy of an event: a call of Produce
// that had no answer may have written it, and so did its repetition. Where the channel
// gives no positions that can't be told. Of a key, copies keep to one hand too.
func (l *ledger) copy(m *member, s *seen, d event.Delivery) bool {
	if !s.position.Valid() || d.Position == s.position {
		return false
	}
	if s.state == inHand && s.holder != m && d.Event.Key() != "" {
		l.conflicts(m, d.Token, s, fmt.Sprintf("%s got a copy of %s, which is in the hand of %s, not settled", m.name, d.Event.ID(), s.holder.name))
	}
	return true
}

// produceAnyway produces events until all are accepted, those first of which it
// isn't known.
func (e *env) produceAnyway(ctx context.Context, topic string, events ...event.Event) error {
	return e.insist(ctx, topic, "", events, func(left []event.Event) error { return e.producer(topic).Produce(ctx, left...) })
}

// insist calls f with what is left until nothing is.
func (e *env) insist(ctx context.Context, topic, group string, events []event.Event, f func(left []event.Event) error) error {
	e.ledger.producing(topic, group, group == "", events)
	for pause := time.Millisecond; ; pause *= 2 {
		err := f(events)
		e.story.addf("produced on %s%s: %s: %s", topic, to(group), listed(events), outcome(err))
		var partly *event.ProduceError
		switch {
		case err == nil:
			return nil
		case errors.Is(err, event.ErrClosed) || ctx.Err() != nil:
			return err
		case errors.As(err, &partly):
			var left []event.Event
			for _, f := range partly.Failed {
				if f.Index >= len(events) || f.ID != events[f.Index].ID() || f.Final() {
					return err
				}
				left = append(left, events[f.Index])
			}
			events = left
		}
		e.pass(pause)
	}
}
