package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/leat-go/leat/event"
)

// checkDelay refuses an event that is due later than the channel can keep it back.
func (b *Bus) checkDelay(ctx context.Context, topic string, e event.Event) error {
	nb := e.NotBefore()
	if nb.IsZero() {
		return nil
	}
	delay := time.Until(nb)
	gives, err := b.givesProducers(ctx, topic)
	if err != nil || gives.MaxDelay < 0 || delay <= gives.MaxDelay {
		return nil //nolint:nilerr // Produce will say what is wrong with the channel
	}
	return fmt.Errorf("a delay of %v on topic %q, %s has %v at most: %w",
		delay.Round(time.Millisecond), topic, gives.Channel, gives.MaxDelay, event.ErrDelayTooLong)
}

// givesProducers returns what the channel promises those who publish to a topic. It is
// asked once.
func (b *Bus) givesProducers(ctx context.Context, topic string) (event.Guarantees, error) {
	if gives, ok := b.promises.get(topic); ok {
		return gives, nil
	}
	gives, err := b.cfg.Channel.Guarantees(ctx, topic, "")
	if err != nil {
		return gives, err
	}
	return b.promises.getOrPut(topic, gives), nil
}

// Cancel takes back an event that was published with [Delay] or [At] and is not due
// yet: no group gets it. It reports whether it was there. Give the event an [ID] to
// name it by. An event that a handler publishes is there only when the handler has
// succeeded. [event.ErrNotSupported] where the channel can't.
func (b *Bus) Cancel(ctx context.Context, topic, id string) (bool, error) {
	s, ok := b.cfg.Channel.(event.Scheduler)
	if !ok {
		return false, fmt.Errorf("bus: cancel: %w", event.ErrNotSupported)
	}
	return s.Cancel(ctx, topic, id)
}
