package channeltest

import (
	"context"
	"errors"
	"time"

	"github.com/leat-go/leat/event"
)

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
		needs:   []need{knowsQuiet, atOnce(2)},
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
