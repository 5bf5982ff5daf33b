package channeltest

import (
	"fmt"
	"sync"

	"github.com/leat-go/leat/event"
)

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
