package channeltest

import (
	"context"
	"errors"

	"github.com/leat-go/leat/event"
)

// takeOver is how long a crashed member's deliveries may need to reach another.
func (e *env) takeOver() (ctx context.Context, cancel context.CancelFunc) {
	return context.WithTimeout(e.ctx, e.Guarantees.Lease+e.Patience)
}

// inherits receives, begins and acks n deliveries of a crashed member.
func (m *member) inherits(n int) []event.Delivery {
	m.t.Helper()
	ctx, cancel := m.takeOver()
	defer cancel()
	var got []event.Delivery
	for len(got) < n {
		ds, err := m.news(ctx, 1)
		if err != nil {
			m.fatalf("%s waited a lease (%v) and %v for %d deliveries that a crashed member had in hand and got %d (%s): %v",
				m.name, m.Guarantees.Lease, m.Patience, n, len(got), idsOf(got), err)
		}
		for _, d := range ds {
			m.begin(d)
			m.ack(d)
		}
		got = append(got, ds...)
	}
	return got
}

var leaseCases = []testCase{
	{
		name:    "LiveKeeps",
		promise: "A living consumer keeps what it has in hand, begun or not, however long it takes: the engine renews its leases.",
		needs:   []need{lease, renews, atOnce(4)},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			e.produce(topic, unkeyed("x", 4)...)
			ds := m.next(4)
			a, b := m.begin(ds[0]), m.begin(ds[1])
			e.pass(3 * e.Guarantees.Lease)
			m.silent("all is in its hand, and it lives")
			for _, ctx := range []context.Context{a, b} {
				if ctx.Err() != nil {
					e.fatalf("the context of a begun delivery ended after 3 leases, though the consumer lives: %v", context.Cause(ctx))
				}
			}
			m.begin(ds[2])
			m.ack(ds...)
			m.close()
			e.join(group, topic).silent("all was acked, after 3 leases")
		},
	},
	{
		name:    "LiveKeepsAmongOthers",
		promise: "What a living consumer has in hand goes to no other member of its group, however long it takes.",
		needs:   []need{lease, renews, two},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			ms := e.together(2, group, topic)
			a, b, d := e.whoGets(topic, unkeyed("x", 1)[0], ms)
			ctx := a.begin(d)
			c := e.work(nil, b)
			e.pass(3 * e.Guarantees.Lease)
			c.stop()
			if n, _ := e.ledger.times(group, topic, d.Event.ID()); n != 1 && e.Exact {
				e.fatalf("%s was delivered %d times while it was in the hand of a living member", d.Event.ID(), n)
			}
			if ctx.Err() != nil {
				e.fatalf("the context of a begun delivery ended, though its consumer lives: %v", context.Cause(ctx))
			}
			a.ack(d)
			b.silent("all is acked")
		},
	},
	{
		name:    "CrashHandsOver",
		promise: "What a crashed consumer had in hand, begun, held or neither, goes to another member within a lease, in order, and counted.",
		needs:   []need{crash, atOnce(3)},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			a, b, c := keyed("a", 1, 4), keyed("b", 1, 4), keyed("c", 1, 4)
			e.produce(topic, a[0], b[0], c[0])
			ds := m.next(3)
			m.begin(ds[0])
			m.begin(ds[1])
			m.hold(ds[1], 1)
			e.produce(topic, a[1:]...)
			e.produce(topic, b[1:]...)
			e.produce(topic, c[1:]...)
			m.crash()
			m = e.join(group, topic)
			for _, d := range m.inherits(12) { // the order is compared for every delivery
				if e.Guarantees.CountsAttempts && d.Event.ID() == ds[0].Event.ID() {
					e.attempt(d, 2, 1)
				}
			}
			m.silent("all is acked")
		},
	},
	{
		name:    "CrashAmongOthers",
		promise: "What a crashed consumer had in hand goes to members that were there before, and they go on meanwhile.",
		needs:   []need{crash, two},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			ms := e.together(2, group, topic)
			a, b, d := e.whoGets(topic, keyed("k", 1, 1)[0], ms)
			a.begin(d)
			e.produceKeys(topic, 8, 4, 2)
			e.produce(topic, keyed("k", 2, 4)...)
			a.crash()
			c := e.work(nil, b)
			e.awaitSettled(e.Guarantees.Lease+e.Patience, group, topic)
			c.stop()
			b.silent("all is acked")
		},
	},
	{
		name:    "CrashedIsFenced",
		promise: "After another member has a crashed consumer's delivery, the old token begins and settles nothing, and its context ends with ErrLeaseLost.",
		needs:   []need{crash, lease},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			a := e.join(group, topic)
			ev := keyed("a", 1, 1)[0]
			e.produce(topic, ev)
			old := a.expect(ev)
			ctx := a.begin(old)
			a.crash()
			b := e.join(group, topic)
			patience, cancel := e.takeOver()
			defer cancel()
			ds, err := b.news(patience, 1)
			if err != nil || len(ds) != 1 {
				e.fatalf("%s waited for the delivery of the crashed %s: %v", b.name, a.name, err)
			}
			live := b.begin(ds[0])
			a.beginsNot(old, "a delivery that another member has")
			a.c.Hold(old.Token, 9)
			short, stop := e.patient()
			defer stop()
			e.within(2*e.Patience, "Settle of a crashed consumer", func() {
				if err := a.c.Settle(short, []event.Settlement{event.Ack(old.Token)}); err == nil {
					e.errorf("Settle accepted an ack with the token of a delivery that another member has")
				}
			})
			e.wait(e.Patience, ctx.Done(), "the context of the lost delivery ends")
			if cause := context.Cause(ctx); !errors.Is(cause, event.ErrLeaseLost) {
				e.errorf("the context of the lost delivery ended with the cause %v, not ErrLeaseLost", cause)
			}
			if live.Err() != nil {
				e.errorf("the crashed consumer ended the delivery of another member: %v", context.Cause(live))
			}
			b.ack(ds[0])
			b.silent("all is acked")
		},
	},
	{
		name:    "AckBeforeCrash",
		promise: "What was acked before a crash, and flushed, doesn't come again; what wasn't does.",
		needs:   []need{crash},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			n := e.handful(10)
			e.produce(topic, unkeyed("x", n)...)
			ds := m.next(n)
			m.ack(ds[:n/2]...)
			e.pass(e.Silence) // nil from Settle is no flush; silence is
			m.crash()
			m = e.join(group, topic)
			m.inherits(n - n/2)
			m.silent("all is acked")
		},
	},
	{
		name:    "CrashKeepsDelays",
		promise: "A crash shortens no delay: what waits for its time comes when it is due.",
		needs:   []need{crash, delays},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			ev := later(unkeyed("x", 1)[0], e.delay(e.Guarantees.MaxDelay))
			e.produce(topic, ev)
			m.crash()
			m = e.join(group, topic)
			m.inherits(1)
			e.notEarly(ev.ID(), ev.NotBefore())
		},
	},
}
