package channeltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leat-go/leat/event"
)

var deliveryCases = []testCase{
	{
		name:    "EveryGroup",
		promise: "An accepted event is owed to every group that existed on its topic then, and to no other.",
		run: func(e *env) {
			topic, other := e.topic("orders"), e.topic("other")
			a := e.join(e.group("mailer"), topic)
			b := e.join(e.group("billing"), topic)
			c := e.join(e.group("stranger"), other)
			events := unkeyed("x", 20)
			e.produce(topic, events[:10]...)
			e.produce(topic, events[10:]...)
			a.handleAny(events...)
			b.handleAny(events...)
			for _, m := range []*member{a, b} {
				m.silent("the group has had all that it is owed")
			}
			c.silent("it is in a group of another topic")
		},
	},
	{
		name:    "GroupShares",
		promise: "Consumers of a group share its deliveries: each event goes to one of them.",
		needs:   []need{two},
		stands:  true,
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			ms := e.together(2, group, topic)
			events := append(unkeyed("x", 30), keyed("k", 1, 10)...)
			e.produce(topic, events...)
			e.workOff(topic, nil, ms...)
			for _, m := range ms {
				m.silent("the group has settled all")
			}
			for _, ev := range events {
				if n, _ := e.ledger.times(group, topic, ev.ID()); n != 1 && e.Exact {
					e.errorf("%s was delivered %d times within the group", ev.ID(), n)
				}
			}
		},
	},
	{
		name:    "GroupOutlivesMembers",
		promise: "A group exists from the moment that Consumer returned and outlives its members: what is accepted while it has none is owed to it.",
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			e.join(group, topic).close()
			events := unkeyed("x", 5)
			e.produce(topic, events...)
			m := e.join(group, topic)
			m.handleAny(events...)
			m.close()
			late := unkeyed("late", 5)
			e.produce(topic, late...)
			e.join(group, topic).handleAny(late...)
		},
	},
	{
		name:    "SeveralTopics",
		promise: "A consumer gets the events of all topics of its subscription, and each delivery names its topic.",
		run: func(e *env) {
			topics := []string{e.topic("orders"), e.topic("payments"), e.topic("shipments")}
			m := e.join(e.group("mailer"), topics...)
			want := map[string]string{}
			for i, topic := range topics {
				events := unkeyed(fmt.Sprint("t", i), 5)
				for _, ev := range events {
					want[ev.ID()] = topic
				}
				e.produce(topic, events...)
			}
			for range 15 {
				d := m.handle(1)[0] // its topic is compared for every delivery
				if want[d.Event.ID()] != d.Topic {
					e.errorf("%s came as an event of %q, it was produced on %q", d.Event.ID(), d.Topic, want[d.Event.ID()])
				}
			}
			m.silent("it has had all events")
		},
	},
	{
		name:    "Types",
		promise: "Subscription.Types is a hint: events of these types come, and others may.",
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.joinAs(event.Subscription{Group: e.group("mailer"), Topics: []string{topic}, Types: []string{"wanted", "tested"}})
			events := unkeyed("x", 6)
			events[1] = events[1].WithType("wanted")
			events[4] = events[4].WithType("wanted")
			e.produce(topic, events...)
			m.handleAny(events...)
		},
	},
	{
		name:    "InFlight",
		promise: "Subscription.InFlight is the most that a consumer has in hand.",
		needs:   []need{atOnce(5)},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.joinAs(event.Subscription{Group: e.group("mailer"), Topics: []string{topic}, InFlight: 5})
			e.produce(topic, unkeyed("x", 12)...)
			ds := m.next(5)
			m.silent("5 deliveries are in its hand, InFlight is 5")
			m.ack(ds[:3]...)
			ds = append(ds[3:], m.next(3)...)
			m.silent("5 deliveries are in its hand, InFlight is 5")
			m.ack(ds...)
			m.handle(4)
		},
	},
	{
		name:    "SmallBuffer",
		promise: "Receive takes no more than its buffer holds; the rest comes with the next call.",
		stands:  true,
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			events := keyed("a", 1, 7)
			e.produce(topic, events...)
			for _, ev := range events {
				if e.Guarantees.OrderPerKey {
					m.ack(m.expect(ev))
					continue
				}
				m.ack(m.one())
			}
			m.silent("it has had all events")
		},
	},
	{
		name:    "ReceiveUntilContextEnds",
		promise: "Receive blocks until there is a delivery; when its context ends it returns the context's error and nothing was taken.",
		stands:  true,
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			for i := range 3 {
				ctx, cancel := context.WithTimeout(e.ctx, e.Silence)
				ds, err := m.news(ctx, 4)
				cancel()
				if !errors.Is(err, context.DeadlineExceeded) {
					e.fatalf("Receive with nothing to receive returned %s and the error %v, not context.DeadlineExceeded", idsOf(ds), err)
				}
				ev := keyed("a", i+1, i+1)[0]
				e.produce(topic, ev)
				m.ack(m.expect(ev))
			}
			ctx, cancel := context.WithCancel(e.ctx)
			var err error
			woken := e.async(func() { _, err = m.news(ctx, 4) })
			e.pass(e.Silence)
			cancel()
			e.wait(e.Patience, woken, "Receive returns after its context was cancelled")
			if !errors.Is(err, context.Canceled) {
				e.errorf("a cancelled Receive returned the error %v, not context.Canceled", err)
			}
			last := keyed("a", 4, 4)[0]
			e.produce(topic, last)
			m.ack(m.expect(last))
		},
	},
	{
		name:    "WakesReceive",
		promise: "A Receive that waits gets what is produced, at once.",
		stands:  true,
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			for _, ev := range unkeyed("x", 5) {
				var got []event.Delivery
				came := e.async(func() { got = m.next(1) })
				e.pass(e.Silence / 5)
				e.produce(topic, ev)
				e.wait(e.Patience, came, "the waiting Receive gets %s", ev.ID())
				m.ack(got...)
			}
		},
	},
	{
		name:    "WhatComesAlong",
		promise: "A delivery tells what the channel knows: the topic, the attempt, no failures and no marks, a position where there are positions, and when the event was accepted.",
		stands:  true,
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			before := time.Now()
			ev := keyed("a", 1, 1)[0]
			e.produce(topic, ev)
			d := m.expect(ev)
			const coarse = 2 * time.Second // clocks of brokers and of coarse timers
			switch {
			case d.Err != nil || d.Raw != nil:
				e.errorf("a good event has Err %v and %d raw bytes", d.Err, len(d.Raw))
			case d.Failures != 0:
				e.errorf("a first delivery has %d failures", d.Failures)
			case d.Redriven || d.Replayed:
				e.errorf("an ordinary event came as redriven %v, replayed %v", d.Redriven, d.Replayed)
			case d.Position.Valid() != e.Guarantees.Positions:
				e.errorf("Guarantees.Positions is %v, the position is %v", e.Guarantees.Positions, d.Position)
			case d.EnqueuedAt.Before(before.Add(-coarse)) || d.EnqueuedAt.After(time.Now().Add(coarse)):
				e.errorf("EnqueuedAt is %v; the event was produced between %v and %v", d.EnqueuedAt, before, time.Now())
			case e.Guarantees.CountsAttempts && d.Attempt < 1:
				e.errorf("attempts are counted, and the first is the number %d", d.Attempt)
			}
			m.ack(d)
		},
	},
	{
		name:    "ForgedMarks",
		promise: "Attempt, redriven and replayed come from the channel's state, never from what a publisher wrote into an attribute.",
		stands:  true,
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			ev := keyed("a", 1, 1)[0]
			for _, name := range []string{"redriven", "replayed", "attempt", "attempts", "failures", "mark", "leatmark", "leatredriven", "leatreplayed", "leatattempt", "leatfailures", "position", "group"} {
				ev = ev.WithExtension(name, "7")
			}
			e.produce(topic, ev) // that the attributes come unchanged is compared for every delivery
			d := m.expect(ev)
			if d.Redriven || d.Replayed || d.Failures != 0 || d.Attempt > 1 && !e.Guarantees.CountsGiveBacks {
				e.errorf("a publisher's attributes made the delivery redriven %v, replayed %v, attempt %d, failures %d", d.Redriven, d.Replayed, d.Attempt, d.Failures)
			}
			m.ack(d)
		},
	},
	{
		name:    "Undecodable",
		promise: "Bytes that are no event come as a delivery with Err and the bytes as they were received; they can be settled, and others come.",
		needs:   []need{putRaw},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			raw := []byte("\x00\xff no event {")
			good := unkeyed("x", 2)
			e.produce(topic, good[0])
			e.PutRaw(e.t, e.open(), topic, raw)
			e.produce(topic, good[1])
			var bad, well int
			for bad+well < 3 {
				d := m.one()
				if d.Err == nil {
					well++
					m.ack(d)
					continue
				}
				bad++
				if !bytes.Equal(d.Raw, raw) {
					e.errorf("the bytes %q came as %q", raw, d.Raw)
				}
				if d.Topic != topic {
					e.errorf("the bytes were put on %q and came as of %q", topic, d.Topic)
				}
				m.begin(d)
				m.ack(d)
			}
			if bad != 1 {
				e.errorf("%d deliveries had an Err, 1 was put", bad)
			}
			m.silent("all is settled")
		},
	},
}
