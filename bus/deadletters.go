package bus

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/leat-go/leat/event"
)

// DeadLetters yields the dead letters of a group, topic by topic, oldest first; with
// keys, only theirs. It yields an error before Start, for a group that the Bus doesn't
// have, and [event.ErrNotSupported] where the channel has none to look at.
func (b *Bus) DeadLetters(ctx context.Context, group string, keys ...string) iter.Seq2[event.DeadLetter, error] {
	return func(yield func(event.DeadLetter, error) bool) {
		store, g, err := b.deadLetters(group)
		if err != nil {
			yield(event.DeadLetter{}, err)
			return
		}
		for _, topic := range g.topics {
			for d, err := range store.DeadLetters(ctx, topic, g.wire) {
				if err == nil && len(keys) > 0 && !slices.Contains(keys, d.Event.Key()) {
					continue
				}
				if !yield(d, err) {
					return
				}
			}
		}
	}
}

// Redrive hands a dead letter to its group again, and to no other. A repaired event
// goes in its place: it has another id, and the failed one's as its cause. What is
// parked behind a dead letter follows it; what is parked behind another is refused.
func (b *Bus) Redrive(ctx context.Context, d event.DeadLetter, repaired ...event.Event) error {
	store, ok := b.cfg.Channel.(event.DeadLetters)
	if !ok {
		return fmt.Errorf("bus: redrive: %w", event.ErrNotSupported)
	}
	return store.Redrive(ctx, d, repaired...)
}

// Discard removes a dead letter for good. Of a parked key, the next is in front then;
// with the last the key goes on.
func (b *Bus) Discard(ctx context.Context, d event.DeadLetter) error {
	store, ok := b.cfg.Channel.(event.DeadLetters)
	if !ok {
		return fmt.Errorf("bus: discard: %w", event.ErrNotSupported)
	}
	return store.Discard(ctx, d)
}

func (b *Bus) deadLetters(group string) (event.DeadLetters, *group, error) {
	if s := b.is(); s == stateNew || s == stateStarting {
		return nil, nil, ErrNotStarted
	}
	g, err := b.group(group)
	if err != nil {
		return nil, nil, err
	}
	store, ok := b.cfg.Channel.(event.DeadLetters)
	if !ok {
		return nil, nil, fmt.Errorf("bus: dead letters: %w", event.ErrNotSupported)
	}
	return store, g, nil
}
