package channeltest

import (
	"context"
	"time"
)

var holdCases = []testCase{
	{
		name:    "BeginAgain",
		promise: "A held delivery stays in hand: Begin may be called again, as often as it is held, and it can be settled.",
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			ev := keyed("a", 1, 1)[0]
			e.produce(topic, ev)
			d := m.expect(ev)
			for i := range 4 {
				m.begin(d)
				m.hold(d, i+1)
				m.silent("it is held")
			}
			m.begin(d)
			m.ack(d)
			m.silent("it is acked")
		},
	},
	{
		name:    "SettledWhileHeld",
		promise: "A held delivery can be settled without another run.",
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			ev := keyed("a", 1, 1)[0]
			e.produce(topic, ev)
			d := m.expect(ev)
			m.begin(d)
			m.hold(d, 1)
			m.ack(d)
			m.beginsNot(d, "a delivery that was acked while it was held")
			m.close()
			e.join(group, topic).silent("it was acked")
		},
	},
	{
		name:    "LongerThanLease",
		promise: "What is held is leased as long as the consumer lives: it goes to nobody else, however long it waits for its retry.",
		needs:   []need{lease, renews, two},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			ms := e.together(2, group, topic)
			a, b, d := e.whoGets(topic, keyed("held", 1, 1)[0], ms)
			a.begin(d)
			a.hold(d, 1)
			e.produce(topic, keyed("held", 2, 3)...)
			c := e.work(nil, b) // it gets nothing of the key
			e.pass(3 * e.Guarantees.Lease)
			c.stop()
			ctx := a.begin(d)
			if ctx.Err() != nil {
				e.errorf("the context of the held delivery ended: %v", context.Cause(ctx))
			}
			a.ack(d)
			e.workOff(topic, nil, ms...)
		},
	},
	{
		name:    "OthersGoOn",
		promise: "A held delivery holds up its key and nothing else.",
		needs:   []need{atOnce(2)},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			ev := keyed("a", 1, 1)[0]
			e.produce(topic, ev)
			d := m.expect(ev)
			m.begin(d)
			m.hold(d, 1)
			others := keyed("b", 1, 10)
			e.produce(topic, others...)
			m.handleAny(others...)
			m.begin(d)
			m.ack(d)
		},
	},
	{
		name:    "GoesBackAtClose",
		promise: "A held delivery, which nobody runs, goes back at once when the consumer closes, its successors behind it.",
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			events := keyed("a", 1, 4)
			e.produce(topic, events...)
			ds := m.upTo(2)
			m.begin(ds[0])
			m.hold(ds[0], 1)
			start := time.Now()
			m.close() // with a context that lives long
			e.story.addf("Close took %v", time.Since(start))
			m.beginsNot(ds[0], "a delivery that was held when the consumer closed")
			m = e.join(group, topic)
			m.handleAny(events...) // in order where there is one
			m.silent("all is acked")
		},
	},
}
