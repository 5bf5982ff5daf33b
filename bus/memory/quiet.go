package memory

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// quiet is who waits for quiet.
type quiet struct {
	waiting atomic.Int32
	mu      sync.Mutex
	tokens  []chan struct{}
}

func (w *quiet) wake() {
	if w.waiting.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.tokens {
		signal(t)
	}
}

func (w *quiet) join() chan struct{} {
	token := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tokens = append(w.tokens, token)
	w.waiting.Add(1)
	return token
}

func (w *quiet) leave(token chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tokens = slices.DeleteFunc(w.tokens, func(t chan struct{}) bool { return t == token })
	w.waiting.Add(-1)
}

// Quiet implements [event.Quiescer]. When it returns nil there was a moment during
// the call at which the groups were owed nothing. A group that doesn't exist is
// owed nothing.
func (c *Channel) Quiet(ctx context.Context, groups ...string) error {
	token := c.quiet.join()
	defer c.quiet.leave(token)
	for {
		if err := c.usable(ctx); err != nil {
			return err
		}
		next := c.reap()
		before, owed := c.owed(groups, &next)
		if !owed {
			// Each was owed nothing at a moment of its own. If nothing came to any
			// of them meanwhile, there was a moment for all.
			if after, again := c.owed(groups, &next); !again && after == before {
				return nil
			}
			continue
		}
		if err := sleep(ctx, token, c, next); err != nil {
			return err
		}
	}
}

// tally sums up what ever came to groups.
type tally struct{ groups, accepted, redriven int64 }

// owed counts what came to the groups so far and reports whether any is owed
// something; next becomes the time of the next of their timers. All is looked at
// that time has changed.
func (c *Channel) owed(names []string, next *int64) (sum tally, owed bool) {
	for _, g := range c.allGroups() {
		if len(names) > 0 && (g.ephemeral || !slices.Contains(names, g.name)) {
			continue
		}
		g.mu.Lock()
		end := g.upToDate()
		*next = min(*next, g.nextTime())
		sum.groups++
		for _, q := range g.queues {
			if q == nil {
				continue
			}
			sum.accepted += q.in.tail.Load()
			sum.redriven += q.redriven
			owed = owed || q.unsettled() > 0
		}
		g.mu.Unlock()
		end.run()
	}
	return sum, owed
}
