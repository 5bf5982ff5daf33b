package channeltest

import (
	"slices"
	"sync"

	"github.com/leat-go/leat/event"
)

func (e *env) listen(group, topic string) *member {
	e.t.Helper()
	return e.joinAs(event.Subscription{Group: group, Topics: []string{topic}, Ephemeral: true})
}

var ephemeralCases = []testCase{
	{
		name:    "FromNewest",
		promise: "An ephemeral subscription starts at the newest.",
		needs:   []need{ephemeral},
		run: func(e *env) {
			topic := e.topic("replies")
			e.earlier(topic, 5)
			m := e.listen(e.group("inbox"), topic)
			m.silent("it was accepted before the ephemeral consumer existed")
			events := keyed("a", 1, 5)
			e.produce(topic, events...)
			m.handleAny(events...)
		},
	},
	{
		name:    "Private",
		promise: "An ephemeral subscription is private to its consumer: others of the same group share nothing with it.",
		needs:   []need{ephemeral},
		run: func(e *env) {
			topic, group := e.topic("replies"), e.group("inbox")
			a, b := e.listen(group, topic), e.listen(group, topic)
			c := e.join(e.group("mailer"), topic)
			events := keyed("a", 1, 10)
			e.produce(topic, events...)
			for _, m := range []*member{a, b, c} {
				m.handleAny(events...)
				m.silent("it has had all")
			}
		},
	},
	{
		name:    "GoneAtClose",
		promise: "Nothing is kept of an ephemeral subscription: at Close it is gone, with all that it is owed.",
		needs:   []need{ephemeral, atOnce(2)},
		run: func(e *env) {
			topic, group := e.topic("replies"), e.group("inbox")
			m := e.listen(group, topic)
			e.produce(topic, unkeyed("x", 6)...)
			ds := m.next(2)
			m.begin(ds[0])
			m.hold(ds[0], 1)
			m.close()
			e.produce(topic, unkeyed("between", 3)...)
			m = e.listen(group, topic)
			m.silent("it was produced for the subscription before, which is gone, or for nobody")
			after := unkeyed("after", 3)
			e.produce(topic, after...)
			m.handleAny(after...)
		},
	},
	{
		name:    "OnEvent",
		promise: "An ephemeral subscription with OnEvent gets each event once: by a call before Produce returns, or as a delivery.",
		needs:   []need{ephemeral},
		run: func(e *env) {
			topic := e.topic("replies")
			var mu sync.Mutex
			var told []string
			m := e.joinAs(event.Subscription{
				Group: e.group("inbox"), Topics: []string{topic}, Ephemeral: true,
				OnEvent: func(ev event.Event) {
					mu.Lock()
					defer mu.Unlock()
					told = append(told, ev.ID())
				},
			})
			other := e.join(e.group("mailer"), topic)
			events := keyed("a", 1, 5)
			for _, ev := range events {
				e.produce(topic, ev)
			}
			mu.Lock()
			left := slices.DeleteFunc(slices.Clone(events), func(ev event.Event) bool { return slices.Contains(told, ev.ID()) })
			calls := len(told)
			mu.Unlock()
			if len(left)+calls != len(events) {
				e.errorf("OnEvent was called %d times, for %d of %d events", calls, len(events)-len(left), len(events))
			}
			m.handleAny(left...)
			m.silent("it has had all")
			other.handleAny(events...)
			mu.Lock()
			defer mu.Unlock()
			if len(told) != calls {
				e.errorf("OnEvent was called %d times after Produce had returned", len(told)-calls)
			}
		},
	},
	{
		name:    "Retries",
		promise: "While it lives, an ephemeral subscription retries like any other.",
		needs:   []need{ephemeral, givesBack},
		run: func(e *env) {
			topic := e.topic("replies")
			m := e.listen(e.group("inbox"), topic)
			ev := keyed("a", 1, 1)[0]
			e.produce(topic, ev)
			d := m.expect(ev)
			m.begin(d)
			m.retry(d, 0, 1)
			m.handleAll(ev)
			m.silent("all is acked")
		},
	},
	{
		name:    "NoDeadLetters",
		promise: "An ephemeral subscription has no dead letters: what dies is gone.",
		needs:   []need{ephemeral, hasDeadLetters},
		run: func(e *env) {
			topic, group := e.topic("replies"), e.group("inbox")
			m := e.listen(group, topic)
			e.produce(topic, unkeyed("x", 2)...)
			m.die(2)
			m.silent("all is dead")
			e.awaitLetters(topic, group)
		},
	},
	{
		name:    "NotInCensus",
		promise: "An ephemeral subscription leaves no group behind.",
		needs:   []need{ephemeral, knowsGroups},
		stands:  true,
		run: func(e *env) {
			topic := e.topic("replies")
			mailer := event.GroupInfo{Group: e.group("mailer"), Members: 1}
			e.join(mailer.Group, topic)
			e.awaitCensus(topic, mailer)
			m := e.listen(e.group("inbox"), topic)
			m.close()
			e.awaitCensus(topic, mailer)
		},
	},
}
