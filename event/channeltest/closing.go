package channeltest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/leat-go/leat/event"
)

// closing is a Close that is on its way.
type closing struct {
	m        *member
	end      context.CancelFunc // of Close's context: the patience with the handlers is over
	returned <-chan struct{}
}

// closeLater calls Close with a context that the case ends.
func (m *member) closeLater() *closing {
	ctx, cancel := context.WithCancel(m.ctx)
	c := &closing{m: m, end: cancel}
	entered := make(chan struct{})
	c.returned = m.async(func() {
		m.gone.Store(true)
		m.ledger.leaving(m)
		m.story.addf("%s closes", m.name)
		close(entered)
		err := m.c.Close(ctx)
		m.story.addf("%s is closed: %v", m.name, err)
		if err != nil && ctx.Err() == nil {
			m.errorf("%s: Close: %v", m.name, err)
		}
	})
	<-entered
	return c
}

// waits fails when Close doesn't wait.
func (c *closing) waits(why string) {
	c.m.t.Helper()
	timer := time.NewTimer(c.m.Silence)
	defer timer.Stop()
	select {
	case <-c.returned:
		c.m.fatalf("Close of %s returned: %s", c.m.name, why)
	case <-timer.C:
	}
}

// ends fails when Close goes on waiting.
func (c *closing) ends(what string) {
	c.m.t.Helper()
	c.m.wait(c.m.Patience, c.returned, "Close of %s returns: %s", c.m.name, what)
}

