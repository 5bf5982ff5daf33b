package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

// delivery is the context of a delivery, where there are transactions: what its
// handler published is kept with it.
type delivery struct {
	context.Context // of its tenure

	c     *consumer
	token event.Token
}

type deliveryKey struct{}

// Value returns the delivery itself under its key.
func (d *delivery) Value(key any) any {
	if key == (deliveryKey{}) {
		return d
	}
	return d.Context.Value(key)
}

// kept is what goes out with the ack of a delivery. It has its room in the channel
// until then.
type kept struct {
	records []kgo.Record
	weight  int64
}

// transacts reports whether acks and what was published go together.
func (c *consumer) transacts() bool { return c.ch.cfg.Transactions && !c.sub.Ephemeral }

// keeper returns the delivery that keeps what is produced under a context, or nil.
func (ch *Channel) keeper(ctx context.Context) *delivery {
	if !ch.cfg.Transactions || !event.Collected(ctx) {
		return nil
	}
	d, _ := ctx.Value(deliveryKey{}).(*delivery)
	if d == nil || d.c.ch != ch {
		return nil
	}
	return d
}

// keep keeps events until the delivery is settled. What is wrong with them is told now.
func (d *delivery) keep(p *producer, events []event.Event) error {
	ch, c := d.c.ch, d.c
	if ch.isClosed() {
		return event.ErrClosed
	}
	k := &kept{records: make([]kgo.Record, 0, len(events))}
	refused := &event.ProduceError{}
	for i, e := range events {
		r := kgo.Record{Topic: p.topic}
		if err := p.encode(&r, e); err != nil {
			refused.Failed = append(refused.Failed, event.ProduceFailure{Index: i, ID: e.ID(), Err: err})
			continue
		}
		k.records = append(k.records, r)
		k.weight += weight(&r)
	}
	if len(k.records) > 0 {
		if err := c.keep(d.token, k); err != nil {
			return err
		}
	}
	if len(refused.Failed) > 0 {
		return refused
	}
	return nil
}

func (c *consumer) keep(t event.Token, k *kept) error {
	capacity := c.ch.cfg.MaxBuffered
	if k.weight > capacity {
		return fmt.Errorf("kafka: %d bytes at once, Config.MaxBuffered is %d: %w", k.weight, capacity, event.ErrTooLarge)
	}
	if !c.ch.room.TryAcquire(k.weight) {
		return fmt.Errorf("kafka: %d bytes wait for their transactions or for the brokers: %w", capacity, event.ErrFull)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _, s := c.find(t)
	if s == nil || s.part != nil {
		c.ch.room.Release(k.weight)
		return event.ErrLeaseLost
	}
	if s.kept != nil {
		k.records = append(s.kept.records, k.records...)
		k.weight += s.kept.weight
	}
	s.kept = k
	return nil
}

// dropKept forgets what a delivery keeps: it ended without an ack. The consumer is
// locked. What is in a transaction already is the transaction's.
func (c *consumer) dropKept(s *slot) {
	if s.kept != nil {
		c.ch.room.Release(s.kept.weight)
		s.kept = nil
	}
	s.part = nil
}
