package channeltest

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/leat-go/leat/event"
)

// pool receives for a member and lets n workers run what came, those of a key one
// after the other. The function that it returns waits for all of them.
func (m *member) pool(ctx context.Context, n int, work func(d event.Delivery)) (wait func()) {
	var wg sync.WaitGroup
	queues := make([]chan event.Delivery, n)
	for i := range queues {
		queues[i] = make(chan event.Delivery, 64)
		wg.Go(func() {
			defer func() { m.tellPanic(m.t, recover()) }()
			for d := range queues[i] {
				work(d)
			}
		})
	}
	wg.Go(func() {
		defer func() { m.tellPanic(m.t, recover()) }()
		defer func() {
			for _, q := range queues {
				close(q)
			}
		}()
		buf := make([]event.Delivery, 32)
		for ctx.Err() == nil && !m.broken.Load() {
			ds, err := m.receive(ctx, buf)
			if err != nil {
				if ctx.Err() == nil && !m.gone.Load() {
					m.errorf("%s: Receive: %v", m.name, err)
				}
				return
			}
			for _, d := range ds {
				by := d.Event.Key()
				if by == "" {
					by = d.Event.ID()
				}
				queues[hashOf(by)%uint32(n)] <- d
			}
		}
	})
	return wg.Wait
}

func hashOf(name string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return h.Sum32()
}

// ackOne begins and acks a delivery, if it is still the member's.
func (m *member) ackOne(d event.Delivery) {
	if _, ok := m.tryBegin(d.Token); !ok {
		if m.Exact && !m.gone.Load() {
			m.errorf("%s may not begin %s, though nothing took it away", m.name, d.Event.ID())
		}
		return
	}
	if err := m.settle(event.Ack(d.Token)); err != nil && m.Exact && !m.gone.Load() {
		m.errorf("%s: Settle of the ack of %s: %v", m.name, d.Event.ID(), err)
	}
}

// produceMany produces n events, half of them of so many keys, from several
// goroutines.
func (e *env) produceMany(topic string, n, keys int) (wait func()) {
	const producers = 4
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			defer func() { e.tellPanic(e.t, recover()) }()
			r := rand.New(rand.NewPCG(uint64(p), uint64(n)))
			next := make([]int, keys)
			for made := 0; made < n/producers && !e.broken.Load(); {
				var batch []event.Event
				for range 1 + r.IntN(20) {
					if r.IntN(2) == 0 {
						batch = append(batch, numbered(fmt.Sprint("p", p), made+len(batch)))
						continue
					}
					k := r.IntN(keys/producers)*producers + p // each key has one producer
					next[k]++
					batch = append(batch, numbered(fmt.Sprint("key", k), next[k]).WithKey(fmt.Sprint("key", k)))
				}
				e.produce(topic, batch...)
				made += len(batch)
			}
		})
	}
	return wg.Wait
}

var manyCases = []testCase{
	{
		name:    "Members",
		promise: "Of many events of many keys, with several members, workers and producers, none is lost, none doubled without a fault, and each key is in order.",
		needs:   []need{three},
		stands:  true,
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			other := e.join(e.group("other"), topic)
			ms := e.together(3, group, topic)
			ctx, cancel := context.WithCancel(e.ctx)
			defer cancel()
			waits := []func(){e.produceMany(topic, e.Events, 64)}
			for _, m := range append(ms, other) {
				waits = append(waits, m.pool(ctx, 4, m.ackOne))
			}
			e.within(6*e.Patience, "producing many events", waits[0])
			e.awaitSettled(6*e.Patience, group, topic)
			e.awaitSettled(6*e.Patience, other.group, topic)
			cancel()
			for _, wait := range waits[1:] {
				e.within(e.Patience, "the workers of a member whose context was cancelled", wait)
			}
		},
	},
	{
		name:    "OneMember",
		promise: "Of many events of many keys, with one member, none is lost, none doubled without a fault, and each key is in order.",
		stands:  true,
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			ctx, cancel := context.WithCancel(e.ctx)
			defer cancel()
			produced := e.produceMany(topic, e.Events/2, 64)
			done := m.pool(ctx, 8, m.ackOne)
			e.within(6*e.Patience, "producing many events", produced)
			e.awaitSettled(6*e.Patience, m.group, topic)
			cancel()
			e.within(e.Patience, "the workers of a member whose context was cancelled", done)
		},
	},
	{
		name:    "MembersComeAndGo",
		promise: "While members come and go, nothing is lost, nothing that was acked comes again, and each key is in order.",
		needs:   []need{three},
		stands:  true,
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			ms := e.together(2, group, topic)
			e.ledger.expectTurbulence()
			produced := e.async(e.produceMany(topic, e.Events/4, 32))
			var crews []*crew
			for _, m := range ms {
				crews = append(crews, e.work(nil, m))
			}
			for range 5 {
				m := e.join(group, topic)
				crews = append(crews, e.work(nil, m))
				ms = append(ms, m)
				e.pass(e.Silence / 5)
				ms[0].close()
				ms = ms[1:]
			}
			e.wait(6*e.Patience, produced, "all is produced")
			e.awaitSettled(6*e.Patience, group, topic)
			for _, c := range crews {
				c.stop()
			}
		},
	},
	{
		name:    "Overlap",
		promise: "Receive, Begin, Hold, Settle, Close and all questions may be called at the same time; nothing is lost, and nothing that was acked comes again.",
		stands:  true,
		run:     overlap,
	},
	{
		name:    "CrashInFlight",
		promise: "When members crash in full flight nothing is lost, and each key is in order.",
		needs:   []need{crash, three},
		stands:  true,
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			ms := e.together(2, group, topic)
			produced := e.async(e.produceMany(topic, e.Events/8, 16))
			var crews []*crew
			for _, m := range ms {
				crews = append(crews, e.work(nil, m))
			}
			for range 3 {
				m := e.join(group, topic)
				crews = append(crews, e.work(nil, m))
				ms = append(ms, m)
				e.pass(e.Silence / 5)
				ms[0].crash()
				ms = ms[1:]
			}
			e.wait(6*e.Patience, produced, "all is produced")
			e.awaitSettled(6*(e.Patience+e.Guarantees.Lease), group, topic)
			for _, c := range crews {
				c.stop()
			}
		},
	},
}

