//nolint:contextcheck // a case has a context of its own, and its steps have their patience
package channeltest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/leat-go/leat/event"
)

// openBounded makes the case's channel one with a bound.
func (e *env) openBounded(capacity int) {
	e.t.Helper()
	e.use(e.Bounded(e.t, capacity))
}

// enough is more than any channel of a capacity takes, its reserve included.
func enough(capacity int) int { return 64*capacity + 4096 }

// fill produces until there is no room, and returns the error and how many events
// were accepted.
func (e *env) fill(ctx func() (context.Context, context.CancelFunc), topic, name string, batch int) (int, error) {
	e.t.Helper()
	for n := 0; n < enough(64); n += batch {
		var events []event.Event
		for i := range batch {
			events = append(events, numbered(name, n+i))
		}
		c, cancel := ctx()
		err := e.tryProduce(c, topic, events...)
		cancel()
		if err != nil {
			return n, err
		}
	}
	e.fatalf("%d events were accepted for a group that settles none: the channel isn't bounded", enough(64))
	return 0, nil
}

// brief returns a context that ends after some silence.
func (e *env) brief() (context.Context, context.CancelFunc) {
	return context.WithTimeout(e.ctx, e.Silence)
}

// full checks the error of a publisher that found no room.
func (e *env) full(err error, topic, group string) *event.FullError {
	e.t.Helper()
	var full *event.FullError
	if !errors.Is(err, event.ErrFull) || !errors.As(err, &full) {
		e.fatalf("Produce without room returned %v, not a *FullError that is ErrFull", err)
	}
	if full.Topic != topic || full.Group != group {
		e.errorf("the FullError names the topic %q and the group %q; full is %q, behind is %q", full.Topic, full.Group, topic, group)
	}
	if full.Waiting < 1 || full.Bound < 1 {
		e.errorf("the FullError says that %d events wait and that the bound is %d", full.Waiting, full.Bound)
	}
	return full
}

// handling returns the context of a handler that runs a delivery.
func (m *member) handling(d event.Delivery) context.Context {
	m.t.Helper()
	return &event.Attempt{Context: m.begin(d), Info: event.Info{
		Event: d.Event, Topic: d.Topic, Group: m.group, Attempt: d.Attempt, Failures: d.Failures,
		Position: d.Position, EnqueuedAt: d.EnqueuedAt, Redriven: d.Redriven, Replayed: d.Replayed,
	}}
}

var roomCases = []testCase{
	{
		name:    "PublisherWaits",
		promise: "Outside of handlers, Produce waits for room while a group has too much unsettled; when its context ends it says who is behind, and nothing was accepted.",
		needs:   []need{bounded},
		run: func(e *env) {
			e.openBounded(16)
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			n, err := e.fill(e.brief, topic, "x", 1)
			if full := e.full(err, topic, m.group); !errors.Is(full, context.DeadlineExceeded) {
				e.errorf("the FullError of a Produce whose context ended does not unwrap to the context's error: %v", err)
			}
			if n < 1 {
				e.fatalf("an empty topic has no room")
			}
			e.settleAccepted(m, topic)
		},
	},
	{
		name:    "SettlingMakesRoom",
		promise: "A Produce that waits for room goes on when the group settles.",
		needs:   []need{bounded},
		run: func(e *env) {
			e.openBounded(16)
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			n, _ := e.fill(e.brief, topic, "x", 1)
			produced := e.async(func() { e.produce(topic, unkeyed("waits", 3)...) })
			e.pass(e.Silence)
			m.handle(n)
			e.wait(e.Patience, produced, "Produce goes on when %d events were settled", n)
			e.settleAccepted(m, topic)
		},
	},
	{
		name:    "ManyWait",
		promise: "All publishers that wait for room get their turn.",
		needs:   []need{bounded},
		stands:  true,
		run: func(e *env) {
			e.openBounded(8)
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					for j := range 10 {
						e.produce(topic, numbered(fmt.Sprint("p", i), j).WithKey(fmt.Sprint("p", i)))
					}
				})
			}
			all := e.async(wg.Wait)
			c := e.work(nil, m)
			e.wait(e.Patience, all, "20 publishers of 10 events each have published, while a member settles")
			e.awaitSettled(e.Patience, m.group, topic)
			c.stop()
		},
	},
	{
		name:    "TheOneBehind",
		promise: "The group that is furthest behind bounds a topic, and the error names it; a group without members counts too.",
		needs:   []need{bounded},
		run: func(e *env) {
			e.openBounded(16)
			topic := e.topic("orders")
			good := e.join(e.group("good"), topic)
			behind := e.group("behind")
			e.join(behind, topic).close()
			c := e.work(nil, good)
			_, err := e.fill(e.brief, topic, "x", 1)
			_ = e.full(err, topic, behind)
			e.awaitSettled(e.Patience, good.group, topic)
			c.stop()
			e.settleAccepted(e.join(behind, topic), topic)
		},
	},
	{
		name:    "OtherTopics",
		promise: "A topic without room holds up no other.",
		needs:   []need{bounded},
		stands:  true,
		run: func(e *env) {
			e.openBounded(16)
			topic, other := e.topic("orders"), e.topic("other")
			m := e.join(e.group("mailer"), topic, other)
			_, _ = e.fill(e.brief, topic, "x", 1)
			e.produce(other, unkeyed("other", 5)...)
			c := e.work(nil, m)
			e.awaitSettled(e.Patience, m.group, other)
			e.awaitSettled(e.Patience, m.group, topic)
			c.stop()
		},
	},
	{
		name:    "HandlersNeverWait",
		promise: "Under a handler's context Produce never waits for room: it returns ErrFull at once, all or nothing.",
		needs:   []need{bounded, atOnce(2)},
		run: func(e *env) {
			e.openBounded(16)
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			e.produce(topic, unkeyed("cause", 2)...)
			ds := m.next(2)
			ctx := m.handling(ds[0])
			var err error
			// The other delivery is in hand and runs: not all that is in hand waits for room.
			m.begin(ds[1])
			e.within(e.Patience, "Produce under a handler's context", func() {
				_, err = e.fill(func() (context.Context, context.CancelFunc) { return ctx, func() {} }, topic, "x", 7)
			})
			full := e.full(err, topic, m.group)
			if waited := full.Err; waited != nil {
				e.errorf("the FullError of a Produce that doesn't wait carries the error %v of a context", waited)
			}
			m.ack(ds...)
			e.settleAccepted(m, topic) // of the call that was refused nothing may come
		},
	},
	{
		name:    "HandlersHaveReserve",
		promise: "Where publishers wait, handlers still have room: a reserve.",
		needs:   []need{bounded},
		run: func(e *env) {
			e.openBounded(16)
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			_, _ = e.fill(e.brief, topic, "x", 1)
			ctx := m.handling(m.one())
			e.within(e.Patience, "Produce under a handler's context", func() {
				if err := e.tryProduce(ctx, topic, unkeyed("reserve", 1)...); err != nil {
					e.errorf("a publisher waits for room, and so does a handler: %v", err)
				}
			})
		},
	},
	{
		name:    "HeldForRoom",
		promise: "While deliveries are held because their Produce found no room, InFlight is no bound: the room can come only from what is still to be received.",
		needs:   []need{bounded, atOnce(4)},
		run: func(e *env) {
			e.openBounded(16)
			topic := e.topic("orders")
			m := e.joinAs(event.Subscription{Group: e.group("mailer"), Topics: []string{topic}, InFlight: 2})
			e.produce(topic, unkeyed("cause", 8)...)
			ds := m.next(2)
			for i, d := range ds {
				ctx := m.handling(d)
				_, err := e.fill(func() (context.Context, context.CancelFunc) { return ctx, func() {} }, topic, fmt.Sprint("x", i), 1)
				_ = e.full(err, topic, m.group)
				m.hold(d, 0)
			}
			more := m.next(4)
			m.ack(append(more, ds...)...)
			e.settleAccepted(m, topic)
		},
	},
	{
		name:    "Amplify",
		promise: "Handlers that publish into their own topic more than they settle don't stick for good: liveness before the bound.",
		needs:   []need{bounded},
		run:     func(e *env) { e.amplify(16, 6, 2) },
	},
	{
		name:    "AmplifyTight",
		promise: "Liveness before the bound, with room for one.",
		needs:   []need{bounded},
		run:     func(e *env) { e.amplify(1, 6, 2) },
	},
}