var closeCases = []testCase{
	{
		name:    "UnbegunGoBackInOrder",
		promise: "Deliveries that were not begun go back at Close, in order, without waiting for anything.",
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			a, b := keyed("a", 1, 8), keyed("b", 1, 8)
			e.produce(topic, append(a, b...)...)
			m.upTo(10)
			m.close() // fails when it waits
			m = e.join(group, topic)
			m.handleAny(append(a, b...)...)
			m.silent("all is acked")
		},
	},
	{
		name:    "UnbegunGoBackAtOnce",
		promise: "While Close waits for a begun delivery, those that were not begun go to another member.",
		needs:   []need{givesBack, two, atOnce(5)},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			a := e.join(group, topic)
			events := unkeyed("x", 5)
			e.produce(topic, events...)
			ds := a.next(5)
			a.begin(ds[0])
			closes := a.closeLater()
			b := e.join(group, topic)
			b.handle(4)
			closes.waits("a delivery is begun and not settled")
			b.silent("the last one is begun by a member that closes")
			a.ack(ds[0])
			closes.ends("the begun delivery is acked")
			b.silent("all is acked")
			for _, d := range ds[1:] {
				a.beginsNot(d, "a delivery that went to another member")
			}
		},
	},
	{
		name:    "WaitsForBegun",
		promise: "Close waits for begun deliveries; Settle may be called meanwhile, and counts.",
		needs:   []need{atOnce(3)},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			e.produce(topic, unkeyed("x", 3)...)
			ds := m.next(3)
			var ours []func()
			for _, d := range ds {
				ours = append(ours, e.stillOurs(m.begin(d), d))
			}
			closes := m.closeLater()
			for _, d := range ds {
				closes.waits("deliveries are begun and not settled")
				m.ack(d)
			}
			closes.ends("all begun deliveries are acked")
			for _, check := range ours {
				check()
			}
			e.join(group, topic).silent("all was acked while Close waited")
		},
	},
	{
		name:    "HoldWhileCloseWaits",
		promise: "A delivery that is held while Close waits goes back at once: nobody runs it.",
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			ev := keyed("a", 1, 1)[0]
			e.produce(topic, ev)
			d := m.expect(ev)
			m.begin(d)
			closes := m.closeLater()
			closes.waits("a delivery is begun")
			m.hold(d, 1)
			closes.ends("the begun delivery is held, so that nobody runs it")
			m = e.join(group, topic)
			d = m.expect(ev)
			if e.Guarantees.KeepsFailures {
				e.failures(d, 1)
			}
			m.ack(d)
		},
	},
	{
		name:    "RetryWhileCloseWaits",
		promise: "A delivery that is retried or released while Close waits comes again, elsewhere.",
		needs:   []need{givesBack, atOnce(2)},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			events := unkeyed("x", 2)
			e.produce(topic, events...)
			ds := m.next(2)
			m.begin(ds[0])
			m.begin(ds[1])
			closes := m.closeLater()
			m.retry(ds[0], 0, 1)
			m.release(ds[1])
			closes.ends("the begun deliveries are given back")
			m = e.join(group, topic)
			m.handleAny(events...)
			m.silent("all is acked")
		},
	},
	{
		name:    "CancelsAfterContext",
		promise: "When Close's context ends, begun deliveries are cancelled with ErrClosed and go back; Close returns.",
		needs:   []need{atOnce(3)},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			events := unkeyed("x", 3)
			e.produce(topic, events...)
			ds := m.next(3)
			ctx := m.begin(ds[0])
			m.begin(ds[1])
			closes := m.closeLater()
			closes.waits("deliveries are begun")
			if ctx.Err() != nil {
				e.errorf("Close cancelled a begun delivery before its own context ended: %v", context.Cause(ctx))
			}
			closes.end()
			e.wait(e.Patience, ctx.Done(), "the context of a begun delivery ends after Close's context did")
			if cause := context.Cause(ctx); !errors.Is(cause, event.ErrClosed) {
				e.errorf("the context of a begun delivery ended with the cause %v, not ErrClosed", cause)
			}
			closes.ends("its context has ended")
			for _, d := range ds {
				m.beginsNot(d, "a delivery of a closed consumer")
			}
			m = e.join(group, topic)
			m.handleAny(events...)
			m.silent("all is acked")
		},
	},
	{
		name:    "CancelGrace",
		promise: "After it cancelled begun deliveries Close waits for them another CancelGrace: they can still be settled.",
		needs:   []need{atOnce(3)},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.joinAs(event.Subscription{Group: group, Topics: []string{topic}, CancelGrace: e.Patience})
			events := unkeyed("x", 3)
			e.produce(topic, events...)
			ds := m.next(3)
			m.begin(ds[0])
			m.begin(ds[1])
			ctx := m.begin(ds[2])
			closes := m.closeLater()
			closes.end()
			e.wait(e.Patience, ctx.Done(), "the context of a begun delivery ends after Close's context did")
			m.ack(ds[0], ds[1])
			m.hold(ds[2], 1)
			closes.ends("all that was cancelled is settled or held")
			m = e.join(group, topic)
			m.ack(m.expect(ds[2].Event))
			m.silent("the others were acked within the grace")
		},
	},
	{
		name:    "CancelGraceEnds",
		promise: "Close waits for what it cancelled no longer than CancelGrace.",
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.joinAs(event.Subscription{Group: group, Topics: []string{topic}, CancelGrace: 2 * e.Silence})
			ev := unkeyed("x", 1)[0]
			e.produce(topic, ev)
			d := m.expect(ev)
			ctx := m.begin(d)
			closes := m.closeLater()
			closes.end()
			e.wait(e.Patience, ctx.Done(), "the context of a begun delivery ends after Close's context did")
			closes.waits("CancelGrace is not over")
			closes.ends("CancelGrace is over")
			m.beginsNot(d, "a delivery of a closed consumer")
			e.join(group, topic).handleAll(ev)
		},
	},
	{
		name:    "EndedContext",
		promise: "Close with a context that has ended already cancels at once, and still gives back what is in hand.",
		needs:   []need{atOnce(3)},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			events := unkeyed("x", 4)
			e.produce(topic, events...)
			ds := m.next(3)
			ctx := m.begin(ds[0])
			closes := m.closeLater()
			closes.end()
			closes.ends("its context has ended")
			if !errors.Is(context.Cause(ctx), event.ErrClosed) {
				e.errorf("Close returned and the context of a begun delivery has the cause %v, not ErrClosed", context.Cause(ctx))
			}
			e.join(group, topic).handleAny(events...)
		},
	},
	{
		name:    "WakesReceive",
		promise: "Close wakes a Receive that waits: it returns ErrClosed, and so does every later one.",
		stands:  true,
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			var err error
			woken := e.async(func() { _, err = m.news(e.ctx, 4) })
			e.pass(e.Silence)
			m.close()
			e.wait(e.Patience, woken, "a waiting Receive returns after Close")
			if !errors.Is(err, event.ErrClosed) {
				e.errorf("the waiting Receive returned %v, not ErrClosed", err)
			}
			e.produce(topic, unkeyed("x", 2)...)
			e.within(e.Patience, "Receive of a closed consumer", func() {
				if ds, err := m.news(e.ctx, 4); !errors.Is(err, event.ErrClosed) {
					e.errorf("Receive of a closed consumer returned %s and %v, not ErrClosed", idsOf(ds), err)
				}
			})
		},
	},
	{
		name:    "NobodyReads",
		promise: "Close returns when nobody has called Receive, and what waits is for the next member.",
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			events := unkeyed("x", 50)
			e.produce(topic, events...)
			e.pass(e.Silence) // some engines have fetched by now
			m.close()
			e.join(group, topic).handleAny(events...)
		},
	},
	{
		name:    "SettleAfterwards",
		promise: "A closed consumer settles nothing any more: its deliveries are another member's.",
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			a := e.join(group, topic)
			ev := keyed("a", 1, 1)[0]
			e.produce(topic, ev)
			old := a.expect(ev)
			a.close()
			ctx, cancel := e.patient()
			defer cancel()
			if err := a.c.Settle(ctx, []event.Settlement{event.Ack(old.Token)}); err == nil {
				e.errorf("Settle of a closed consumer accepted the ack of a delivery that went back")
			}
			b := e.join(group, topic)
			d := b.expect(ev)
			live := b.begin(d)
			a.beginsNot(old, "a delivery of a closed consumer")
			a.c.Hold(old.Token, 5)
			if err := a.c.Settle(ctx, []event.Settlement{event.Ack(old.Token)}); err == nil {
				e.errorf("Settle of a closed consumer accepted the ack of a delivery that another member has")
			}
			if live.Err() != nil {
				e.errorf("the closed consumer ended the delivery of another member: %v", context.Cause(live))
			}
			b.ack(d)
		},
	},
	{
		name:    "AcksAreFlushed",
		promise: "What was recorded before Close is flushed when it returns: nothing that was acked comes again.",
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			n := e.handful(40)
			for round := range 5 {
				m := e.join(group, topic)
				e.produce(topic, unkeyed("round"+string(rune('a'+round)), n)...)
				var wg sync.WaitGroup
				for _, d := range m.next(n) {
					m.begin(d)
					wg.Go(func() { m.ack(d) })
				}
				e.within(e.Patience, "Settle", wg.Wait)
				m.close()
			}
			e.join(group, topic).silent("all was acked before its consumer closed")
		},
	},
	{
		name:    "ChannelWithOpenConsumer",
		promise: "Channel.Close returns within its context, also when a consumer was left open and nobody reads; then Receive returns ErrClosed.",
		needs:   []need{atOnce(3)},
		stands:  true,
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			e.produce(topic, unkeyed("x", 20)...)
			m.next(3)
			ctx, cancel := context.WithTimeout(e.ctx, e.Patience/2)
			defer cancel()
			ch := e.open()
			e.within(e.Patience, "Channel.Close with a context of half of that", func() { _ = ch.Close(ctx) })
			m.gone.Store(true)
			e.within(e.Patience, "Receive after Channel.Close", func() {
				if ds, err := m.c.Receive(e.ctx, make([]event.Delivery, 4)); !errors.Is(err, event.ErrClosed) {
					e.errorf("Receive after Channel.Close returned %d deliveries and %v, not ErrClosed", ds, err)
				}
			})
		},
	},
}

// stillOurs returns a function that fails when the context of a delivery ended.
func (e *env) stillOurs(ctx context.Context, d event.Delivery) func() {
	return func() {
		if ctx.Err() != nil && errors.Is(context.Cause(ctx), event.ErrLeaseLost) {
			e.errorf("the context of %s ended with %v, though it was settled in time", d.Event.ID(), context.Cause(ctx))
		}
	}
}
