package channeltest

import (
	"github.com/leat-go/leat/event"
)

// attempt fails unless a delivery's attempt is n; it may be more where give-backs
// are counted.
func (e *env) attempt(d event.Delivery, n, giveBacks int) {
	e.t.Helper()
	most := n
	if e.Guarantees.CountsGiveBacks {
		most += giveBacks
	}
	if !e.Exact {
		most++ // a repetition that it was spared
	}
	if d.Attempt < n || d.Attempt > most {
		e.fatalf("%s came as attempt %d; it is the number %d (after %d give-backs)", d.Event.ID(), d.Attempt, n, giveBacks)
	}
}

func (e *env) failures(d event.Delivery, n int) {
	e.t.Helper()
	if d.Failures != n {
		e.fatalf("%s came with %d failures; it has %d", d.Event.ID(), d.Failures, n)
	}
}

var attemptCases = []testCase{
	{
		name:    "RetriesCount",
		promise: "Delivery.Attempt counts deliveries: 1 for the first, one more after each retry.",
		needs:   []need{attempts, givesBack},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			ev := keyed("a", 1, 1)[0]
			e.produce(topic, ev)
			for n := 1; n <= 5; n++ {
				d := m.expect(ev)
				e.attempt(d, n, 0)
				m.begin(d)
				if n == 5 {
					m.ack(d)
					break
				}
				m.retry(d, 0, n)
			}
		},
	},
	{
		name:    "ReleasesDont",
		promise: "A released delivery was not made: the next has the same attempt, unless the broker counts give-backs.",
		needs:   []need{attempts, givesBack},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			ev := keyed("a", 1, 1)[0]
			e.produce(topic, ev)
			for n := range 3 {
				d := m.expect(ev)
				e.attempt(d, 1, n)
				m.release(d)
			}
			d := m.expect(ev)
			e.attempt(d, 1, 3)
			m.begin(d)
			m.retry(d, 0, 1)
			d = m.expect(ev)
			e.attempt(d, 2, 3)
			m.release(d)
			d = m.expect(ev)
			e.attempt(d, 2, 4)
			m.ack(d)
		},
	},
	{
		name:    "EachGroupItsOwn",
		promise: "Attempts and failures are counted for each group.",
		needs:   []need{attempts, givesBack},
		run: func(e *env) {
			topic := e.topic("orders")
			a := e.join(e.group("a"), topic)
			b := e.join(e.group("b"), topic)
			ev := keyed("k", 1, 1)[0]
			e.produce(topic, ev)
			for n := 1; n <= 3; n++ {
				d := a.expect(ev)
				a.begin(d)
				a.retry(d, 0, n)
			}
			d := b.expect(ev)
			e.attempt(d, 1, 0)
			e.failures(d, 0)
			b.ack(d)
			d = a.expect(ev)
			e.attempt(d, 4, 0)
			a.ack(d)
		},
	},
	{
		name:    "FailuresKept",
		promise: "Failures told with a retry come with the next delivery, survive a release, and follow the event to another member.",
		needs:   []need{keepsFailures, givesBack},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			ev := keyed("a", 1, 1)[0]
			e.produce(topic, ev)
			d := m.expect(ev)
			e.failures(d, 0)
			m.begin(d)
			m.retry(d, 0, 1)
			d = m.expect(ev)
			e.failures(d, 1)
			m.release(d)
			d = m.expect(ev)
			e.failures(d, 1)
			m.begin(d)
			m.retry(d, 0, 4) // how many is the caller's to say
			m.close()
			m = e.join(group, topic)
			d = m.expect(ev)
			e.failures(d, 4)
			m.ack(d)
		},
	},
	{
		name:    "FailuresOfHeld",
		promise: "Failures told with Hold survive when the delivery goes back at Close.",
		needs:   []need{keepsFailures},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			ev := keyed("a", 1, 1)[0]
			e.produce(topic, ev)
			d := m.expect(ev)
			m.begin(d)
			m.hold(d, 3)
			m.close()
			m = e.join(group, topic)
			d = m.expect(ev)
			e.failures(d, 3)
			m.ack(d)
		},
	},
	{
		name:    "UnbegunDontCount",
		promise: "What goes back at Close without having been begun was not attempted, unless the broker counts give-backs.",
		needs:   []need{attempts, atOnce(5)},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			events := unkeyed("x", 5)
			e.produce(topic, events...)
			m.next(5)
			m.close()
			m = e.join(group, topic)
			for _, d := range m.handle(5) {
				e.attempt(d, 1, 1)
				e.failures(d, 0)
			}
		},
	},
}
