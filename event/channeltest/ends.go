package channeltest

import (
	"fmt"
	"sync"

	"github.com/leat-go/leat/event"
)

// ends returns the ends of a topic, by lane.
func (e *env) ends(topic string) map[int32]int64 {
	e.t.Helper()
	ctx, cancel := e.patient()
	defer cancel()
	ps, err := as[event.Ends](e).Ends(ctx, topic)
	if err != nil {
		e.fatalf("Ends(%q): %v", topic, err)
	}
	ends := make(map[int32]int64, len(ps))
	for _, p := range ps {
		if !p.Valid() || ends[p.Lane] != 0 {
			e.fatalf("Ends(%q) returned %v: each lane that has had events once", topic, ps)
		}
		ends[p.Lane] = p.Offset
	}
	e.story.addf("%s ends at %v", topic, ps)
	return ends
}

// lastOf returns the greatest position of deliveries, by lane.
func lastOf(ds []event.Delivery) map[int32]int64 {
	last := map[int32]int64{}
	for _, d := range ds {
		last[d.Position.Lane] = max(last[d.Position.Lane], d.Position.Offset)
	}
	return last
}

// covered fails unless all positions of a topic, from the first that a group got up to
// the ends, are those of deliveries or in the gap before one, and none is both. It
// returns the first.
func (e *env) covered(ds []event.Delivery, ends map[int32]int64) map[int32]int64 {
	e.t.Helper()
	at := map[event.Position]string{}
	for _, d := range ds {
		if d.Position.Valid() {
			at[d.Position] = d.Event.ID()
		}
	}
	first, gaps := map[int32]int64{}, map[event.Position]bool{}
	for _, d := range ds {
		p := d.Position
		if !p.Valid() {
			if d.Gap != 0 {
				e.fatalf("%s has no position, and a gap of %d before it", d.Event.ID(), d.Gap)
			}
			continue
		}
		if d.Gap < 0 || d.Gap >= p.Offset {
			e.fatalf("%s at %v says that there is a gap of %d before it", d.Event.ID(), p, d.Gap)
		}
		for o := p.Offset - d.Gap; o < p.Offset; o++ {
			hole := event.Position{Lane: p.Lane, Offset: o}
			if id := at[hole]; id != "" {
				e.fatalf("%s at %v says that there is a gap of %d before it; but %s is at %v", d.Event.ID(), p, d.Gap, id, hole)
			}
			gaps[hole] = true
		}
		if from := p.Offset - d.Gap; first[p.Lane] == 0 || from < first[p.Lane] {
			first[p.Lane] = from
		}
	}
	for lane, end := range ends {
		if first[lane] == 0 {
			e.fatalf("lane %d ends at %d, and nothing of it was delivered", lane, end)
		}
		for o := first[lane]; o <= end; o++ {
			if p := (event.Position{Lane: lane, Offset: o}); at[p] == "" && !gaps[p] {
				e.fatalf("position %v is before the end of its lane, %d; no event of it was delivered, and it is in no gap", p, end)
			}
		}
	}
	return first
}

// others sends something to another group, where that can be done.
func (e *env) others(group, topic string, events ...event.Event) {
	e.t.Helper()
	if e.Capabilities&GroupProducer != 0 {
		e.produceTo(group, topic, event.MarkReplayed, events...)
	}
}

