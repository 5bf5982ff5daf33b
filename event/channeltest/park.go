package channeltest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/leat-go/leat/event"
)

// park parks a key at its next delivery.
func (m *member) park(ev event.Event) {
	m.t.Helper()
	d := m.expect(ev)
	m.begin(d)
	m.mustSettle(event.Park(d.Token, cause("parked")))
}

// parks settles a delivery in hand with a Park, and with it others of the key, which the
// engine has taken away by then: refusals for that reason pass.
func (m *member) parks(first event.Delivery, others ...event.Settlement) {
	m.t.Helper()
	err := m.settle(append([]event.Settlement{event.Park(first.Token, cause("parked"))}, others...)...)
	var some *event.SettleError
	if err != nil && !errors.As(err, &some) {
		m.fatalf("%s: Settle with a Park: %v", m.name, err)
	}
	if err := some.At(0); err != nil {
		m.fatalf("%s: the Park of %s was refused: %v", m.name, first.Event.ID(), err)
	}
	for i := range others {
		if err := some.At(i + 1); err != nil && !errors.Is(err, event.ErrLeaseLost) {
			m.fatalf("%s: a settlement of what the Park took away was refused with %v, not ErrLeaseLost", m.name, err)
		}
	}
}

// parked waits until the dead letters of a key are these events, in order, and holds
// that those behind the first say so.
func (e *env) parked(topic, group, key string, events ...event.Event) []event.DeadLetter {
	e.t.Helper()
	var ls []event.DeadLetter
	e.poll(fmt.Sprintf("the key %s of %s is parked with [%s]", key, group, idsOfEvents(events)), func() (bool, string) {
		ls = nil
		for _, l := range e.letters(topic, group) {
			if l.Event.Key() == key {
				ls = append(ls, l)
			}
		}
		return slices.EqualFunc(ls, events, func(l event.DeadLetter, ev event.Event) bool { return l.Event.Equal(ev) }), letterIDs(ls)
	})
	return ls
}

var parkCases = slices.Concat(parkBehindCases, parkRedriveCases, parkManyCases)

