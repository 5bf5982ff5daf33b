package channeltest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/leat-go/leat/event"
)

var settleCases = []testCase{
	{
		name:    "AckIsTheEnd",
		promise: "An acked delivery never comes again: not to this member, not to the next.",
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			e.produce(topic, unkeyed("x", 20)...)
			m.handle(20)
			m.silent("all is acked")
			m.close()
			e.join(group, topic).silent("all was acked before the consumer was closed")
		},
	},
	{
		name:    "UnsettledComesAgain",
		promise: "What was delivered and not settled comes again, after the consumer is closed.",
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			n := e.handful(10)
			e.produce(topic, unkeyed("x", n)...)
			ds := m.next(n)
			kept := map[string]bool{}
			for i, d := range ds {
				if i%2 == 1 {
					m.ack(d)
				} else {
					kept[d.Event.ID()] = true
				}
			}
			m.close()
			m = e.join(group, topic)
			for range len(kept) {
				d := m.handle(1)[0]
				if !kept[d.Event.ID()] {
					e.errorf("%s came again, it was not among the unsettled %v", d.Event.ID(), slices.Sorted(maps.Keys(kept)))
				}
				delete(kept, d.Event.ID())
			}
			m.silent("all is acked")
		},
	},
	{
		name:    "OutOfOrder",
		promise: "Deliveries may be settled in any order: acked ones don't come again because an older one is open.",
		needs:   []need{atOnce(12)},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			e.produce(topic, unkeyed("x", 12)...)
			ds := m.next(12)
			for _, i := range []int{11, 5, 7, 1, 9, 3, 10, 2} {
				m.ack(ds[i])
			}
			m.silent("all is in its hand or acked")
			m.close()
			m = e.join(group, topic)
			m.handle(4) // the ledger knows which may come
			m.silent("all is acked")
		},
	},
	{
		name:    "WithoutBegin",
		promise: "A delivery that nobody ran can be settled.",
		needs:   []need{atOnce(3)},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			e.produce(topic, unkeyed("x", 3)...)
			m.ack(m.next(3)...)
			m.silent("all is acked")
		},
	},
	{
		name:    "Nothing",
		promise: "A Settle of nothing returns nil.",
		stands:  true,
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			if err := m.settle(); err != nil {
				e.errorf("Settle of nothing: %v", err)
			}
		},
	},
	{
		name:    "Twice",
		promise: "A token is good for one settlement: the second is refused with ErrLeaseLost, and so is Begin.",
		needs:   []need{atOnce(2)},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			e.produce(topic, unkeyed("x", 2)...)
			ds := m.next(2)
			m.begin(ds[0])
			m.ack(ds[0])
			m.refusedAsStale(event.Ack(ds[0].Token), "a second ack of "+ds[0].Event.ID())
			m.refusedAsStale(event.Release(ds[0].Token), "a release of the acked "+ds[0].Event.ID())
			m.beginsNot(ds[0], "a delivery that is acked")
			m.c.Hold(ds[0].Token, 1) // tells of nothing that the channel knows
			m.ack(ds[1])
			m.silent("all is acked")
		},
	},
	{
		name:    "PartlyRefused",
		promise: "A *SettleError names the refused settlements by index; the others are recorded.",
		needs:   []need{atOnce(4)},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			e.produce(topic, unkeyed("x", 4)...)
			ds := m.next(4)
			m.ack(ds[0])
			err := m.settle(
				event.Ack(ds[1].Token),
				event.Ack(ds[0].Token), // done before
				event.Ack(ds[2].Token),
				event.Ack(event.Token{}), // of no delivery
				event.Ack(event.Token{1 << 60, 1 << 60}),
				event.Ack(ds[2].Token), // done two lines above
			)
			var refused *event.SettleError
			if !errors.As(err, &refused) {
				e.fatalf("Settle of good and stale tokens returned %v, not a *SettleError", err)
			}
			if got := slices.Sorted(maps.Keys(refused.Failed)); !slices.Equal(got, []int{1, 3, 4, 5}) {
				e.fatalf("Settle refused the indexes %v, stale are 1, 3, 4 and 5", got)
			}
			for i, why := range refused.Failed {
				if !errors.Is(why, event.ErrLeaseLost) {
					e.errorf("Settle refused the stale token at index %d with %v, not with ErrLeaseLost", i, why)
				}
			}
			m.ack(ds[3])
			m.close()
			e.join(group, topic).silent("all was acked")
		},
	},
	{
		name:    "Many",
		promise: "A Settle takes many settlements at once.",
		needs:   []need{atOnce(400)},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			e.produce(topic, unkeyed("x", 400)...)
			ds := m.next(400)
			m.ack(ds...)
			m.close()
			e.join(group, topic).silent("all was acked")
		},
	},
	{
		name:    "Overtaken",
		promise: "A token of an earlier delivery is never valid again: it can't begin, hold or settle the event's next delivery.",
		needs:   []need{givesBack},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			ev := keyed("a", 1, 1)[0]
			e.produce(topic, ev)
			old := m.expect(ev)
			m.begin(old)
			m.release(old)
			d := m.expect(ev)
			ctx := m.begin(d)
			m.beginsNot(old, "a delivery that was given back")
			m.c.Hold(old.Token, 7)
			m.refusedAsStale(event.Ack(old.Token), "an ack with the token of the delivery before")
			m.refusedAsStale(event.Retry(old.Token, 0, 3), "a retry with the token of the delivery before")
			if ctx.Err() != nil {
				e.errorf("the stale token ended the new delivery's context: %v", context.Cause(ctx))
			}
			m.release(d)
			d = m.expect(ev)
			if d.Failures != 0 {
				e.errorf("the stale token's Hold or Retry counts %d failures", d.Failures)
			}
			m.ack(d)
		},
	},
	{
		name:    "RetryAtOnce",
		promise: "A retried delivery comes again, to the same group only.",
		needs:   []need{givesBack},
		run: func(e *env) {
			topic := e.topic("orders")
			a := e.join(e.group("a"), topic)
			b := e.join(e.group("b"), topic)
			ev := keyed("k", 1, 1)[0]
			e.produce(topic, ev)
			for i := range 3 {
				d := a.expect(ev)
				a.begin(d)
				a.retry(d, 0, i+1)
			}
			a.handleAll(ev)
			b.handleAll(ev)
			b.silent("the retries are another group's")
			a.silent("all is acked")
		},
	},
	{
		name:    "ReleasedComesAgain",
		promise: "A released delivery comes again as if it had not been made.",
		needs:   []need{givesBack, atOnce(5)},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			events := unkeyed("x", 5)
			e.produce(topic, events...)
			m.release(m.next(5)...)
			m.handleAny(events...)
			m.silent("all is acked")
		},
	},
	{
		name:    "ParkRefused",
		promise: "A channel that can't park keys refuses a Park; the delivery stays in hand.",
		needs:   []need{parksNot, atOnce(2)},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			e.produce(topic, append(keyed("a", 1, 1), keyed("b", 1, 1)...)...)
			ds := m.next(2)
			m.begin(ds[0])
			err := m.settle(event.Park(ds[0].Token, event.Cause{Code: "test"}), event.Ack(ds[1].Token))
			var refused *event.SettleError
			if !errors.As(err, &refused) || len(refused.Failed) != 1 || !errors.Is(refused.Failed[0], event.ErrNotSupported) {
				e.fatalf("Settle with a Park at index 0 returned %v, not a *SettleError with ErrNotSupported for that index alone", err)
			}
			m.ack(ds[0])
			m.close()
			e.join(group, topic).silent("all was acked")
		},
	},
	{
		name:    "RetryTooLong",
		promise: "A retry after more than the longest delay is refused; the delivery stays in hand.",
		needs:   []need{retriesLater, limitedRetry},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			e.produce(topic, keyed("a", 1, 1)...)
			d := m.one()
			m.begin(d)
			err := m.settle(event.Retry(d.Token, e.Guarantees.MaxRetry+time.Second, 1))
			var refused *event.SettleError
			if !errors.As(err, &refused) || !errors.Is(refused.At(0), event.ErrDelayTooLong) {
				e.fatalf("Settle with a Retry after more than %v returned %v, not ErrDelayTooLong", e.Guarantees.MaxRetry, err)
			}
			m.ack(d)
			m.close()
			e.join(group, topic).silent("it was acked")
		},
	},
}
