package channeltest

import (
	"time"

	"github.com/leat-go/leat/event"
)

// notEarly fails when it isn't due yet.
func (e *env) notEarly(what string, due time.Time) {
	e.t.Helper()
	if now := time.Now(); now.Before(due) {
		e.fatalf("%s came %v early", what, due.Sub(now))
	}
}

// later returns an event that is due after d.
func later(ev event.Event, d time.Duration) event.Event { return ev.WithNotBefore(time.Now().Add(d)) }

var delayCases = []testCase{
	{
		name:    "NotBefore",
		promise: "An event with a NotBefore is never delivered before it, and soon after.",
		needs:   []need{delays},
		stands:  true,
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			ev := later(unkeyed("x", 1)[0], e.delay(e.Guarantees.MaxDelay))
			e.produce(topic, ev)
			d := m.expect(ev)
			e.notEarly(ev.ID(), ev.NotBefore())
			e.attempt(d, min(d.Attempt, 1), 0)
			m.ack(d)
			m.silent("all is acked")
		},
	},
	{
		name:    "OfAll",
		promise: "Each of many delayed events comes when it is due, whatever order they were produced in.",
		needs:   []need{delays},
		stands:  true,
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			unit := e.delay(e.Guarantees.MaxDelay)
			start := time.Now()
			var events []event.Event
			for i, tenths := range []int{10, 3, 7, 0, 5, 10, 1, 3} {
				events = append(events, numbered("x", i).WithNotBefore(start.Add(unit*time.Duration(tenths)/10)))
			}
			e.produce(topic, events...)
			for range events {
				d := m.one()
				e.notEarly(d.Event.ID(), d.Event.NotBefore())
				m.ack(d)
			}
		},
	},
	{
		name:    "Past",
		promise: "A NotBefore that is past is ignored.",
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			events := keyed("a", 1, 3)
			events[1] = later(events[1], -time.Hour)
			e.produce(topic, events...)
			m.handleAny(events...)
		},
	},
	{
		name:    "TakesItsPlaceWhenDue",
		promise: "A delayed event takes its place when it is due: it holds up no other, not of its key either.",
		needs:   []need{delays},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			unit := e.delay(e.Guarantees.MaxDelay)
			events := keyed("a", 1, 6)
			delayed := later(events[0], unit)
			e.produce(topic, append([]event.Event{delayed}, events[1:4]...)...)
			m.handleAny(events[1:4]...)
			e.produce(topic, events[4:]...)
			m.handleAny(events[4:]...)
			if time.Now().Before(delayed.NotBefore()) {
				m.ack(m.expect(delayed))
			} else {
				m.handleAny(delayed) // a slow broker: it may have been due before
			}
			e.notEarly(delayed.ID(), delayed.NotBefore())
		},
	},
	{
		name:    "EachGroup",
		promise: "A delayed event is owed to every group that existed when it was accepted, and outlives the members that were there then.",
		needs:   []need{delays},
		stands:  true,
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("a")
			a := e.join(group, topic)
			b := e.join(e.group("b"), topic)
			ev := later(unkeyed("x", 1)[0], e.delay(e.Guarantees.MaxDelay))
			e.produce(topic, ev)
			a.close()
			a = e.join(group, topic)
			for _, m := range []*member{a, b} {
				d := m.expect(ev)
				e.notEarly(ev.ID(), ev.NotBefore())
				m.ack(d)
			}
		},
	},
	{
		name:    "Retry",
		promise: "A retried delivery never comes before its delay is over, and soon after.",
		needs:   []need{retriesLater},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			ev := unkeyed("x", 1)[0]
			e.produce(topic, ev)
			unit := e.delay(e.Guarantees.MaxRetry)
			for i, wait := range []time.Duration{unit, unit / 3, unit / 2} {
				d := m.expect(ev)
				m.begin(d)
				start := time.Now()
				m.retry(d, wait, i+1)
				again := m.expect(ev)
				e.notEarly("the retry of "+ev.ID(), start.Add(wait))
				m.release(again)
			}
			m.handleAll(ev)
		},
	},
	{
		name:    "RetryOutlivesMember",
		promise: "A retry that waits is the group's: another member gets it when it is due, and not before.",
		needs:   []need{retriesLater},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			ev := keyed("a", 1, 1)[0]
			e.produce(topic, ev)
			wait := e.delay(e.Guarantees.MaxRetry)
			d := m.expect(ev)
			m.begin(d)
			start := time.Now()
			m.retry(d, wait, 1)
			m.close()
			m = e.join(group, topic)
			d = m.expect(ev)
			e.notEarly("the retry of "+ev.ID(), start.Add(wait))
			m.ack(d)
		},
	},
	{
		name:    "RetryHoldsUpNothing",
		promise: "A retry that waits holds up no event of another key.",
		needs:   []need{retriesLater, atOnce(20)},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			failing, good := unkeyed("failing", 20), append(unkeyed("good", 20), keyed("k", 1, 5)...)
			e.produce(topic, failing...)
			wait := e.delay(e.Guarantees.MaxRetry)
			start := time.Now()
			for _, d := range m.next(20) {
				m.begin(d)
				m.retry(d, wait, 1)
			}
			e.produce(topic, good...)
			due := start.Add(wait)
			for range good {
				d := m.handle(1)[0]
				if time.Now().Before(due) && d.Failures > 0 {
					e.fatalf("%s came before its retry was due", d.Event.ID())
				}
			}
			m.handle(20)
			e.notEarly("the last of 20 retries", due)
		},
	},
}