// amplify lets handlers publish fan new events for each that they handle, depth
// generations long, as a bus does it: what finds no room is held and produced again.
func (e *env) amplify(capacity, depth, fan int) {
	e.t.Helper()
	e.openBounded(capacity)
	topic := e.topic("orders")
	const window = 8
	m := e.joinAs(event.Subscription{Group: e.group("mailer"), Topics: []string{topic}, InFlight: window})
	var handled, waited atomic.Int64
	places := make(chan struct{}, window)
	var handlers sync.WaitGroup
	handle := func(d event.Delivery, under context.Context) {
		defer func() { <-places }()
		var children []event.Event
		if generation := len(d.Event.Subject()); generation < depth {
			for i := range fan {
				child := d.Event.WithID(fmt.Sprintf("%s.%d", d.Event.ID(), i)).WithSubject(d.Event.Subject() + "x")
				children = append(children, child)
			}
		}
		for len(children) > 0 && !e.broken.Load() {
			err := e.tryProduce(under, topic, children...)
			if err == nil {
				break
			}
			if !errors.Is(err, event.ErrFull) {
				e.errorf("Produce under a handler's context: %v", err)
				return
			}
			waited.Add(1)
			m.hold(d, 0)
			e.pass(e.Silence / 10)
			under = m.handling(d) //nolint:fatcontext // it is no child
		}
		m.ack(d)
		handled.Add(1)
		e.ledger.poke()
	}
	want := 1
	for g, generation := 0, 1; g < depth; g++ {
		generation *= fan
		want += generation
	}
	root := unkeyed("root", 1)
	e.produce(topic, root...)
	ctx, cancel := context.WithCancel(e.ctx)
	receiver := e.async(func() {
		for ctx.Err() == nil {
			select {
			case places <- struct{}{}:
			case <-ctx.Done():
				return
			}
			ds, err := m.receive(ctx, make([]event.Delivery, 1))
			if err != nil || len(ds) == 0 {
				<-places
				continue
			}
			run := m.handling(ds[0])
			handlers.Go(func() { handle(ds[0], run) })
		}
	})
	e.await(e.Patience, func() bool { return handled.Load() >= int64(want) }, func() string {
		return fmt.Sprintf("%d events are handled, each of which publishes %d into its own topic of capacity %d; %d are, and %d times there was no room",
			want, fan, capacity, handled.Load(), waited.Load())
	})
	cancel()
	e.wait(e.Patience, receiver, "Receive returns after its context ended")
	e.within(e.Patience, "the handlers", handlers.Wait)
	e.story.addf("%d handled, %d times no room", handled.Load(), waited.Load())
	if open := e.ledger.open(m.group, topic); len(open) > 0 {
		e.errorf("not handled: %s", some(open))
	}
}
