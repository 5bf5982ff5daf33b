package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// progress tells what happens, a line at a time, and counts it: it is a hook of the
// bus.
type progress struct {
	out     io.Writer
	began   time.Time
	changed chan struct{}

	mu     sync.Mutex
	counts map[string]counts // by group
}

// counts are those of one group.
type counts struct{ published, handled, retried, dead, redriven int }

func newProgress(out io.Writer) *progress {
	return &progress{out: out, began: time.Now(), changed: make(chan struct{}, 1), counts: make(map[string]counts)}
}

func (p *progress) sayf(format string, args ...any) {
	fmt.Fprintf(p.out, "%5.1fs  %s\n", time.Since(p.began).Seconds(), fmt.Sprintf(format, args...))
}

// OnPublish counts what is owed to each group.
func (p *progress) OnPublish(_ context.Context, published bus.Published) {
	if published.Err != nil {
		return
	}
	p.count("audit", func(c *counts) { c.published++ })
	if published.Topic != topic {
		return
	}
	p.count("projection", func(c *counts) { c.published++ })
	if notifies(published.Event.Type()) {
		p.count("notifier", func(c *counts) { c.published++ })
	}
}

// notifies reports whether the notifier has a handler for the type.
func notifies(typ string) bool { return typ == "push" || typ == "issues" || typ == "pull_request" }

// OnAttempt counts how the runs of handlers ended.
func (p *progress) OnAttempt(_ context.Context, a bus.AttemptEnd) {
	p.count(a.Group, func(c *counts) {
		switch a.Outcome {
		case event.OutcomeAcked:
			c.handled++
			if a.Info.Redriven {
				c.redriven++
			}
		case event.OutcomeRetried:
			c.retried++
		default: // dead letters are counted when they are stored
		}
	})
}

// OnSettle counts dead letters once they are stored.
func (p *progress) OnSettle(s bus.Settled) {
	if s.Kind == event.SettleDead && s.Err == nil {
		p.count(s.Group, func(c *counts) { c.dead++ })
	}
}

func (p *progress) count(group string, change func(*counts)) {
	p.mu.Lock()
	c := p.counts[group]
	change(&c)
	p.counts[group] = c
	p.mu.Unlock()
	select {
	case p.changed <- struct{}{}:
	default: // wait knows already
	}
}

func (p *progress) of(group string) counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[group]
}

func everythingHandledOrDead(c counts) bool { return c.handled+c.dead >= c.published }

func everythingHandled(c counts) bool { return c.handled >= c.published }

var groups = []string{"projection", "notifier", "audit"}

// wait returns when all groups are done; until then it says how far they are.
func (p *progress) wait(ctx context.Context, done func(counts) bool) error {
	tick := time.NewTicker(time.Second / 2)
	defer tick.Stop()
	for {
		left := false
		for _, g := range groups {
			left = left || !done(p.of(g))
		}
		if !left {
			p.tell()
			return nil
		}
		select {
		case <-p.changed:
		case <-tick.C:
			p.tell()
		case <-ctx.Done():
			p.tell()
			return fmt.Errorf("not everything was handled: %w", context.Cause(ctx))
		}
	}
}

func (p *progress) tell() {
	parts := make([]any, 0, len(groups))
	for _, g := range groups {
		c := p.of(g)
		parts = append(parts, fmt.Sprintf("%s %d of %d", g, c.handled, c.published))
	}
	p.sayf("handled   %-22s   %-18s   %s", parts...)
}
