package idempotency

import (
	"context"

	"github.com/leat-go/leat/event"
)

// recorder notes what a handler publishes and passes it on.
type recorder struct {
	next event.Outbox
	sent []Sent
}

// Add implements [event.Outbox].
func (r *recorder) Add(ctx context.Context, topic string, events ...event.Event) error {
	if err := r.next.Add(ctx, topic, events...); err != nil {
		return err
	}
	r.sent = append(r.sent, Sent{topic, events})
	return nil
}

// record wraps the outbox of ctx, if there is one.
func record(ctx context.Context) (context.Context, *recorder) {
	next := event.OutboxFrom(ctx)
	if next == nil {
		return ctx, &recorder{}
	}
	r := &recorder{next: next}
	return event.WithOutbox(ctx, r), r
}

// replay publishes again what a handler published, with the same ids.
func replay(ctx context.Context, sent []Sent) error {
	out := event.OutboxFrom(ctx)
	if out == nil {
		return nil
	}
	for _, s := range sent {
		if err := out.Add(ctx, s.Topic, s.Events...); err != nil {
			return err
		}
	}
	return nil
}
