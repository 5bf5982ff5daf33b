package memory

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/leat-go/leat/event"
)

// Groups implements [event.Census]. Ephemeral consumers are no groups. A topic that
// doesn't exist has none.
func (c *Channel) Groups(ctx context.Context, topic string) ([]event.GroupInfo, error) {
	if err := c.usable(ctx); err != nil {
		return nil, err
	}
	var infos []event.GroupInfo
	for _, g := range c.allGroups() {
		if g.ephemeral {
			continue
		}
		g.mu.Lock()
		end := g.advance()
		for _, q := range g.queues {
			if q != nil && q.t.name == topic {
				infos = append(infos, event.GroupInfo{Group: g.name, Members: len(q.members)})
			}
		}
		g.mu.Unlock()
		end.run()
	}
	slices.SortFunc(infos, func(a, b event.GroupInfo) int { return strings.Compare(a.Group, b.Group) })
	return infos, nil
}

// Lag implements [event.LagReporter]. It is exact.
func (c *Channel) Lag(ctx context.Context, topic, group string) (event.Lag, error) {
	q, unlock, err := c.lockQueue(ctx, topic, group)
	if err != nil {
		return event.Lag{}, err
	}
	end := q.upToDate()
	lag := q.lag()
	unlock()
	end.run()
	return lag, nil
}

// lag counts. Topic and group are locked.
func (q *queue) lag() event.Lag {
	lag := event.Lag{Dead: len(q.dead.letters)}
	oldest := never
	for i := range q.g.slots.all {
		s := &q.g.slots.all[i]
		if s.state == stateFree || s.queue != q.index {
			continue
		}
		oldest = min(oldest, q.g.c.since(&s.e, s.at))
		switch s.state {
		case stateReady:
			lag.Waiting++
		case stateDelayed, stateRetry:
			lag.Delayed++
		default:
			lag.InHand++
		}
	}
	q.in.each(func(en *entry) {
		oldest = min(oldest, q.g.c.since(&en.e, en.at))
		if nb := en.e.NotBefore(); !nb.IsZero() && until(nb) > 0 {
			lag.Delayed++
		} else {
			lag.Waiting++
		}
	})
	if oldest != never {
		lag.OldestAge = max(time.Duration(q.g.c.now()-oldest), 1)
	}
	return lag
}

// since returns when an event that was accepted at a time could be delivered first, or
// never while it is not due.
func (c *Channel) since(e *event.Event, at int64) int64 {
	nb := e.NotBefore()
	switch {
	case nb.IsZero():
		return at
	case until(nb) > 0:
		return never
	}
	return max(at, c.clock(nb))
}