var endsCases = []testCase{
	{
		name:    "Last",
		promise: "Ends returns for each lane that has had events the position of the last one.",
		needs:   []need{knowsEnds, positions},
		run: func(e *env) {
			topic := e.topic("orders")
			if ends := e.ends(topic); len(ends) > 0 {
				e.fatalf("nothing was produced, and the ends are %v", ends)
			}
			m := e.join(e.group("a"), topic)
			var ds []event.Delivery
			for round := range 4 {
				events := unkeyed(fmt.Sprint("round", round), 5)
				e.produce(topic, events...)
				ends := e.ends(topic)
				ds = append(ds, m.handleAny(events...)...)
				if last := lastOf(ds); fmt.Sprint(last) != fmt.Sprint(ends) {
					e.fatalf("the ends are %v; what was produced by then came at %v", ends, last)
				}
			}
		},
	},
	{
		name:    "OfNothing",
		promise: "A topic that doesn't exist has no ends.",
		needs:   []need{knowsEnds},
		run: func(e *env) {
			if ends := e.ends(e.name("nowhere")); len(ends) > 0 {
				e.fatalf("there is no such topic, and its ends are %v", ends)
			}
		},
	},
	{
		name:    "Accepted",
		promise: "An event whose Produce returned before Ends was called is at or before the end of its lane, whatever is produced at the same time.",
		needs:   []need{knowsEnds, positions},
		run: func(e *env) {
			const producers, each = 6, 8
			topic := e.topic("orders")
			m := e.join(e.group("a"), topic)
			var mu sync.Mutex
			behind := map[string]map[int32]int64{}
			var wg sync.WaitGroup
			for i := range producers {
				wg.Go(func() {
					defer func() { e.tellPanic(e.t, recover()) }()
					for _, ev := range keyed(fmt.Sprint("key", i), 1, each) {
						e.produce(topic, ev)
						ends := e.ends(topic)
						mu.Lock()
						behind[ev.ID()] = ends
						mu.Unlock()
					}
				})
			}
			e.within(e.Patience, "Produce and Ends", wg.Wait)
			for _, d := range m.handle(producers * each) {
				if end := behind[d.Event.ID()][d.Position.Lane]; end < d.Position.Offset {
					e.fatalf("%s is at %v; when it was produced, the end of the lane was %d", d.Event.ID(), d.Position, end)
				}
			}
		},
	},
	{
		name:    "OfOneGroup",
		promise: "What is produced to one group doesn't count for the ends: the others would never reach them.",
		needs:   []need{knowsEnds, positions, toGroup},
		run: func(e *env) {
			topic := e.topic("orders")
			a, b := e.join(e.group("a"), topic), e.join(e.group("b"), topic)
			alone := unkeyed("alone", 3)
			e.produceTo(a.group, topic, event.MarkReplayed, alone...)
			if ends := e.ends(topic); len(ends) > 0 {
				e.fatalf("nothing was produced to all groups, and the ends are %v", ends)
			}
			events := unkeyed("x", 5)
			e.produce(topic, events...)
			ends := e.ends(topic)
			more := unkeyed("more", 3)
			e.produceTo(a.group, topic, event.MarkReplayed, more...)
			if now := e.ends(topic); fmt.Sprint(now) != fmt.Sprint(ends) {
				e.fatalf("the ends were %v, and %v after events for one group", ends, now)
			}
			if last := lastOf(b.handleAny(events...)); fmt.Sprint(last) != fmt.Sprint(ends) {
				e.fatalf("the ends are %v; what was produced to all groups came at %v", ends, last)
			}
			a.handle(len(alone) + len(events) + len(more))
		},
	},
}

