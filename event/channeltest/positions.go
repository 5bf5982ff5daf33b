package channeltest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

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

var positionCases = []testCase{
	{
		name:    "Deliveries",
		promise: "Positions grow along each lane of a topic; an event has the same position in every group and every delivery, and no two have the same.",
		needs:   []need{positions},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("a")
			a, b := e.join(group, topic), e.join(e.group("b"), topic)
			e.produceKeys(topic, 6, 10, 3)
			at := map[string]event.Position{}
			last := map[string]event.Position{} // by key
			taken := map[event.Position]string{}
			for range 60 {
				d := a.handle(1)[0]
				id, p := d.Event.ID(), d.Position
				switch before := last[d.Event.Key()]; {
				case !p.Valid():
					e.fatalf("%s came without a position", id)
				case taken[p] != "":
					e.fatalf("%s and %s have the same position %v", id, taken[p], p)
				case before.Valid() && before.Lane == p.Lane && before.Offset >= p.Offset && e.Guarantees.OrderPerKey:
					e.fatalf("%s of key %q is at %v, its predecessor at %v", id, d.Event.Key(), p, before)
				}
				at[id], taken[p], last[d.Event.Key()] = p, id, p
			}
			for range 60 {
				d := b.handle(1)[0]
				if d.Position != at[d.Event.ID()] {
					e.fatalf("%s is at %v for one group and at %v for another", d.Event.ID(), at[d.Event.ID()], d.Position)
				}
			}
			ev := numbered("again", 1)
			e.produce(topic, ev)
			first := a.expect(ev)
			a.close()
			a = e.join(group, topic)
			if d := a.expect(ev); d.Position != first.Position {
				e.errorf("%s was at %v, and at %v when it came again", ev.ID(), first.Position, d.Position)
			}
		},
	},
	{
		name:    "ProduceAt",
		promise: "ProduceAt returns for each event the position at which it is delivered; positions grow along each lane.",
		needs:   []need{atPosition, positions},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("a"), topic)
			var mu sync.Mutex
			want := map[string]event.Position{}
			last := map[int32]event.Position{}
			at := func(events ...event.Event) {
				e.t.Helper()
				ps := e.produceAt(topic, events...)
				mu.Lock()
				defer mu.Unlock()
				for i, p := range ps {
					want[events[i].ID()] = p
				}
			}
			for i := range 10 {
				events := append(keyed("a", 3*i+1, 3*i+3), numbered("x", i))
				at(events...)
				for _, ev := range events {
					p := want[ev.ID()]
					if !p.Valid() || last[p.Lane].Offset >= p.Offset {
						e.fatalf("%s went to %v, after %v", ev.ID(), p, last[p.Lane])
					}
					last[p.Lane] = p
				}
			}
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() { at(keyed(fmt.Sprint("c", i), 1, 5)...) })
			}
			e.within(e.Patience, "ProduceAt", wg.Wait)
			for range len(want) {
				d := m.handle(1)[0]
				if d.Position != want[d.Event.ID()] {
					e.fatalf("%s was delivered at %v; ProduceAt said %v", d.Event.ID(), d.Position, want[d.Event.ID()])
				}
			}
		},
	},
	{
		name:    "ProduceAtRefuses",
		promise: "ProduceAt refuses what Produce refuses, in the same way.",
		needs:   []need{atPosition},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("a"), topic)
			events := []event.Event{numbered("x", 1), numbered("bad", 1).WithType("")}
			p, _ := e.producer(topic).(event.PositionProducer)
			ctx, cancel := e.patient()
			defer cancel()
			err := e.producing(topic, "", events, func() error { _, err := p.ProduceAt(ctx, events...); return err })
			if f := failureOf(err, 1); f == nil || !f.Final() {
				e.fatalf("ProduceAt with an invalid event at index 1 returned %v; it had to be a *ProduceError that names it for good", err)
			}
			e.settleAccepted(m, topic)
		},
	},
}

func (e *env) produceAt(topic string, events ...event.Event) []event.Position {
	e.t.Helper()
	p, ok := e.producer(topic).(event.PositionProducer)
	if !ok {
		e.fatalf("the producer is no event.PositionProducer, though it is declared to be one")
	}
	ctx, cancel := e.patient()
	defer cancel()
	var ps []event.Position
	err := e.producing(topic, "", events, func() (err error) { ps, err = p.ProduceAt(ctx, events...); return err })
	if err != nil {
		e.fatalf("ProduceAt on %s: %v", topic, err)
	}
	if len(ps) != len(events) {
		e.fatalf("ProduceAt of %d events returned %d positions", len(events), len(ps))
	}
	return ps
}

func (e *env) seek(topic, group string, to event.Start) error {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.ctx, e.Patience)
	defer cancel()
	err := as[event.Seeker](e).Seek(ctx, topic, group, to)
	e.story.addf("moves %s on %s to %+v: %s", group, topic, to, outcome(err))
	e.ledger.forget(group)
	return err
}

// moved is a seek that must succeed, once the broker has seen the members leave.
func (e *env) moved(topic, group string, to event.Start) {
	e.t.Helper()
	e.poll("the group "+group+", which has no members, can be moved", func() (bool, string) {
		err := e.seek(topic, group, to)
		return err == nil, fmt.Sprint(err)
	})
}

var seekerCases = []testCase{
	{
		name:    "ToOldest",
		promise: "A group that is moved to the oldest gets the history again.",
		needs:   []need{seeks, history},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			events := keyed("a", 1, 8)
			e.produce(topic, events...)
			m.handleAny(events[:5]...)
			m.close()
			e.moved(topic, group, event.Oldest())
			m = e.join(group, topic)
			m.handleAny(events...)
			m.silent("it has had all again")
		},
	},
	{
		name:    "ToNewest",
		promise: "A group that is moved to the newest is owed nothing of what was before.",
		needs:   []need{seeks},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			other := e.join(e.group("other"), topic)
			m := e.join(group, topic)
			events := keyed("a", 1, 8)
			e.produce(topic, events...)
			m.handleAny(events[:3]...)
			m.close()
			e.moved(topic, group, event.Newest())
			m = e.join(group, topic)
			m.silent("its group was moved to the newest")
			after := keyed("a", 9, 12)
			e.produce(topic, after...)
			m.handleAny(after...)
			other.handleAny(slices.Concat(events, after)...)
		},
	},
	{
		name:    "ToTime",
		promise: "A group that is moved to a time gets what was accepted then or later.",
		needs:   []need{seeks, history},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			events := keyed("a", 1, 6)
			e.produce(topic, events[:3]...)
			apart := max(e.Silence, 20*time.Millisecond)
			e.pass(apart)
			since := time.Now()
			e.pass(apart)
			e.produce(topic, events[3:]...)
			m.handleAny(events...)
			m.close()
			e.moved(topic, group, event.Since(since))
			m = e.join(group, topic)
			m.handleAny(events[3:]...)
			m.silent("the others were accepted before")
		},
	},
	{
		name:    "NoHistory",
		promise: "Where the channel has no history, a group can't be moved to the oldest: ErrNoHistory.",
		needs:   []need{seeks, noHistory},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			e.join(group, topic).close()
			e.poll("Seek to the oldest is refused with ErrNoHistory", func() (bool, string) {
				err := e.seek(topic, group, event.Oldest())
				if err == nil {
					e.fatalf("Seek to the oldest was accepted, though the channel has no history")
				}
				return isNoHistory(err), err.Error()
			})
		},
	},
}
