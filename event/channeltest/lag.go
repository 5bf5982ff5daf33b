package channeltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
		needs:   []need{reportsLag},
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
		promise: "Lag tells how long ago the oldest unsettled event was accepted: waiting, in hand or given back; zero when there is none.",
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
}

// quietLater calls Quiet in the background.
func (e *env) quietLater(groups ...string) (returned <-chan struct{}, err func() error) {
	var result error
	q := as[event.Quiescer](e)
	done := e.async(func() { result = q.Quiet(e.ctx, groups...) })
	return done, func() error { return result }
}

// notQuiet fails when Quiet returned.
func (e *env) notQuiet(returned <-chan struct{}, why string) {
	e.t.Helper()
	timer := time.NewTimer(e.Silence)
	defer timer.Stop()
	select {
	case <-returned:
		e.fatalf("Quiet returned: %s", why)
	case <-timer.C:
	}
}

var quietCases = []testCase{
	{
		name:    "WaitsForAll",
		promise: "Quiet returns when everything is settled: not while something waits, is in hand or held.",
		needs:   []need{knowsQuiet},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			e.produce(topic, unkeyed("x", 2)...)
			returned, err := e.quietLater(group)
			e.notQuiet(returned, "two events wait")
			ds := m.next(2)
			e.notQuiet(returned, "two deliveries are in hand")
			m.begin(ds[0])
			m.ack(ds[1])
			e.notQuiet(returned, "a delivery is begun")
			m.hold(ds[0], 1)
			e.notQuiet(returned, "a delivery is held")
			m.begin(ds[0])
			m.ack(ds[0])
			e.wait(e.Patience, returned, "Quiet returns when all is settled")
			if err() != nil {
				e.errorf("Quiet: %v", err())
			}
		},
	},
	{
		name:    "AtOnce",
		promise: "Quiet returns at once when nothing is owed, and a dead letter is not owed.",
		needs:   []need{knowsQuiet},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			quiet := func(when string, groups ...string) {
				e.t.Helper()
				returned, err := e.quietLater(groups...)
				e.wait(e.Patience, returned, "Quiet(%q) returns, %s", groups, when)
				if err() != nil {
					e.errorf("Quiet(%q), %s: %v", groups, when, err())
				}
			}
			quiet("nothing was produced", group)
			e.produce(topic, unkeyed("x", 3)...)
			m.die(1)
			m.handle(2)
			quiet("all is settled", group)
			quiet("nobody knows the group", e.group("nobody"))
		},
	},
	{
		name:    "Delayed",
		promise: "Quiet waits for what is due later.",
		needs:   []need{knowsQuiet, delays},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			ev := later(numbered("x", 1), e.delay(e.Guarantees.MaxDelay))
			e.produce(topic, ev)
			returned, err := e.quietLater(group)
			e.notQuiet(returned, "an event is due later")
			m.handleAll(ev)
			e.wait(e.Patience, returned, "Quiet returns when all is settled")
			e.notEarly("the return of Quiet", ev.NotBefore())
			if err() != nil {
				e.errorf("Quiet: %v", err())
			}
		},
	},
	{
		name:    "OfGroups",
		promise: "Quiet waits for the groups that it is told, and for no other.",
		needs:   []need{knowsQuiet},
		run: func(e *env) {
			topic := e.topic("orders")
			a, b, c := e.join(e.group("a"), topic), e.join(e.group("b"), topic), e.join(e.group("c"), topic)
			e.produce(topic, unkeyed("x", 1)...)
			a.handle(1)
			ofA, _ := e.quietLater(a.group)
			e.wait(e.Patience, ofA, "Quiet of a group that has settled all returns while another is owed something")
			ofAB, _ := e.quietLater(a.group, b.group)
			e.notQuiet(ofAB, "one of its two groups is owed something")
			b.handle(1)
			e.wait(e.Patience, ofAB, "Quiet of two groups that have settled all returns while a third is owed something")
			c.handle(1)
		},
	},
	{
		name:    "ContextEnds",
		promise: "Quiet returns its context's error when that ends before.",
		needs:   []need{knowsQuiet},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			e.produce(topic, unkeyed("x", 1)...)
			ctx, cancel := context.WithTimeout(e.ctx, e.Silence)
			defer cancel()
			q := as[event.Quiescer](e)
			e.within(e.Patience, "Quiet whose context ended", func() {
				if err := q.Quiet(ctx, group); !errors.Is(err, context.DeadlineExceeded) {
					e.errorf("Quiet whose context ended returned %v", err)
				}
			})
			m.handle(1)
		},
	},
	{
		name:    "AfterCrash",
		promise: "Quiet waits for what a crashed member had in hand, and for whoever gets it then.",
		needs:   []need{knowsQuiet, crash},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			e.produce(topic, unkeyed("x", 1)...)
			m.begin(m.one())
			m.crash()
			returned, err := e.quietLater(group)
			e.notQuiet(returned, "a crashed member had a delivery in hand")
			m = e.join(group, topic)
			m.inherits(1)
			e.wait(e.Patience, returned, "Quiet returns when all is settled")
			if err() != nil {
				e.errorf("Quiet: %v", err())
			}
		},
	},
}

var schedulerCases = []testCase{
	{
		name:    "Cancel",
		promise: "Cancel removes an event that is not due yet, for all groups, and tells whether it was there.",
		needs:   []need{cancels, delays},
		run: func(e *env) {
			topic := e.topic("orders")
			ms := []*member{e.join(e.group("a"), topic), e.join(e.group("b"), topic)}
			wait := e.delay(e.Guarantees.MaxDelay)
			events := []event.Event{later(numbered("x", 1), wait), later(numbered("x", 2), wait), numbered("x", 3)}
			e.produce(topic, events...)
			cancel := func(id string, want bool, why string) {
				e.t.Helper()
				ctx, stop := e.patient()
				defer stop()
				found, err := as[event.Scheduler](e).Cancel(ctx, topic, id)
				if err != nil || found != want {
					e.fatalf("Cancel of %s returned %v and %v: %s", id, found, err, why)
				}
			}
			cancel("x-1", true, "it was produced and is not due")
			cancel("x-1", false, "it was cancelled before")
			cancel("x-9", false, "nobody produced it")
			for _, m := range ms {
				got := m.handle(2)
				for _, d := range got {
					if d.Event.ID() == "x-1" {
						e.errorf("x-1 came, though it was cancelled")
					}
				}
				if !slices.ContainsFunc(got, func(d event.Delivery) bool { return d.Event.ID() == "x-2" }) {
					e.errorf("x-2 didn't come, another was cancelled")
				}
				m.silent("all is cancelled or acked")
			}
			cancel("x-2", false, "it was delivered")
		},
	},
}