var gapCases = []testCase{
	{
		name:    "OfKeys",
		promise: "Every position from the first that a group gets up to the end of its lane is that of an event, or in the gap before one; none is both.",
		needs:   []need{knowsEnds, positions},
		run: func(e *env) {
			topic := e.topic("orders")
			a, b := e.join(e.group("a"), topic), e.join(e.group("b"), topic)
			more := 0
			for round := range 4 {
				for k := range 5 {
					e.produce(topic, keyed(fmt.Sprint("key", k), 3*round+1, 3*round+3)...)
					if k%2 == 0 {
						e.others(b.group, topic, unkeyed(fmt.Sprintf("other%d-%d", round, k), 2)...)
						more += 2
					}
				}
			}
			if e.Capabilities&GroupProducer == 0 {
				more = 0
			}
			ends := e.ends(topic)
			e.covered(a.handle(60), ends)
			e.covered(b.handle(60+more), ends)
		},
	},
	{
		name:    "BeforeTheFirst",
		promise: "All before the first event that a member gets of a lane is in the gap before it, or was settled by the group.",
		needs:   []need{knowsEnds, positions},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("a")
			m := e.join(group, topic)
			events := func(n int) (all []event.Event) {
				for k := range 5 { // the same lanes each time
					all = append(all, keyed(fmt.Sprint("key", k), 2*n+1, 2*n+2)...)
				}
				return all
			}
			e.produce(topic, events(0)...)
			settled := map[int32]int64{} // by the group: up to where
			for _, d := range m.handleAny(events(0)...) {
				settled[d.Position.Lane] = max(settled[d.Position.Lane], d.Position.Offset)
			}
			m.close()
			m = e.join(group, topic)
			newest := e.joinAs(event.Subscription{Group: e.group("newest"), Topics: []string{topic}, From: event.Newest()})
			e.produce(topic, events(1)...)
			ends := e.ends(topic)
			for _, m := range []*member{m, newest} {
				for lane, first := range e.covered(m.handleAny(events(1)...), ends) {
					if first != 1 && (m == newest || first-1 > settled[lane]) {
						e.fatalf("%s got nothing before in lane %d; but the gap before its first event there begins at %d only", m.name, lane, first)
					}
				}
			}
		},
	},
	{
		name:    "OfDelayed",
		promise: "The position of a delayed event is in no gap, also where others came before it: it comes later, with the gap before it.",
		needs:   []need{knowsEnds, positions, delays},
		run: func(e *env) {
			topic := e.topic("orders")
			a, other := e.join(e.group("a"), topic), e.join(e.group("b"), topic).group
			wait := e.delay(e.Guarantees.MaxDelay)
			var events []event.Event
			for i := range 6 {
				e.others(other, topic, numbered("other", i))
				x, y := later(numbered("late", i), wait), numbered("now", i)
				e.produce(topic, x)
				e.produce(topic, y)
				events = append(events, x, y)
			}
			ends := e.ends(topic)
			e.covered(a.handleAny(events...), ends)
		},
	},
	{
		name:    "OfDead",
		promise: "A redriven event has the position and the gap that it had before it died.",
		needs:   []need{knowsEnds, positions, hasDeadLetters},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("a")
			m, other := e.join(group, topic), e.join(e.group("b"), topic).group
			e.produce(topic, numbered("x", 1))
			ds := m.handle(1)
			e.others(other, topic, unkeyed("other", 3)...)
			e.produce(topic, numbered("x", 2).WithKey("k"))
			died := m.one()
			m.begin(died)
			m.mustSettle(event.Dead(died.Token, cause("the handler failed")))
			e.produce(topic, numbered("x", 3))
			ds = append(ds, m.handle(1)...)
			ends := e.ends(topic)
			e.redriveKey(topic, group, "k", 1)
			again := m.handle(1)[0]
			if again.Position != died.Position || again.Gap != died.Gap {
				e.fatalf("%s was at %v behind a gap of %d, and redriven it is at %v behind one of %d",
					died.Event.ID(), died.Position, died.Gap, again.Position, again.Gap)
			}
			e.covered(append(ds, again), ends)
		},
	},
	{
		name:    "OfParked",
		promise: "The position of an event that waits behind a parked key is in no gap: it comes when the key is redriven, with the gap before it.",
		needs:   []need{knowsEnds, positions, hasDeadLetters, parks},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("a")
			m, other := e.join(group, topic), e.join(e.group("b"), topic).group
			a, b := keyed("a", 1, 4), keyed("b", 1, 4)
			e.produce(topic, a[0])
			m.park(a[0])
			for i := range a[1:] {
				e.others(other, topic, numbered("other", i))
				e.produce(topic, a[i+1])
				e.produce(topic, b[i])
			}
			ds := m.handleAll(b[:3]...)
			e.parked(topic, group, "a", a...)
			ends := e.ends(topic)
			e.redriveKey(topic, group, "a", len(a))
			e.covered(append(ds, m.handleAll(a...)...), ends)
		},
	},
}
