package bus

import (
	"context"
	"fmt"
	"slices"

	"github.com/leat-go/leat/event"
)

// ParkKey keeps the events of a key together when one of them fails for good: it
// becomes a dead letter as always, and all later ones of its key are moved behind it,
// unseen by any handler, until the key is redriven; see [Bus.RedriveKey]. Other keys go
// on. That holds for the last attempt, for permanent errors and for data that can't be
// decoded. It belongs to the handler whose event fails; those that are kept are all of
// the key, of whatever type, for this group on this topic.
//
// Start refuses it with [BlockKey], and on a channel that can't park keys.
func ParkKey() SubscribeOption { return subscribeOption(func(s *subscription) { s.parkKey = true }) }

// deadLetter returns the settlement of an item that fails its handler for good.
func (it *item) deadLetter(c event.Cause) event.Settlement {
	if it.h.opts.parkKey {
		return event.Park(it.d.Token, c)
	}
	return event.Dead(it.d.Token, c)
}

// checkPark returns a mistake for every handler that parks keys on a topic where the
// channel can't.
func (g *group) checkPark(topic string, gives event.Guarantees) []error {
	var errs []error
	for _, h := range g.list {
		if h.opts.parkKey && !gives.Parks && slices.Contains(g.topicsOf(h), topic) {
			errs = append(errs, fmt.Errorf("handler %q: topic %q: ParkKey: %s can't park keys", h.name, topic, gives.Channel))
		}
	}
	return errs
}

// RedriveKey hands all dead letters of a key to their group again, in order and ahead
// of what is newer of the key, on every topic of the group. A key that was parked goes
// on behind them. It returns how many there were, and [ErrNotStarted] before Start.
func (b *Bus) RedriveKey(ctx context.Context, group, key string) (int, error) {
	store, g, err := b.deadLetters(group)
	if err != nil {
		return 0, err
	}
	sum := 0
	for _, topic := range g.topics {
		n, err := store.RedriveKey(ctx, topic, g.wire, key)
		sum += n
		if err != nil {
			return sum, fmt.Errorf("bus: redrive key: %w", err)
		}
	}
	return sum, nil
}
