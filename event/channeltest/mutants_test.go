package channeltest

import (
	"context"
	"slices"

	"github.com/leat-go/leat/event"
)

// onProduce is a fault of Produce.
func onProduce(f func(ctx context.Context, next func(context.Context, ...event.Event) error, events []event.Event) error) fault {
	return fault{producer: func(_ *faulty, _ string, p *faultyProducer) {
		next := p.produce
		p.produce = func(ctx context.Context, events ...event.Event) error { return f(ctx, next, events) }
	}}
}

// onDelivery is a fault of what Receive returns.
func onDelivery(f func(d *event.Delivery)) fault {
	return fault{consumer: func(_ *faulty, c *faultyConsumer) {
		c.receive = func(ctx context.Context, buf []event.Delivery) (int, error) {
			n, err := c.Consumer.Receive(ctx, buf)
			for i := range buf[:n] {
				f(&buf[i])
			}
			return n, err
		}
	}}
}

// onSettlement is a fault of single settlements; false drops one in silence.
func onSettlement(f func(s *event.Settlement) bool) fault {
	return fault{consumer: func(_ *faulty, c *faultyConsumer) {
		c.settle = func(ctx context.Context, ss []event.Settlement) error {
			var kept []event.Settlement
			for _, s := range ss {
				if f(&s) {
					kept = append(kept, s)
				}
			}
			return c.Consumer.Settle(ctx, kept)
		}
	}}
}

// onClose is a fault of Consumer.Close.
func onClose(f func(f *faulty, c *faultyConsumer, ctx context.Context) error) fault {
	return fault{consumer: func(ch *faulty, c *faultyConsumer) {
		c.close = func(ctx context.Context) error { return f(ch, c, ctx) }
	}}
}

func mutants() []mutant {
	return slices.Concat(producing(), delivering(), settlings(), closings(), extras(), parkings(), schedulings(), twoHands())
}

const doubles = "doubles the last event of each call"
