package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

var _ event.GroupProducer = (*Channel)(nil)

// ProduceTo implements [event.GroupProducer]: the events go to the redrive topic of
// the group.
func (ch *Channel) ProduceTo(ctx context.Context, group, topic string, m event.Mark, events ...event.Event) error {
	cl, err := ch.use()
	if err != nil {
		return err
	}
	if err := checkGroup(group, topic); err != nil {
		return err
	}
	if err := ch.ensureOwn(ctx, group, topic); err != nil {
		return err
	}
	limit, err := ch.limit(ctx, topic)
	if err != nil {
		return err
	}
	p := &producer{ch: ch, cl: cl, topic: redriveTopic(topic, group), limit: limit}
	b, err := p.produce(events, func(r *kgo.Record) {
		h := headers(r.Headers)
		h.mark(m)
		r.Headers = h
	})
	if err != nil {
		return err
	}
	b.send(ctx, cl)
	return b.wait(ctx)
}
