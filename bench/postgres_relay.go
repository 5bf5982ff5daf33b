package bench

import (
	"context"
	"errors"
	"io"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// fillBatch is how many events a transaction writes into the outbox.
const fillBatch = 500

// relayed is how many connections a pool has: one for who fills, some for the relay.
const relayed = 4

// fill lets n events wait in the outbox, and nothing else be in it.
func (d *database) fill(b *bus.Bus, n int) error {
	ctx := context.Background()
	if err := d.exec(ctx, "truncate @.outbox"); err != nil {
		return err
	}
	m := &maker{data: make([]byte, payload), keyed: true}
	made := 0
	put := d.store.InTx().Wrap(func(ctx context.Context, _ event.Event) error {
		events := make([]any, 0, fillBatch)
		for ; made < n && len(events) < fillBatch; made++ {
			events = append(events, m.event(made))
		}
		return b.PublishAll(ctx, events...)
	})
	for made < n {
		cause := event.New(source, noted, nil)
		if err := put(handling(ctx, cause), cause); err != nil {
			return err
		}
	}
	return d.exec(ctx, "analyze @.outbox")
}

// openRelay publishes what waits in the outbox through a Bus, whose handler counts.
func (p Postgres) openRelay() (*Stream, error) {
	return p.openOutbox(func(ctx context.Context, d *database, b *bus.Bus, t *tally, _ int) error {
		running, cancel := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- d.store.Relay(running, b) }()
		err := t.wait()
		cancel()
		if e := <-ended; !errors.Is(e, context.Canceled) {
			err = errors.Join(err, e)
		}
		return err
	})
}

// openCopy copies the same rows out of the same table, to nobody.
func (p Postgres) openCopy() (*Stream, error) {
	return p.openOutbox(func(ctx context.Context, d *database, _ *bus.Bus, _ *tally, n int) error {
		c, err := d.pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer c.Release()
		tag, err := c.Conn().PgConn().CopyTo(ctx, io.Discard, d.sql("copy (select seq, topic, event from @.outbox) to stdout"))
		if err != nil {
			return err
		}
		return exactly(n, tag.RowsAffected())
	})
}

// openOutbox makes a stream of what is done to an outbox in which n events wait.
func (p Postgres) openOutbox(do func(ctx context.Context, d *database, b *bus.Bus, t *tally, n int) error) (*Stream, error) {
	d, err := p.open(relayed)
	if err != nil {
		return nil, err
	}
	t := newTally()
	b := bus.New(bus.Config{Channel: memory.New()})
	bus.SubscribeRaw(b, "group", []string{placed}, t.event)
	ctx := context.Background()
	if err := b.Start(ctx); err != nil {
		return nil, errors.Join(err, d.close(ctx))
	}
	return &Stream{
		Prepare: func(n int) error { return d.fill(b, n) },
		Run: func(n int) error {
			t.expect(n, false)
			return do(ctx, d, b, t, n)
		},
		Close: func() error { return errors.Join(b.Drain(ctx), d.close(ctx)) },
	}, nil
}
