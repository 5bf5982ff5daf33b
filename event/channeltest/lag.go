package channeltest

import (
	"fmt"
	"time"

	"github.com/leat-go/leat/event"
)

func (e *env) lag(topic, group string) event.Lag {
	e.t.Helper()
	ctx, cancel := e.patient()
	defer cancel()
	l, err := as[event.LagReporter](e).Lag(ctx, topic, group)
	if err != nil {
		e.fatalf("Lag(%q, %q): %v", topic, group, err)
	}
	return l
}

// awaitLag waits until the lag of a group is want. What is in hand may be told as
// waiting by brokers that can't tell them apart.
func (e *env) awaitLag(topic, group string, want event.Lag) event.Lag {
	e.t.Helper()
	var l event.Lag
	e.poll(fmt.Sprintf("the lag of %s on %s is %d waiting, %d in hand, %d delayed, %d dead", group, topic, want.Waiting, want.InHand, want.Delayed, want.Dead),
		func() (bool, string) {
			l = e.lag(topic, group)
			ok := l.Waiting+l.InHand == want.Waiting+want.InHand && l.Delayed == want.Delayed && l.Dead == want.Dead
			if e.Exact {
				ok = ok && l.InHand == want.InHand
			}
			return ok, fmt.Sprintf("%+v", l)
		})
	return l
}

var lagCases = []testCase{
	{
		name:    "WaitingAndInHand",
		promise: "Lag tells how many events wait and how many are in hand, for each group.",
		needs:   []need{reportsLag, atOnce(4)},
		run: func(e *env) {
			topic, group, idle := e.topic("orders"), e.group("mailer"), e.group("idle")
			m := e.join(group, topic)
			e.join(idle, topic).close()
			e.awaitLag(topic, group, event.Lag{})
			e.produce(topic, unkeyed("x", 10)...)
			e.awaitLag(topic, group, event.Lag{Waiting: 10})
			ds := m.next(4)
			m.begin(ds[0])
			e.awaitLag(topic, group, event.Lag{Waiting: 6, InHand: 4})
			m.ack(ds[:3]...)
			e.awaitLag(topic, group, event.Lag{Waiting: 6, InHand: 1})
			if e.Guarantees.GivesBack {
				m.release(ds[3])
				e.awaitLag(topic, group, event.Lag{Waiting: 7})
				m.handle(7)
			} else {
				m.ack(ds[3])
				m.handle(6)
			}
			e.awaitLag(topic, group, event.Lag{})
			e.awaitLag(topic, idle, event.Lag{Waiting: 10})
		},
	},
	{
		name:    "Delayed",
		promise: "Lag tells how many events are due later: with a NotBefore, or retried.",
		needs:   []need{reportsLag, delays},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			wait := e.delay(e.Guarantees.MaxDelay)
			e.produce(topic, later(numbered("x", 1), wait), later(numbered("x", 2), wait), numbered("x", 3))
			m.handleAny(numbered("x", 3))
			e.awaitLag(topic, group, event.Lag{Delayed: 2})
			m.handle(2)
			e.awaitLag(topic, group, event.Lag{})
		},
	},
	{
		name:    "Retried",
		promise: "A retry that waits is delayed, not waiting.",
		needs:   []need{reportsLag, retriesLater},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			e.produce(topic, unkeyed("x", 1)...)
			d := m.one()
			m.begin(d)
			m.retry(d, e.delay(e.Guarantees.MaxRetry), 1)
			e.awaitLag(topic, group, event.Lag{Delayed: 1})
			m.handle(1)
			e.awaitLag(topic, group, event.Lag{})
		},
	},
	{
		name:    "Dead",
		promise: "Lag tells how many dead letters there are, and doesn't count them as unsettled.",
		needs:   []need{reportsLag, hasDeadLetters},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			e.produce(topic, unkeyed("x", 5)...)
			m.die(2)
			l := e.awaitLag(topic, group, event.Lag{Waiting: 3, Dead: 2})
			if l.Unsettled() != 3 {
				e.errorf("3 events are unsettled, the lag says %d", l.Unsettled())
			}
			m.handle(3)
			e.awaitLag(topic, group, event.Lag{Dead: 2})
		},
	},
	{
		name:    "OldestAge",
		promise: "Lag tells how long ago the oldest unsettled event was accepted, when it has no NotBefore: waiting, in hand or given back; zero when there is none.",
		needs:   []need{reportsLag},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			if l := e.lag(topic, group); l.OldestAge != 0 {
				e.errorf("nothing is unsettled, and the oldest is %v old", l.OldestAge)
			}
			start := time.Now()
			e.produce(topic, unkeyed("x", 1)...)
			unit := max(e.Silence, e.Delay)
			e.pass(unit)
			age := func(when string) {
				e.t.Helper()
				const coarse = time.Second
				e.poll("the oldest unsettled event has an age, while it is "+when, func() (bool, string) {
					l := e.lag(topic, group)
					most := time.Since(start) + coarse
					return l.OldestAge > 0 && l.OldestAge <= most && l.OldestAge >= unit-coarse, fmt.Sprintf("%v, it was accepted %v ago", l.OldestAge, time.Since(start))
				})
			}
			age("waiting")
			d := m.one()
			age("in hand")
			if e.Guarantees.GivesBack {
				m.release(d)
				age("given back")
				d = m.one()
			}
			e.produce(topic, unkeyed("younger", 3)...)
			age("older than others")
			m.ack(d)
			e.poll("the oldest is younger when the oldest is acked", func() (bool, string) {
				l := e.lag(topic, group)
				return l.OldestAge < unit, fmt.Sprint(l.OldestAge)
			})
			m.handle(3)
			e.poll("nothing is unsettled, and the oldest has no age", func() (bool, string) {
				l := e.lag(topic, group)
				return l.OldestAge == 0, fmt.Sprint(l.OldestAge)
			})
		},
	},
	{
		name:    "OldestAgeOfScheduled",
		promise: "The age of an event with a NotBefore begins when it is due: before, it is no oldest event.",
		needs:   []need{reportsLag, delays},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			wait := e.delay(e.Guarantees.MaxDelay)
			x := later(numbered("x", 1), wait)
			e.produce(topic, x)
			e.pass(wait / 2)
			l := e.lag(topic, group)
			if time.Now().Before(x.NotBefore()) && l.OldestAge != 0 {
				e.errorf("nothing is due, and the oldest is %v old", l.OldestAge)
			}
			e.pass(time.Until(x.NotBefore()))
			e.poll("what is due has an age", func() (bool, string) {
				const coarse = time.Second
				l := e.lag(topic, group)
				due := time.Since(x.NotBefore())
				return l.OldestAge > 0 && l.OldestAge <= due+min(coarse, wait/2), fmt.Sprintf("%v, it was due %v ago", l.OldestAge, due)
			})
			m.handleAny(x)
			e.poll("nothing is unsettled, and the oldest has no age", func() (bool, string) {
				l := e.lag(topic, group)
				return l.OldestAge == 0, fmt.Sprint(l.OldestAge)
			})
		},
	},
}
