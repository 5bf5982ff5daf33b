package channeltest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/leat-go/leat/event"
)

type contextKey struct{}

var contextCases = []testCase{
	{
		name:    "CauseReachesChildren",
		promise: "The context of Begin works like one of the standard library: children end with it and keep its cause, functions run after it, values are found.",
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			e.produce(topic, unkeyed("x", 1)...)
			d := m.one()
			ctx := m.begin(d)
			timed, cancel := context.WithTimeout(context.WithValue(ctx, contextKey{}, "v"), 100*e.Patience)
			defer cancel()
			child, cancelChild := context.WithCancelCause(timed)
			defer cancelChild(nil)
			ran := make(chan struct{})
			context.AfterFunc(child, func() { close(ran) })
			if _, limited := ctx.Deadline(); limited {
				e.errorf("the context of a delivery has a deadline; how long a handler may take is not the channel's to say")
			}
			if child.Value(contextKey{}) != "v" {
				e.errorf("a child of the context lost its value")
			}
			closes := m.closeLater()
			closes.end()
			e.wait(e.Patience, child.Done(), "a child of a delivery's context ends with it")
			e.wait(e.Patience, ran, "a function that was registered for the end of the context runs")
			for name, c := range map[string]context.Context{"Begin's context": ctx, "its WithTimeout child": timed, "its WithCancel grandchild": child} {
				if !errors.Is(c.Err(), context.Canceled) || !errors.Is(context.Cause(c), event.ErrClosed) {
					e.errorf("%s ended with %v and the cause %v; it had to be context.Canceled and ErrClosed", name, c.Err(), context.Cause(c))
				}
			}
			closes.ends("its context has ended")
		},
	},
	{
		name:    "LivesUntilSettled",
		promise: "The context of a delivery lives as long as the delivery is in hand.",
		needs:   []need{atOnce(3)},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			e.produce(topic, unkeyed("x", 3)...)
			ds := m.next(3)
			a, b := m.begin(ds[0]), m.begin(ds[1])
			e.pass(2 * e.Silence)
			m.ack(ds[2])
			if a.Err() != nil {
				e.errorf("the context of a delivery ended while it was in hand: %v", context.Cause(a))
			}
			m.ack(ds[0])
			if b.Err() != nil {
				e.errorf("the context of a delivery ended when another was settled: %v", context.Cause(b))
			}
			m.ack(ds[1])
		},
	},
	{
		name:    "NotTheConsumers",
		promise: "The context of a delivery is not the one of Receive: that one may end at once.",
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			e.produce(topic, unkeyed("x", 1)...)
			ctx, cancel := context.WithTimeout(e.ctx, e.Patience)
			ds, err := m.news(ctx, 1)
			if err != nil || len(ds) != 1 {
				cancel()
				e.fatalf("Receive: %s, %v", idsOf(ds), err)
			}
			run := m.begin(ds[0])
			cancel()
			e.pass(e.Silence)
			if run.Err() != nil {
				e.errorf("the delivery's context ended with Receive's: %v", context.Cause(run))
			}
			m.ack(ds[0])
		},
	},
	{
		name:    "ManyAtOnce",
		promise: "Contexts of deliveries may be used by many goroutines at once.",
		needs:   []need{atOnce(8)},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			e.produce(topic, unkeyed("x", 8)...)
			var wg sync.WaitGroup
			for _, d := range m.next(8) {
				ctx := m.begin(d)
				for range 4 {
					wg.Go(func() {
						c, cancel := context.WithTimeout(ctx, time.Hour)
						defer cancel()
						<-c.Done()
						if !errors.Is(context.Cause(c), event.ErrClosed) {
							e.errorf("a child's cause is %v, not ErrClosed", context.Cause(c))
						}
					})
				}
			}
			closes := m.closeLater()
			closes.waits("deliveries are begun")
			closes.end()
			closes.ends("its context has ended")
			e.within(e.Patience, "handlers whose contexts ended", wg.Wait)
		},
	},
}
