package bench

import (
	"context"
	"errors"
	"strconv"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// openLeat starts a Bus for raw events on the channel in memory, both with their
// defaults. Chain and retry apart, a handler only counts.
func openLeat(l Load) (*Stream, error) {
	l = l.withDefaults()
	t := newTally()
	channel := memory.New()
	b := bus.New(bus.Config{Channel: channel})
	counts := func(_ context.Context, e event.Event) error { return t.handle(e.Data()) }
	opts := []bus.SubscribeOption{bus.Workers(l.Workers), bus.Retry(bus.Backoff{First: 1, Max: 1})}
	if l.Chain {
		bus.SubscribeRaw(b, "first", []string{placed}, func(ctx context.Context, e event.Event) error {
			return b.Publish(ctx, event.New(source, noted, e.Data()))
		}, opts...)
		bus.SubscribeRaw(b, "second", []string{noted}, counts, opts...)
	} else {
		for g := range l.Groups {
			bus.SubscribeRaw(b, "group-"+strconv.Itoa(g), []string{placed}, counts, opts...)
		}
	}
	return startLeat(b, channel, t, func(ctx context.Context, n int) error {
		t.expect(n*l.Groups, l.Retry)
		return l.produce(n, func(m *maker, from, to int) error {
			if l.Batch == 1 {
				return b.Publish(ctx, m.event(from))
			}
			batch := make([]any, 0, l.Batch)
			for i := from; i < to; i++ {
				batch = append(batch, m.event(i))
			}
			return b.PublishAll(ctx, batch...)
		})
	})
}

// openLeatTyped starts a Bus for orders.
func openLeatTyped() (*Stream, error) {
	t := newTally()
	channel := memory.New()
	b := bus.New(bus.Config{Channel: channel})
	bus.Subscribe(b, "group", func(_ context.Context, o Order) error { return t.order(&o) })
	return startLeat(b, channel, t, func(ctx context.Context, n int) error {
		t.expect(n, false)
		for i := range n {
			if err := b.Publish(ctx, newOrder(i)); err != nil {
				return err
			}
		}
		return nil
	})
}

// startLeat makes a stream of a Bus. A run ends when the channel is quiet, which is
// when every event is settled.
func startLeat(b *bus.Bus, channel *memory.Channel, t *tally, send func(ctx context.Context, n int) error) (*Stream, error) {
	ctx := context.Background()
	return &Stream{
		Run: func(n int) error {
			if err := send(ctx, n); err != nil {
				return err
			}
			limited, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			return errors.Join(channel.Quiet(limited), t.wait())
		},
		Close: func() error { return b.Drain(ctx) },
	}, b.Start(ctx)
}
