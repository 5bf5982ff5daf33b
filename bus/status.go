package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/leat-go/leat/event"
)

// GroupStatus is what a Bus does for one of its groups at the moment.
type GroupStatus struct {
	Group    string      // as it was subscribed
	Wire     string      // as the channel knows it: "App.group"
	Topics   []string    // that it listens to; known from Start on
	Handlers []string    // names of its handlers, in the order of subscription
	InHand   int         // deliveries, those that wait for a retry included
	Held     int         // of these: wait for their time, each in front of its key
	Running  int         // workers that have something to do
	Paused   bool        // by Pause
	Stalled  StallReason // why it can't go on, or ""
	Err      error       // what keeps it from the channel: see Ready
}

// Status returns what the Bus does for each of its groups, in the order of
// subscription: for consoles and metrics. It is a look at one group after the other,
// and costs little.
func (b *Bus) Status() []GroupStatus {
	b.mu.Lock()
	groups := b.groups
	all := make([]GroupStatus, len(groups))
	for i, g := range groups {
		for _, h := range g.list {
			all[i].Handlers = append(all[i].Handlers, h.name)
		}
	}
	b.mu.Unlock()
	for i, g := range groups {
		g.status(&all[i])
	}
	return all
}

func (g *group) status(s *GroupStatus) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.Group, s.Wire = g.name, g.wire
	s.InHand, s.Held = g.inHand, g.held.Len()
	s.Paused, s.Stalled, s.Err = g.paused, g.stalled, g.problem()
	if g.live.Load() {
		s.Running = g.workers - g.idle
		s.Topics = append(s.Topics, g.topics...)
	}
}

// GroupLag is what one group is owed on one topic.
type GroupLag struct {
	Group string    // as it was subscribed
	Topic string    // of the events
	Lag   event.Lag // counts, and the age of the oldest
}

// Lag returns how far each group of the Bus is behind on each of its topics, all
// members of the group together. It asks the channel, which may be far away. The error
// is [ErrNotStarted] before Start, [event.ErrNotSupported] where the channel can't
// tell; where it could not be told of some, the others are returned with the error.
func (b *Bus) Lag(ctx context.Context) ([]GroupLag, error) {
	if s := b.is(); s == stateNew || s == stateStarting {
		return nil, ErrNotStarted
	}
	reporter, ok := b.cfg.Channel.(event.LagReporter)
	if !ok {
		return nil, fmt.Errorf("bus: lag: %w", event.ErrNotSupported)
	}
	var all []GroupLag
	var errs []error
	for _, g := range b.started() {
		for _, topic := range g.topics {
			lag, err := reporter.Lag(ctx, topic, g.wire)
			if err != nil {
				errs = append(errs, fmt.Errorf("bus: lag of group %q on topic %q: %w", g.name, topic, err))
				continue
			}
			all = append(all, GroupLag{g.name, topic, lag})
		}
	}
	return all, errors.Join(errs...)
}
