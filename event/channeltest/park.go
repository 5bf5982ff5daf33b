package channeltest

import (
	"fmt"
	"slices"

	"github.com/leat-go/leat/event"
)

// park parks a key at its next delivery.
func (m *member) park(ev event.Event) {
	m.t.Helper()
	d := m.expect(ev)
	m.begin(d)
	m.mustSettle(event.Park(d.Token, cause("parked")))
}

// parked waits until the dead letters of a key are these events, in order.
func (e *env) parked(topic, group, key string, events ...event.Event) {
	e.t.Helper()
	e.poll(fmt.Sprintf("the key %s of %s is parked with %s", key, group, idsOfEvents(events)), func() (bool, string) {
		var ls []event.DeadLetter
		for _, l := range e.letters(topic, group) {
			if l.Event.Key() == key {
				ls = append(ls, l)
			}
		}
		return slices.EqualFunc(ls, events, func(l event.DeadLetter, ev event.Event) bool { return l.Event.Equal(ev) }), letterIDs(ls)
	})
}

var parkCases = []testCase{
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
		name:    "InHand",
		promise: "Deliveries of the key that were in hand when it was parked are parked behind it, in order.",
		needs:   []need{hasDeadLetters, parks},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			a := keyed("a", 1, 4)
			e.produce(topic, a...)
			var ss []event.Settlement
			for _, d := range m.upTo(4) {
				ss = append(ss, event.Park(d.Token, cause("parked")))
			}
			m.mustSettle(ss...)
			m.silent("the key is parked")
			e.parked(topic, group, "a", a...)
		},
	},
	{
		name:    "GivenBack",
		promise: "Deliveries of the key that were in hand when it was parked, and are given back, go behind it.",
		needs:   []need{hasDeadLetters, parks, givesBack},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			a := keyed("a", 1, 4)
			e.produce(topic, a...)
			ds := m.upTo(4)
			m.begin(ds[0])
			e.giveBack(m, ds, event.Park(ds[0].Token, cause("parked")))
			m.silent("the key is parked")
			e.parked(topic, group, "a", a...)
		},
	},
	{
		name:    "Redriven",
		promise: "Redriving a parked key delivers all that is parked, in order and ahead of anything newer; then the key goes on.",
		needs:   []need{hasDeadLetters, parks},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			a := keyed("a", 1, 9)
			e.produce(topic, a[0])
			m.park(a[0])
			e.produce(topic, a[1:3]...)
			m.silent("the key is parked")
			e.parked(topic, group, "a", a[:3]...)
			e.redriveKey(topic, group, "a", 3)
			e.produce(topic, a[3:6]...)
			m.comesRedriven(a[:3]...)
			m.handleAll(a[3:6]...)
			e.produce(topic, a[6:]...)
			m.handleAll(a[6:]...)
			m.silent("all is acked")
			e.parked(topic, group, "a")
		},
	},
	{
		name:    "KnownToNextOwner",
		promise: "That a key is parked is durable and known to the next owner before it receives.",
		needs:   []need{hasDeadLetters, parks},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			a, b := keyed("a", 1, 5), keyed("b", 1, 3)
			e.produce(topic, a[0])
			m.park(a[0])
			m.close()
			e.produce(topic, slices.Concat(a[1:], b)...)
			m = e.join(group, topic)
			m.handleAll(b...)
			m.silent("the key was parked by the member before")
			e.parked(topic, group, "a", a...)
			m.close()
			e.redriveKey(topic, group, "a", 5)
			m = e.join(group, topic)
			m.comesRedriven(a...)
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
}