// overlap lets everything that may overlap overlap.
func overlap(e *env) {
	topic, group := e.topic("orders"), e.group("mailer")
	e.join(group, topic).close()
	e.ledger.expectTurbulence()
	produced := e.async(func() {
		for i := range max(e.Events/200, 3) {
			e.produce(topic, unkeyed(fmt.Sprint("round", i), 20)...)
		}
	})
	asking, enough := context.WithCancel(e.ctx)
	asked := e.async(func() { e.ask(asking, topic, group) })
	members := 2
	if e.Members == 1 {
		members = 1
	}
	for round := range 5 {
		var rounds sync.WaitGroup
		var ms []*member
		for i := range members {
			ms = append(ms, e.join(group, topic))
			done := ms[i].pool(e.ctx, 4, ms[i].wild(uint64(round*2+i)))
			rounds.Go(done)
		}
		e.pass(e.Silence / 5)
		for _, m := range ms {
			ctx, cancel := context.WithTimeout(e.ctx, e.Silence/10)
			e.within(e.Patience, "Close of "+m.name+" while everything else is called", func() { m.closeWith(ctx) })
			cancel()
		}
		e.within(e.Patience, "the workers of closed members", rounds.Wait)
	}
	e.wait(6*e.Patience, produced, "all is produced")
	enough()
	e.wait(e.Patience, asked, "questions are answered")
	e.workOff(topic, nil, e.join(group, topic))
}

// wild returns a worker that does with deliveries whatever may be done.
func (m *member) wild(seed uint64) func(d event.Delivery) {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 1))
	return func(d event.Delivery) {
		mu.Lock()
		n := r.IntN(10)
		mu.Unlock()
		ctx, ok := m.c.Begin(d.Token)
		if !ok {
			return
		}
		s := event.Ack(d.Token)
		switch {
		case n == 0 && m.Guarantees.GivesBack:
			s = event.Retry(d.Token, 0, d.Failures+1)
		case n == 1 && m.Guarantees.GivesBack:
			s = event.Release(d.Token)
		case n == 2:
			m.c.Hold(d.Token, d.Failures)
			if _, ok := m.c.Begin(d.Token); !ok {
				return
			}
		case n == 3:
			timer := time.NewTimer(m.Silence / 50)
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
			timer.Stop()
		case n == 4:
			return // left begun: Close waits for it, cancels it, gives it back
		}
		_ = m.settle(s) // refused when Close was faster: the ledger knows
	}
}

// ask asks everything that can be asked, again and again.
func (e *env) ask(ctx context.Context, topic, group string) {
	ch := e.open()
	tick := time.NewTicker(max(e.Silence/50, time.Millisecond))
	defer tick.Stop()
	for ctx.Err() == nil {
		_, _ = ch.Guarantees(ctx, topic, group)
		_, _ = ch.Producer(ctx, topic)
		if e.Capabilities&LagReporter != 0 {
			_, _ = as[event.LagReporter](e).Lag(ctx, topic, group)
		}
		if e.Capabilities&Census != 0 {
			_, _ = as[event.Census](e).Groups(ctx, topic)
		}
		if e.Capabilities&DeadLetters != 0 {
			for _, err := range as[event.DeadLetters](e).DeadLetters(ctx, topic, group) {
				_ = err
				break
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}
