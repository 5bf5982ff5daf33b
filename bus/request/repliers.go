package request

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/leat-go/leat/event"
)

// Repliers are those who can answer a request: the groups of a topic that are named after
// its type, with or without an application. The zero value is whoever answers.
type Repliers struct {
	Type, Topic string // of the request
}

// owns reports whether a group is one that answers.
func (of Repliers) owns(group string) bool {
	return group == of.Type || strings.HasSuffix(group, "."+of.Type)
}

// How often it is looked whether repliers are still there, how long it is taken for true
// that they are, and how long a look may take.
const (
	guardEvery = time.Second
	seenFor    = 10 * time.Second
	lookWithin = 5 * time.Second
)

// CheckReplier returns [ErrNoHandler] where the channel knows that no group answers. What it
// has seen counts for 10 seconds. A group without a member may be about to get one: whoever
// waits for it hears, in some seconds, if it doesn't.
func (r *Requests) CheckReplier(ctx context.Context, of Repliers) error {
	r.mu.Lock()
	seen, ok := r.seen[of]
	r.mu.Unlock()
	if ok && time.Since(seen) < seenFor {
		return nil
	}
	_, err := r.CountRepliers(ctx, of)
	return err
}

// CountRepliers returns how many groups answer, or [ErrNoHandler] if none does; 0 where the
// channel doesn't know them.
func (r *Requests) CountRepliers(ctx context.Context, of Repliers) (int, error) {
	census, ok := r.style.Channel().(event.Census)
	if !ok {
		return 0, nil
	}
	groups, live, err := count(ctx, census, of)
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if live > 0 {
		r.seen[of] = time.Now()
	} else {
		delete(r.seen, of)
	}
	if groups == 0 {
		return 0, fmt.Errorf("%w: topic %q has no group for it", ErrNoHandler, of.Topic)
	}
	return groups, nil
}

// count returns how many groups answer, and how many of them have a member.
func count(ctx context.Context, census event.Census, of Repliers) (groups, live int, err error) {
	all, err := census.Groups(ctx, of.Topic)
	if err != nil {
		return 0, 0, fmt.Errorf("request: the groups of topic %q: %w", of.Topic, err)
	}
	for _, g := range all {
		if !of.owns(g.Group) {
			continue
		}
		groups++
		if g.Members > 0 {
			live++
		}
	}
	return groups, live, nil
}

// guarded lets a waiter be told when nobody is left who could answer. mu is held.
func (r *Requests) guarded(w *waiter) {
	if w.from.Topic == "" {
		return
	}
	w.tick = r.ticks
	if r.guards {
		return
	}
	if _, ok := r.style.Channel().(event.Census); ok {
		r.guards, r.lately = true, true // it stays for a tick, even if w waits no longer than it needs to begin
		go r.guard(w.in.life)
	}
}

// guard looks from time to time whether those are there who could answer, as long as
// somebody waits for them, or the inbox is closed.
func (r *Requests) guard(ctx context.Context) {
	ticker := time.NewTicker(guardEvery)
	defer ticker.Stop()
	for r.guardNeeded(ctx) {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			continue
		}
		for _, of := range r.waitedFor() {
			r.lookAfter(ctx, of)
		}
	}
}

// guardNeeded reports whether somebody waits, or has since the last tick.
func (r *Requests) guardNeeded(ctx context.Context) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.guards = ctx.Err() == nil && (len(r.waiting) > 0 || r.lately)
	r.lately = len(r.waiting) > 0
	return r.guards
}

// waitedFor returns whose answers are waited for since before the last tick.
func (r *Requests) waitedFor() []Repliers {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ticks++
	all := make(map[Repliers]bool)
	for _, w := range r.waiting {
		if w.tick < r.ticks-1 && w.from.Topic != "" {
			all[w.from] = true
		}
	}
	return slices.Collect(maps.Keys(all))
}

// lookAfter ends the waiting for repliers that are gone: at two looks, so that an answer
// that was on its way has come.
func (r *Requests) lookAfter(ctx context.Context, of Repliers) {
	census, _ := r.style.Channel().(event.Census)
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	_, live, err := count(ctx, census, of)
	cancel()
	if err != nil {
		return // who can't be seen may be there
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, w := range r.waiting {
		if w.from != of || w.tick >= r.ticks-1 {
			continue
		}
		if w.all != nil && w.looked {
			w.all.expect(live)
		}
		if w.all == nil && w.gone && live == 0 {
			delete(r.waiting, id)
			w.tell(outcome{err: fmt.Errorf("%w: topic %q has no group for it that has a member", ErrNoHandler, of.Topic)})
		}
		w.looked, w.gone = true, live == 0
	}
}
