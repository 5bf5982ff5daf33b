package channeltest

import (
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/leat-go/leat/event"
)

// That no event overtakes another of its key, and that a key stays with the member
// that has some of it in hand, is compared for every delivery of every case. The
// cases here make it likely to fail.

var orderCases = []testCase{
	{
		name:    "WithinCall",
		promise: "Events of a key are delivered in the order that they have within a call of Produce.",
		needs:   []need{order},
		stands:  true,
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			a, b := keyed("a", 1, 50), keyed("b", 1, 50)
			var mixed []event.Event
			for i := range a {
				mixed = append(mixed, a[i], b[i], numbered("loose", i))
			}
			e.produce(topic, mixed...)
			e.workOff(topic, nil, m)
		},
	},
	{
		name:    "AcrossCalls",
		promise: "Events of a key are delivered in the order of the calls of Produce of which one returned before the next began.",
		needs:   []need{order},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			events := keyed("a", 1, 60)
			for i := 0; i < len(events); i += 3 {
				e.produce(topic, events[i:i+1]...)
				e.produce(topic, events[i+1:i+3]...)
			}
			m.handleAll(events...)
		},
	},
	{
		name:    "ConcurrentProducers",
		promise: "Order per key is kept when many produce at the same time and share batches.",
		needs:   []need{order},
		stands:  true,
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			e.produceKeys(topic, 12, 40, 5)
			e.workOff(topic, nil, m)
		},
	},
	{
		name:    "EachGroup",
		promise: "Each group gets the events of a key in order, however far behind it is.",
		needs:   []need{order},
		run: func(e *env) {
			topic := e.topic("orders")
			a := e.join(e.group("fast"), topic)
			b := e.join(e.group("slow"), topic)
			events := keyed("a", 1, 30)
			for i := 0; i < len(events); i += 10 {
				e.produce(topic, events[i:i+10]...)
				a.handleAll(events[i : i+10]...)
			}
			b.handleAll(events...)
		},
	},
	{
		name:    "SeveralMembers",
		promise: "Order per key is kept when a group has several members: while a delivery of a key is unsettled at one, the key goes to no other.",
		needs:   []need{order, three},
		stands:  true,
		run: func(e *env) {
			topic := e.topic("orders")
			ms := e.together(3, e.group("mailer"), topic)
			c := e.work(nil, ms...)
			e.produceKeys(topic, 20, 40, 7)
			e.awaitSettled(e.Patience, ms[0].group, topic)
			c.stop()
		},
	},
	{
		name:    "KeyStays",
		promise: "While a delivery of a key is in hand, later events of the key go to no other member; other keys do.",
		needs:   []need{order, two},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			ms := e.together(2, group, topic)
			a, b, d := e.whoGets(topic, keyed("stays", 1, 1)[0], ms)
			a.begin(d)
			e.produce(topic, keyed("stays", 2, 6)...)
			others := e.produceKeys(topic, 16, 2, 2)
			c := e.work(nil, b) // that it gets nothing of the key is compared
			e.await(e.Patience, func() bool { return c.runs.Load() > 0 }, func() string {
				return fmt.Sprintf("%s gets some of %d events of other keys", b.name, len(others))
			})
			e.pass(e.Silence)
			c.stop()
			if _, acks := e.ledger.times(group, topic, "stays-2"); acks > 0 {
				e.fatalf("%s got %s of key %q while %s is in the hand of %s", b.name, "stays-2", "stays", "stays-1", a.name)
			}
			a.ack(d)
			e.workOff(topic, nil, ms...)
		},
	},
	{
		name:    "RetryHoldsSuccessors",
		promise: "The successors of a retried delivery wait behind it; other keys go on.",
		needs:   []need{order, retriesLater},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			events, others := keyed("a", 1, 4), keyed("b", 1, 4)
			e.produce(topic, events...)
			ds := m.upTo(4)
			m.begin(ds[0])
			e.giveBack(m, ds, event.Retry(ds[0].Token, e.delay(e.Guarantees.MaxRetry), 1))
			e.produce(topic, others...)
			m.handleAll(others...)
			m.handleAll(events...)
			m.silent("all is acked")
		},
	},
	{
		name:    "ReleaseKeepsOrder",
		promise: "Deliveries of a key that are given back together come again in their order, whatever order they were given back in.",
		needs:   []need{order, givesBack},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			events := keyed("a", 1, 6)
			e.produce(topic, events...)
			ds := m.upTo(6)
			r := rand.New(rand.NewPCG(7, 7))
			for range 5 {
				r.Shuffle(len(ds), func(i, j int) { ds[i], ds[j] = ds[j], ds[i] })
				m.release(ds...)
				ds = m.upTo(6)
				if !sameIDs(ds, events[:len(ds)]) {
					e.fatalf("%s got %s after all had been given back, owed was %s", m.name, idsOf(ds), idsOfEvents(events))
				}
			}
			m.release(ds...)
			m.handleAll(events...)
		},
	},
	{
		name:    "GivenBackLast",
		promise: "A delivery that is given back while its predecessor is in hand stays behind it.",
		needs:   []need{order, givesBack},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			events := keyed("a", 1, 3)
			e.produce(topic, events...)
			ds := m.upTo(3)
			m.begin(ds[0])
			if len(ds) > 1 {
				m.release(ds[1:]...)
			}
			m.ack(ds[0])
			m.handleAll(events[1:]...)
			m.silent("all is acked")
		},
	},
	{
		name:    "RandomGiveBacks",
		promise: "Order per key is kept through retries and releases at random.",
		needs:   []need{order, givesBack},
		stands:  true,
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			c := e.work(e.failing(1), m)
			e.produceKeys(topic, 8, 40, 6)
			e.awaitSettled(e.Patience, m.group, topic)
			c.stop()
		},
	},
	{
		name:    "RandomGiveBacksOfMembers",
		promise: "Order per key is kept through retries and releases at random when a group has several members.",
		needs:   []need{order, givesBack, three},
		stands:  true,
		run: func(e *env) {
			topic := e.topic("orders")
			ms := e.together(3, e.group("mailer"), topic)
			c := e.work(e.failing(2), ms...)
			e.produceKeys(topic, 12, 40, 6)
			e.awaitSettled(e.Patience, ms[0].group, topic)
			c.stop()
		},
	},
}

