package channeltest

import (
	"fmt"

	"github.com/leat-go/leat/event"
)

func (e *env) produceTo(group, topic string, mark event.Mark, events ...event.Event) {
	e.t.Helper()
	ctx, cancel := e.patient()
	defer cancel()
	p := as[event.GroupProducer](e)
	err := e.producing(topic, group, events, func() error { return p.ProduceTo(ctx, group, topic, mark, events...) })
	if err != nil {
		e.fatalf("ProduceTo(%q, %q): %v", group, topic, err)
	}
}

var groupProducerCases = []testCase{
	{
		name:    "OneGroup",
		promise: "ProduceTo produces to exactly one group, with the mark that it is told.",
		needs:   []need{toGroup},
		run: func(e *env) {
			topic := e.topic("orders")
			a, b := e.join(e.group("a"), topic), e.join(e.group("b"), topic)
			for i, mark := range []event.Mark{event.MarkNone, event.MarkRedriven, event.MarkReplayed} {
				events := unkeyed(fmt.Sprint("mark", i), 3)
				e.produceTo(a.group, topic, mark, events...)
				for _, d := range a.handleAny(events...) {
					if d.Redriven != (mark == event.MarkRedriven) || d.Replayed != (mark == event.MarkReplayed) {
						e.errorf("%s was produced with the mark %d and came as redriven %v, replayed %v", d.Event.ID(), mark, d.Redriven, d.Replayed)
					}
				}
			}
			b.silent("it was produced for another group") // the ledger says so too
		},
	},
	{
		name:    "InOrder",
		promise: "ProduceTo keeps order per key, within a call and across calls.",
		needs:   []need{toGroup, order},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("a"), topic)
			events := keyed("k", 1, 30)
			e.produceTo(m.group, topic, event.MarkReplayed, events[:20]...)
			e.produceTo(m.group, topic, event.MarkReplayed, events[20:25]...)
			e.produceTo(m.group, topic, event.MarkReplayed, events[25:]...)
			m.handleAll(events...)
			m.silent("all is acked")
		},
	},
	{
		name:    "WithoutMembers",
		promise: "ProduceTo reaches a group that has no members.",
		needs:   []need{toGroup},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("a")
			e.join(group, topic).close()
			events := unkeyed("x", 4)
			e.produceTo(group, topic, event.MarkReplayed, events...)
			e.join(group, topic).handleAny(events...)
		},
	},
	{
		name:    "MarkSurvives",
		promise: "The mark comes with every delivery of the event, also after it was given back or its consumer closed.",
		needs:   []need{toGroup},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("a")
			m := e.join(group, topic)
			ev := unkeyed("x", 1)[0]
			e.produceTo(group, topic, event.MarkReplayed, ev)
			d := m.expect(ev)
			if e.Guarantees.GivesBack {
				m.release(d)
				m.expect(ev)
			}
			m.close()
			m = e.join(group, topic)
			if d = m.expect(ev); !d.Replayed || d.Redriven {
				e.errorf("%s was produced as replayed; after it went back it came as redriven %v, replayed %v", ev.ID(), d.Redriven, d.Replayed)
			}
			m.ack(d)
		},
	},
	{
		name:    "RefusesInvalid",
		promise: "ProduceTo refuses what Produce refuses, in the same way.",
		needs:   []need{toGroup},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("a"), topic)
			bad := numbered("bad", 1).WithSource("")
			ctx, cancel := e.patient()
			defer cancel()
			events := []event.Event{numbered("x", 1), bad}
			p := as[event.GroupProducer](e)
			err := e.producing(topic, m.group, events, func() error { return p.ProduceTo(ctx, m.group, topic, event.MarkReplayed, events...) })
			if f := failureOf(err, 1); f == nil || !f.Final() {
				e.fatalf("ProduceTo with an invalid event at index 1 returned %v; it had to be a *ProduceError that names it for good", err)
			}
			e.settleAccepted(m, topic)
		},
	},
}
