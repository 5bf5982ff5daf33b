package channeltest

import (
	"slices"
	"sync"
	"time"

	"github.com/leat-go/leat/event"
)

// cancel cancels a delayed event and holds what the channel says of it.
func (e *env) cancel(topic, id string, want bool, why string) {
	e.t.Helper()
	ctx, stop := e.patient()
	defer stop()
	found, err := as[event.Scheduler](e).Cancel(ctx, topic, id)
	e.story.addf("cancels %s on %s: %v, %s", id, topic, found, outcome(err))
	if err != nil || found != want {
		e.fatalf("Cancel of %s returned %v and %v: %s", id, found, err, why)
	}
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
			e.cancel(topic, "x-1", true, "it was produced and is not due")
			e.cancel(topic, "x-1", false, "it was cancelled before")
			e.cancel(topic, "x-9", false, "nobody produced it")
			e.cancel(e.topic("other"), "x-2", false, "it is on another topic")
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
			e.cancel(topic, "x-2", false, "it was delivered")
		},
	},
	{
		name:    "WhereMembersLooked",
		promise: "Cancel removes an event also when a member waits for it to be due, and where it waits for no member at all.",
		needs:   []need{cancels, delays},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("a"), topic)
			absent := e.group("b")
			e.join(absent, topic).close()
			wait := e.delay(e.Guarantees.MaxDelay)
			e.produce(topic, later(numbered("x", 1), wait), numbered("x", 2))
			m.handleAny(numbered("x", 2))
			e.cancel(topic, "x-1", true, "it was produced and is not due")
			e.pass(wait)
			m.silent("x-1 is cancelled")
			other := e.join(absent, topic)
			other.handleAny(numbered("x", 2))
			other.silent("x-1 is cancelled")
		},
	},
	{
		name:    "Due",
		promise: "What is due is not cancelled, whether it was delivered or waits.",
		needs:   []need{cancels, delays},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			e.join(group, topic).close()
			wait := e.delay(e.Guarantees.MaxDelay)
			e.produce(topic, later(numbered("x", 1), wait), numbered("x", 2))
			e.cancel(topic, "x-2", false, "it has no NotBefore")
			e.pass(wait)
			e.cancel(topic, "x-1", false, "it is due")
			m := e.join(group, topic)
			m.handleAny(numbered("x", 1), numbered("x", 2))
		},
	},
	{
		name:    "SameID",
		promise: "Cancel removes all events of the id that are not due.",
		needs:   []need{cancels, delays},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			wait := e.delay(e.Guarantees.MaxDelay)
			first := later(numbered("x", 1), wait)
			e.produce(topic, first)
			e.produce(topic, first)
			e.cancel(topic, "x-1", true, "two of this id were produced")
			e.cancel(topic, "x-1", false, "they were cancelled before")
			e.pass(wait)
			m.silent("all is cancelled")
		},
	},
	{
		name:    "OneGroup",
		promise: "Cancel removes an event that one group alone is owed.",
		needs:   []need{cancels, delays, toGroup},
		run: func(e *env) {
			topic := e.topic("orders")
			m, other := e.join(e.group("a"), topic), e.join(e.group("b"), topic)
			wait := e.delay(e.Guarantees.MaxDelay)
			e.produceTo(other.group, topic, event.MarkReplayed, later(numbered("x", 1), wait))
			e.cancel(topic, "x-1", true, "one group is owed it")
			e.pass(wait)
			m.silent("it was for another group")
			other.silent("it is cancelled")
		},
	},
	{
		name:    "OneTopic",
		promise: "Cancel reaches one topic.",
		needs:   []need{cancels, delays},
		run: func(e *env) {
			topic, other := e.topic("orders"), e.topic("other")
			m := e.join(e.group("mailer"), topic, other)
			wait := e.delay(e.Guarantees.MaxDelay)
			x := later(numbered("x", 1), wait)
			e.produce(topic, x)
			e.produce(other, x)
			e.cancel(topic, "x-1", true, "it is there")
			if d := m.handleAny(x)[0]; d.Topic != other {
				e.errorf("x-1 came on %s, where it was cancelled", topic)
			}
			m.silent("all is cancelled or acked")
		},
	},
	{
		name:    "Quiet",
		promise: "What is cancelled is waited for no more.",
		needs:   []need{cancels, delays, knowsQuiet},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			wait := 2 * e.Patience
			if longest := e.Guarantees.MaxDelay; longest > 0 {
				wait = min(wait, longest)
			}
			e.produce(topic, later(numbered("x", 1), wait))
			e.cancel(topic, "x-1", true, "it is there")
			ctx, stop := e.patient()
			defer stop()
			if err := as[event.Quiescer](e).Quiet(ctx, group); err != nil {
				e.fatalf("Quiet, with nothing left but what was cancelled: %v", err)
			}
			m.silent("all is cancelled")
		},
	},
	{
		name:    "AtItsTime",
		promise: "What Cancel removed comes to no group, and what it didn't to all, however close to its time it was called.",
		needs:   []need{cancels, delays},
		run: func(e *env) {
			topic := e.topic("orders")
			ms := []*member{e.join(e.group("a"), topic), e.join(e.group("b"), topic), e.join(e.group("c"), topic)}
			const n = 40
			wait := e.delay(e.Guarantees.MaxDelay)
			due := time.Now().Add(wait)
			var events []event.Event
			for i := range n {
				events = append(events, numbered("x", i).WithNotBefore(due))
			}
			e.produce(topic, events...)
			var cancels sync.WaitGroup
			var kept [n]bool
			var errs [n]error
			for i, ev := range events {
				cancels.Go(func() {
					e.pass(time.Until(due) + wait*time.Duration(i-n/2)/(20*n)) // around its time
					ctx, stop := e.patient()
					defer stop()
					found, err := as[event.Scheduler](e).Cancel(ctx, topic, ev.ID())
					kept[i], errs[i] = !found, err
				})
			}
			cancels.Wait()
			var left []event.Event
			for i, ev := range events {
				if errs[i] != nil {
					e.fatalf("Cancel of %s: %v", ev.ID(), errs[i])
				}
				if kept[i] {
					left = append(left, ev)
				}
			}
			for _, m := range ms {
				m.handleAny(left...)
				m.silent("the rest is cancelled")
			}
		},
	},
}