var parkBehindCases = []testCase{
	{
		name:    "LaterOnesFollow",
		promise: "While a key is parked, the engine moves every later event of the key behind it, in order, and other keys go on.",
		needs:   []need{hasDeadLetters, parks},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			a, b := keyed("a", 1, 6), keyed("b", 1, 6)
			e.produce(topic, a[0])
			m.park(a[0])
			for i := 1; i < 6; i++ {
				e.produce(topic, a[i], b[i-1])
			}
			m.handleAll(b[:5]...)
			m.silent("the key is parked")
			e.parked(topic, group, "a", a...)
		},
	},
	{
		name:    "WhatIsThere",
		promise: "What waits of the key when it is parked is moved behind it too.",
		needs:   []need{hasDeadLetters, parks},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			a, b := keyed("a", 1, 8), keyed("b", 1, 3)
			e.produce(topic, a...)
			m.park(a[0])
			e.produce(topic, b...)
			m.handleAll(b...)
			m.silent("the key is parked")
			e.parked(topic, group, "a", a...)
		},
	},
	{
		name:    "Cause",
		promise: "The failed event keeps its cause; those behind it have one that says what they wait for.",
		needs:   []need{hasDeadLetters, parks},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			a := keyed("a", 1, 4)
			e.produce(topic, a[:2]...)
			m.park(a[0])
			e.produce(topic, a[2:]...)
			m.silent("the key is parked")
			ls := e.parked(topic, group, "a", a...)
			if c := ls[0].Cause; c.Code != "handler" || c.Text != "parked" {
				e.errorf("the failed event has the cause %+v, not that of its Park", c)
			}
			for _, l := range ls[1:] {
				if l.Cause.Code != event.CodeParkedBehind || !strings.Contains(l.Cause.Text, a[0].ID()) {
					e.errorf("%s is parked behind %s and has the cause %+v: its code is not %q, or its text doesn't name the failed one",
						l.Event.ID(), a[0].ID(), l.Cause, event.CodeParkedBehind)
				}
			}
		},
	},
	{
		name:    "InHand",
		promise: "Deliveries of the key that were in hand when it was parked, and not begun, are taken away and parked behind it, in order: they can't be begun or settled any more.",
		needs:   []need{hasDeadLetters, parks},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			a := keyed("a", 1, 4)
			e.produce(topic, a...)
			ds := m.upTo(4)
			m.begin(ds[0])
			m.parks(ds[0])
			for _, d := range ds[1:] {
				if _, ok := m.tryBegin(d.Token); ok {
					e.fatalf("%s may begin %s, whose key is parked", m.name, d.Event.ID())
				}
				var refused *event.SettleError
				if err := m.settle(event.Ack(d.Token)); !errors.As(err, &refused) || !errors.Is(refused.At(0), event.ErrLeaseLost) {
					e.fatalf("Settle of %s, which was in hand when its key was parked, returned %v, not ErrLeaseLost", d.Event.ID(), err)
				}
			}
			m.silent("the key is parked")
			e.parked(topic, group, "a", a...)
		},
	},
	{
		name:    "Begun",
		promise: "A delivery of the key that is begun when it is parked is not taken away: it may be acked.",
		needs:   []need{hasDeadLetters, parks},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			a := keyed("a", 1, 4)
			e.produce(topic, a...)
			ds := m.upTo(4)
			m.begin(ds[0])
			ctx := m.begin(ds[2])
			m.parks(ds[0])
			if err := ctx.Err(); err != nil {
				e.errorf("the context of %s, which was begun when its key was parked, ended: %v", ds[2].Event.ID(), err)
			}
			m.mustSettle(event.Ack(ds[2].Token))
			m.silent("the key is parked")
			e.parked(topic, group, "a", a[0], a[1], a[3])
		},
	},
	{
		name:    "OnLost",
		promise: "Subscription.OnLost is told which deliveries in hand were taken away with a Park.",
		needs:   []need{hasDeadLetters, parks},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			var m *member
			lost := make(chan event.Token, 100)
			m = e.joinAs(event.Subscription{Group: group, Topics: []string{topic}, OnLost: func(ts []event.Token) {
				for _, t := range ts {
					lost <- t
				}
			}})
			a, b := keyed("a", 1, 4), keyed("b", 1, 1)
			e.produce(topic, slices.Concat(a, b)...)
			ds := m.upTo(5)
			first := ds[slices.IndexFunc(ds, func(d event.Delivery) bool { return d.Event.Key() == "a" })]
			m.begin(first)
			m.parks(first)
			want := map[event.Token]bool{}
			for _, d := range ds {
				if d.Event.Key() == "a" && d.Token != first.Token {
					want[d.Token] = true
				}
			}
			e.poll("OnLost tells of what the Park took away", func() (bool, string) {
				for len(lost) > 0 {
					t := <-lost
					if !want[t] {
						e.fatalf("OnLost tells of %x, which was not taken away", t)
					}
					delete(want, t)
				}
				return len(want) == 0, fmt.Sprintf("not told of %d", len(want))
			})
		},
	},
	{
		name:    "GivenBack",
		promise: "Deliveries of the key that were in hand when it was parked, and are given back with it, go behind it.",
		needs:   []need{hasDeadLetters, parks, givesBack},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			a := keyed("a", 1, 4)
			e.produce(topic, a...)
			ds := m.upTo(4)
			m.begin(ds[0])
			var others []event.Settlement
			for _, d := range ds[1:] {
				others = append(others, event.Release(d.Token))
			}
			m.parks(ds[0], others...)
			m.silent("the key is parked")
			e.parked(topic, group, "a", a...)
		},
	},
	{
		name:    "Delayed",
		promise: "An event of a parked key that has a NotBefore is not delivered when it is due: it goes behind.",
		needs:   []need{hasDeadLetters, parks, delays},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			wait := e.delay(e.Guarantees.MaxDelay)
			a := keyed("a", 1, 3)
			e.produce(topic, a[0])
			e.produce(topic, later(a[1], wait))
			m.park(a[0])
			e.produce(topic, later(a[2], wait))
			e.pass(wait)
			m.silent("the key is parked")
			e.poll("the delayed ones are parked", func() (bool, string) {
				ls := e.letters(topic, group)
				return len(ls) == 3, letterIDs(ls)
			})
			e.redriveKey(topic, group, "a", 3)
			m.handle(3)
			m.silent("all is acked")
		},
	},
	{
		name:    "WithoutKey",
		promise: "Without a key, a Park is a Dead: others without a key go on.",
		needs:   []need{hasDeadLetters, parks},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			x := unkeyed("x", 4)
			e.produce(topic, x...)
			d := m.one()
			m.begin(d)
			m.mustSettle(event.Park(d.Token, cause("parked")))
			m.handle(3)
			e.produce(topic, numbered("y", 1))
			m.handle(1)
			e.awaitLetters(topic, group, d.Event)
		},
	},
	{
		name:    "OfOneGroup",
		promise: "A key is parked for one group; others get it.",
		needs:   []need{hasDeadLetters, parks},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("a"), topic)
			other := e.join(e.group("b"), topic)
			events := keyed("k", 1, 4)
			e.produce(topic, events[0])
			m.park(events[0])
			e.produce(topic, events[1:]...)
			other.handleAll(events...)
			m.silent("the key is parked for this group")
			e.parked(topic, other.group, "k")
		},
	},
	{
		name:    "OfOneTopic",
		promise: "A key is parked on one topic; on others it goes on.",
		needs:   []need{hasDeadLetters, parks},
		run: func(e *env) {
			topic, other := e.topic("orders"), e.topic("other")
			m := e.join(e.group("mailer"), topic, other)
			a, b := keyed("k", 1, 4), keyed("k", 5, 8)
			e.produce(topic, a[0])
			m.park(a[0])
			e.produce(topic, a[1:]...)
			e.produce(other, b...)
			m.handleAll(b...)
			m.silent("the key is parked on its topic")
			e.parked(topic, m.group, "k", a...)
			e.parked(other, m.group, "k")
		},
	},
	{
		name:    "CountsAsDead",
		promise: "What is parked is settled: it counts among the dead letters, and nothing of it is waited for.",
		needs:   []need{hasDeadLetters, parks, reportsLag, knowsQuiet},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			a := keyed("a", 1, 5)
			e.produce(topic, a[:3]...)
			m.park(a[0])
			e.produce(topic, a[3:]...)
			m.silent("the key is parked")
			e.parked(topic, group, "a", a...)
			e.awaitLag(topic, group, event.Lag{Dead: 5})
			ctx, cancel := e.patient()
			defer cancel()
			if err := as[event.Quiescer](e).Quiet(ctx, group); err != nil {
				e.fatalf("Quiet, with nothing left but a parked key: %v", err)
			}
			e.redriveKey(topic, group, "a", 5)
			e.awaitLag(topic, group, event.Lag{Waiting: 5})
		},
	},
}
