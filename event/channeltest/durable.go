package channeltest

// reopened replaces the channel by another on the same broker.
func (e *env) reopened() {
	e.t.Helper()
	for _, m := range e.allMembers() {
		if !m.gone.Swap(true) {
			e.ledger.leaving(m)
			e.ledger.expectTurbulence() // it dies in the middle of its work
		}
	}
	e.story.addf("the channel is closed and opened again")
	e.use(e.Reopen(e.t, e.open()))
}

var durableCases = []testCase{
	{
		name:    "Accepted",
		promise: "What was accepted survives the process, with the groups that it is owed to.",
		needs:   []need{reopen},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			e.join(group, topic).close()
			events := keyed("a", 1, 20)
			e.produce(topic, events...)
			e.reopened()
			m := e.join(group, topic)
			m.handleAny(events...)
			m.silent("all is acked")
		},
	},
	{
		name:    "Acked",
		promise: "What was settled when its consumer was closed stays settled, and what wasn't comes again.",
		needs:   []need{reopen, atOnce(20)},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			e.produce(topic, unkeyed("x", 20)...)
			ds := m.next(20)
			for i, d := range ds {
				if i%3 != 0 {
					m.ack(d)
				}
			}
			m.close()
			e.reopened()
			m = e.join(group, topic)
			m.inherits(7)
			m.silent("all is acked")
		},
	},
	{
		name:    "Open",
		promise: "A process that ends without closing its consumers loses nothing.",
		needs:   []need{reopen, atOnce(4)},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			e.produce(topic, unkeyed("x", 10)...)
			m.begin(m.next(4)[0])
			e.reopened()
			m = e.join(group, topic)
			m.inherits(10)
			m.silent("all is acked")
		},
	},
	{
		name:    "DeadLetters",
		promise: "Dead letters survive the process and can be redriven after it.",
		needs:   []need{reopen, hasDeadLetters},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			e.produce(topic, keyed("a", 1, 3)...)
			dead := m.die(3)
			m.close()
			e.reopened()
			l := e.awaitLetters(topic, group, dead...)[0]
			e.redrive(l)
			m = e.join(group, topic)
			d := m.one()
			e.redriven(d, dead[0])
			m.ack(d)
		},
	},
	{
		name:    "Delayed",
		promise: "What is due later survives the process, and is not early after it.",
		needs:   []need{reopen, delays},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			e.join(group, topic).close()
			ev := later(numbered("x", 1), e.delay(e.Guarantees.MaxDelay))
			e.produce(topic, ev)
			e.reopened()
			m := e.join(group, topic)
			m.inherits(1)
			e.notEarly(ev.ID(), ev.NotBefore())
		},
	},
}
