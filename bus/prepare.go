package bus

import (
	"context"
	"errors"

	"github.com/leat-go/leat/event"
)

// Prepare returns what [Bus.Publish] would send, and the topic it would go to, and sends
// nothing: for outboxes, which send later. Under a handler's context the id is derived, and
// conversation, cause, trace and tenant are inherited. It works before Start, and
// after Shutdown. [Now] is an error.
func (b *Bus) Prepare(ctx context.Context, v any, opts ...PublishOption) (topic string, e event.Event, err error) {
	p := applyAll(opts)
	return b.prepare(ctx, v, &p)
}

func (b *Bus) prepare(ctx context.Context, v any, p *publishing) (topic string, e event.Event, err error) {
	if p.now {
		return "", event.Event{}, errors.New("bus: Now, and nothing is sent")
	}
	e, topic, err = b.build(ctx, v, p)
	if err != nil {
		return "", event.Event{}, err
	}
	if err := sendable(topic, e.One()); err != nil {
		return "", event.Event{}, err
	}
	return topic, e, nil
}

// Forward sends events to a topic as they are, with one call of the channel: for those that
// send what was prepared before. No transform works on them, the catalog doesn't look at
// them, and they are not collected. The errors are those of [event.Producer], and
// those of [Bus.Publish].
func (b *Bus) Forward(ctx context.Context, topic string, events ...event.Event) error {
	if err := b.accepts(ctx); err != nil {
		return err
	}
	if err := sendable(topic, events); err != nil {
		return err
	}
	return b.sendFrom(ctx, topic, events)
}
