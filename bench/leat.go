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
	opts := []bus.SubscribeOption{bus.Workers(l.Workers), bus.Retry(bus.Backoff{First: 1, Max: 1})}
	if l.Chain {
		bus.SubscribeRaw(b, "first", []string{placed}, func(ctx context.Context, e event.Event) error {
			return b.Publish(ctx, event.New(source, noted, e.Data()))
		}, opts...)
		bus.SubscribeRaw(b, "second", []string{noted}, t.event, opts...)
	} else {
		for g := range l.Groups {
			bus.SubscribeRaw(b, "group-"+strconv.Itoa(g), []string{placed}, t.event, opts...)
		}
	}
	ctx, cancel := l.context()
	return startLeat(ctx, cancel, b, channel, t, func(n int) error {
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
	ctx, cancel := Load{}.context()
	return startLeat(ctx, cancel, b, channel, t, func(n int) error {
		t.expect(n, false)
		for i := range n {
			if err := b.Publish(ctx, newOrder(i)); err != nil {
				return err
			}
		}
		return nil
	})
}

// context returns what is published under: a context that can end, as that of a
// request can, unless the load says otherwise.
func (l Load) context() (context.Context, context.CancelFunc) {
	if l.Background {
		return context.Background(), func() {}
	}
	return context.WithCancel(context.Background())
}

// startLeat starts a Bus and makes a stream of it. A run ends when the channel is
// quiet, which is when every event is settled.
func startLeat(
	ctx context.Context, cancel context.CancelFunc, b *bus.Bus, channel *memory.Channel, t *tally, send func(n int) error,
) (*Stream, error) {
	if err := b.Start(ctx); err != nil {
		cancel()
		return nil, err
	}
	return &Stream{
		Run: func(n int) error {
			if err := send(n); err != nil {
				return err
			}
			limited, stop := context.WithTimeout(ctx, patience)
			defer stop()
			return errors.Join(channel.Quiet(limited), t.wait())
		},
		Close: func() error {
			defer cancel()
			return b.Drain(ctx)
		},
	}, nil
}