// produceKeys produces n events of each of so many keys, each key by a goroutine of
// its own, in calls of up to most events.
func (e *env) produceKeys(topic string, keys, n, most int) []event.Event {
	e.t.Helper()
	if e.Faulty { // there it is the many seeds that count
		n = max(n/4, 2)
	}
	var wg sync.WaitGroup
	var all []event.Event
	for k := range keys {
		events := keyed(fmt.Sprintf("key%d", k), 1, n)
		all = append(all, events...)
		wg.Go(func() {
			defer func() { e.tellPanic(e.t, recover()) }()
			for i := 0; i < n; {
				j := min(i+1+(i+k)%most, n)
				e.produce(topic, events[i:j]...)
				i = j
			}
		})
	}
	e.within(e.Patience, "Produce of many keys", wg.Wait)
	return all
}

// giveBack settles the first of the deliveries of a key as first says and releases
// the others behind it, in one call.
func (e *env) giveBack(m *member, ds []event.Delivery, first event.Settlement) {
	e.t.Helper()
	ss := []event.Settlement{first}
	for _, d := range ds[1:] {
		ss = append(ss, event.Release(d.Token))
	}
	m.mustSettle(ss...)
}

// whoGets produces one event and returns the member that gets it, another that
// doesn't, and the delivery.
func (e *env) whoGets(topic string, ev event.Event, ms []*member) (got, other *member, d event.Delivery) {
	e.t.Helper()
	ctx, cancel := e.patient()
	defer cancel()
	type result struct {
		m *member
		d event.Delivery
	}
	results := make(chan result, len(ms)+1)
	var wg sync.WaitGroup
	for _, m := range ms {
		wg.Go(func() {
			for ctx.Err() == nil {
				ds, err := m.receive(ctx, make([]event.Delivery, 1))
				if err == nil && len(ds) > 0 {
					results <- result{m, ds[0]}
					cancel()
					return
				}
				if err != nil {
					return
				}
			}
		})
	}
	e.produce(topic, ev)
	e.within(2*e.Patience, "Receive of the members of "+ms[0].group, wg.Wait)
	if len(results) != 1 {
		e.fatalf("%d members got %s", len(results), ev.ID())
	}
	r := <-results
	for _, m := range ms {
		if m != r.m {
			other = m
		}
	}
	return r.m, other, r.d
}

// failing returns a handler that fails now and then.
func (e *env) failing(seed uint64) func(r run) event.Settlement {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, seed))
	return func(run run) event.Settlement {
		mu.Lock()
		n := r.IntN(8)
		mu.Unlock()
		switch n {
		case 0:
			return event.Retry(run.Token, 0, run.Failures+1)
		case 1:
			return event.Release(run.Token)
		case 2:
			if e.Guarantees.MaxRetry != 0 {
				return event.Retry(run.Token, min(e.delay(e.Guarantees.MaxRetry), e.Silence), run.Failures+1)
			}
		}
		return event.Ack(run.Token)
	}
}
