package channeltest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/leat-go/leat/event"
)

// settleAccepted lets m handle what Produce accepted and fails when something else
// comes or something lacks. What was perhaps written may come.
func (e *env) settleAccepted(m *member, topic string) {
	e.t.Helper()
	e.workOff(topic, nil, m)
	c := e.work(nil, m) // what was refused and comes all the same breaks the ledger
	e.pass(e.Silence)
	c.stop()
	e.stopIfBroken()
}

// failureOf returns what a Produce said about the event at an index.
func failureOf(err error, index int) *event.ProduceFailure {
	var partly *event.ProduceError
	if !errors.As(err, &partly) {
		return nil
	}
	for _, f := range partly.Failed {
		if f.Index == index {
			return &f
		}
	}
	return nil
}

// refusesOne produces three events of which the second can't be accepted.
func (e *env) refusesOne(bad event.Event, what string, is func(error) bool) {
	e.t.Helper()
	topic := e.topic("orders")
	m := e.join(e.group("mailer"), topic)
	good := unkeyed("good-"+bad.ID(), 4)
	for _, call := range []struct {
		events []event.Event
		bad    int
	}{
		{[]event.Event{good[0], bad, good[1]}, 1},
		{[]event.Event{bad}, 0},
		{[]event.Event{bad, good[2]}, 0},
	} {
		ctx, cancel := e.patient()
		err := e.tryProduce(ctx, topic, call.events...)
		cancel()
		f := failureOf(err, call.bad)
		switch {
		case f == nil:
			e.fatalf("Produce of %s, of which index %d %s, returned %v: it had to be a *ProduceError that names index %d", idsOfEvents(call.events), call.bad, what, err, call.bad)
		case !is(f.Err):
			e.fatalf("Produce refused the event that %s with %v", what, f.Err)
		case f.Maybe:
			e.fatalf("Produce says that the event that %s may have been written", what)
		case !f.Final():
			e.fatalf("the refusal of the event that %s is not final: %v", what, f.Err)
		}
	}
	e.produce(topic, good[3])
	e.settleAccepted(m, topic)
	m.close()
}

var produceCases = []testCase{
	{
		name:    "RefusesInvalid",
		promise: "An invalid event is refused with an AttributeError, named by its index and id; the others of the call are accepted, or named too.",
		run: func(e *env) {
			isAttribute := func(err error) bool {
				var bad *event.AttributeError
				return errors.As(err, &bad)
			}
			ok := numbered("bad", 1)
			e.refusesOne(ok.WithSource(""), "has no source", isAttribute)
			e.refusesOne(ok.WithType("").WithID("bad-2"), "has no type", isAttribute)
			e.refusesOne(ok.WithExtension("Not-A-Name", "1").WithID("bad-3"), "has an extension whose name isn't allowed", isAttribute)
			e.refusesOne(ok.WithSubject("a\x00b").WithID("bad-4"), "has a control character in its subject", isAttribute)
			e.refusesOne(ok.WithKey("\xff").WithID("bad-5"), "has a key that is not UTF-8", isAttribute)
			e.refusesOne(ok.WithID(""), "has no id", isAttribute)
			e.refusesOne(ok.WithExtension("big", strings.Repeat("x", event.MaxAttributeValue+1)).WithID("bad-6"), "has too long an extension", isAttribute)
		},
	},
	{
		name:    "RefusesTooLarge",
		promise: "An event above the channel's limit is refused with ErrTooLarge, before anything of it is written.",
		needs:   []need{limitedSize},
		run: func(e *env) {
			e.refusesOne(withData("large", "text/plain", text(e.Guarantees.MaxBytes+1)), "is too large",
				func(err error) bool { return errors.Is(err, event.ErrTooLarge) })
		},
	},
	{
		name:    "RefusesTooLongDelay",
		promise: "A NotBefore above the channel's longest delay is refused with ErrDelayTooLong.",
		needs:   []need{limitedDelay},
		run: func(e *env) {
			later := time.Now().Add(e.Guarantees.MaxDelay + time.Hour)
			e.refusesOne(numbered("late", 1).WithNotBefore(later), "has too long a delay",
				func(err error) bool { return errors.Is(err, event.ErrDelayTooLong) })
		},
	},
	{
		name:    "Nothing",
		promise: "A Produce of no events returns nil and does nothing.",
		stands:  true,
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			e.produce(topic)
			m.silent("nothing was produced")
		},
	},
	{
		name:    "WithoutGroups",
		promise: "A topic without groups accepts events: they are owed to nobody.",
		stands:  true,
		run: func(e *env) {
			e.produce(e.topic("orders"), unkeyed("x", 50)...)
		},
	},
	{
		name:    "LargeCall",
		promise: "A call takes many events at once.",
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			e.produce(topic, keyed("a", 1, 500)...)
			e.settleAccepted(m, topic)
		},
	},
	{
		name:    "EndedContext",
		promise: "The context ends the wait, not the write: the error says for each event whether it was refused or may be written, and nil still means accepted.",
		stands:  true,
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			for i := range 10 {
				ctx, cancel := context.WithCancel(e.ctx)
				if i%2 == 0 {
					cancel()
				}
				e.within(e.Patience, "Produce with a context that ended", func() {
					_ = e.tryProduce(ctx, topic, unkeyed(fmt.Sprint("call", i), 3)...) // noted in the ledger
				})
				cancel()
			}
			e.settleAccepted(m, topic)
		},
	},
	{
		name:    "ConcurrentCalls",
		promise: "A Producer may be called concurrently, and so may several of one topic.",
		stands:  true,
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			var wg sync.WaitGroup
			for i := range 16 {
				wg.Go(func() {
					for j := range 5 {
						e.produce(topic, unkeyed(fmt.Sprintf("call-%d-%d", i, j), 1+j)...)
					}
				})
			}
			e.within(e.Patience, "concurrent calls of Produce", wg.Wait)
			e.settleAccepted(m, topic)
		},
	},
	{
		name:    "AfterClose",
		promise: "After Channel.Close all calls return ErrClosed.",
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			p := e.producer(topic)
			e.produce(topic, unkeyed("x", 1)...)
			ch := e.open()
			ctx, cancel := e.patient()
			defer cancel()
			var err error
			e.within(e.Patience, "Channel.Close", func() { err = ch.Close(ctx) })
			if err != nil {
				e.fatalf("Channel.Close: %v", err)
			}
			for call, f := range map[string]func() error{
				"Producer.Produce":   func() error { return p.Produce(ctx, unkeyed("y", 1)...) },
				"Channel.Producer":   func() error { _, err := ch.Producer(ctx, topic); return err },
				"Channel.Guarantees": func() error { _, err := ch.Guarantees(ctx, topic, group); return err },
				"Channel.Consumer": func() error {
					_, err := ch.Consumer(ctx, event.Subscription{Group: group, Topics: []string{topic}})
					return err
				},
			} {
				e.within(e.Patience, call+" after Channel.Close", func() {
					if err := f(); !errors.Is(err, event.ErrClosed) {
						e.errorf("%s after Channel.Close returned %v, not ErrClosed", call, err)
					}
				})
			}
		},
	},
}
