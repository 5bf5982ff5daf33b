package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// rebuildMark is between the name of a projection and the generation that a group rebuilds.
const rebuildMark = "-rebuild-"

// Rebuild fills the model anew, with the same handlers, from the oldest event that the channel
// still has, in a generation of its own and a group of its own, while the model
// goes on to serve and to be kept up to date. When the new one has all that the old one has, it
// takes its place at once, for all processes, and Rebuild returns nil. Nothing is
// lost, and nothing applied twice. An error then says that the group of the rebuild couldn't be removed.
//
// Otherwise what was built is removed, as far as that is possible, and the model serves as
// before: when ctx ends (in memory, where nobody is held up, a model that never rests may leave no
// moment at which the new one has it all); when an event fails for good, which the error names (handlers
// that ought to live with it reject it, or return nil); when the channel or the model fails. Where a process ends
// in between, the next Rebuild removes what it left.
//
// It needs a history ([event.Guarantees]), else the error is [event.ErrNoHistory], and an
// [event.Provisioner], else it is [event.ErrNotSupported]. One Rebuild can run at a time, whichever the
// process: [ErrRebuilding]. Before Start it is [bus.ErrNotStarted]. Dead letters that were
// repaired aren't in the history: the events that they were repaired from are.
func (p *Projection) Rebuild(ctx context.Context) (err error) {
	if err := p.style.Accepts(ctx); err != nil {
		return err
	}
	ch, err := p.rebuildable(ctx)
	if err != nil {
		return fmt.Errorf("query: rebuild %q: %w", p.name, err)
	}
	n, release, err := p.model.Build(ctx)
	if err != nil {
		return fmt.Errorf("query: rebuild %q: %w", p.name, err)
	}
	defer release()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	r := &rebuild{p: p, ch: ch, fail: fail}
	r.feed = &feed{p: p, group: fmt.Sprint(p.name, rebuildMark, n), generation: n, died: r.died}
	if err := errors.Join(r.run(ctx), r.remove(ctx)); err != nil {
		return fmt.Errorf("query: rebuild %q: %w", p.name, err)
	}
	return nil
}

// rebuildable returns the channel, if the model can be rebuilt from it.
func (p *Projection) rebuildable(ctx context.Context) (event.Provisioner, error) {
	ch, ok := p.style.Channel().(event.Provisioner)
	if !ok {
		return nil, fmt.Errorf("the channel can't remove groups: %w", event.ErrNotSupported)
	}
	sub := p.main.sub.Load()
	for _, topic := range sub.Topics {
		g, err := p.style.Channel().Guarantees(ctx, topic, sub.Group)
		if err != nil {
			return nil, fmt.Errorf("topic %q: %w", topic, err)
		}
		if !g.History {
			return nil, fmt.Errorf("topic %q: %w (%s)", topic, event.ErrNoHistory, g.Channel)
		}
	}
	return ch, nil
}

// rebuild is one that runs.
type rebuild struct {
	p    *Projection
	ch   event.Provisioner
	feed *feed
	bus  *bus.Bus
	fail context.CancelCauseFunc

	mu    sync.Mutex
	dead  int
	first failure
}

// died notes an event that failed for good, and ends the rebuild.
func (r *rebuild) died(f failure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dead++; r.dead == 1 {
		r.first = f
		r.fail(errDead)
	}
}

var errDead = errors.New("an event failed for good")

// deadError returns what failed for good, or nil.
func (r *rebuild) deadError() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dead == 0 {
		return nil
	}
	s := r.first.step
	return fmt.Errorf("events that failed for good: %d, the first of them %q of topic %q at %v: %w",
		r.dead, s.ID, s.Topic, s.At, r.first.err)
}

// run builds the generation and lets it serve.
func (r *rebuild) run(ctx context.Context) error {
	if err := r.sweep(ctx); err != nil {
		return err
	}
	r.bus = r.p.style.Sibling()
	for _, subscribe := range r.p.subs {
		subscribe(r.bus, r.feed, bus.From(event.Oldest()))
	}
	r.feed.rest(r.bus)
	if err := r.bus.Start(ctx); err != nil {
		return err
	}
	for pause := minPause; ; pause = min(pause*3/2, maxPause) {
		done, err := r.step(ctx)
		if dead := r.deadError(); dead != nil && !done {
			return dead
		}
		if err != nil || done {
			return err
		}
		if err := rest(ctx, pause); err != nil && r.deadError() == nil {
			return err
		}
	}
}

// step looks whether the generation can serve.
func (r *rebuild) step(ctx context.Context) (bool, error) {
	done, err := r.p.model.Switch(ctx, r.feed.generation)
	if err != nil || done {
		return done, err
	}
	return false, r.skipEmpty(ctx)
}

// skipEmpty lets the generation be done with what the history doesn't have any more, or was
// sent to the projection's group alone, once its own group is owed nothing.
func (r *rebuild) skipEmpty(ctx context.Context) error {
	for _, topic := range r.feed.sub.Load().Topics {
		at, err := r.p.known(ctx, topic) // before: what is accepted later may be owed
		if err != nil {
			return err
		}
		lag, known, err := r.feed.lag(ctx, topic)
		if err != nil {
			return err
		}
		if !known || lag.Unsettled() > 0 { // what is dead has ended the rebuild, or nobody can handle it
			continue
		}
		for _, p := range at {
			if err := r.feed.skip(ctx, topic, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// known returns positions of a topic up to which events were accepted: where its lanes end, and
// where the generation is that serves.
func (p *Projection) known(ctx context.Context, topic string) ([]event.Position, error) {
	at, err := p.model.Reached(ctx, topic)
	if err != nil {
		return nil, err
	}
	if ch, ok := p.style.Channel().(event.Ends); ok {
		ends, err := ch.Ends(ctx, topic)
		if err != nil {
			return nil, fmt.Errorf("the ends of topic %q: %w", topic, err)
		}
		at = append(at, ends...)
	}
	return slices.DeleteFunc(at, func(p event.Position) bool { return !p.Valid() }), nil
}

// rest waits for d.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// sweep removes the groups that earlier rebuilds left: nobody else rebuilds now.
func (r *rebuild) sweep(ctx context.Context) error {
	ch, ok := r.p.style.Channel().(event.Census)
	if !ok {
		return nil
	}
	sub := r.p.main.sub.Load()
	for _, topic := range sub.Topics {
		groups, err := ch.Groups(ctx, topic)
		if err != nil {
			return fmt.Errorf("the groups of topic %q: %w", topic, err)
		}
		for _, g := range groups {
			number, ok := strings.CutPrefix(g.Group, sub.Group+rebuildMark)
			if _, err := strconv.Atoi(number); !ok || err != nil || g.Members > 0 {
				continue
			}
			if err := r.ch.RemoveGroup(ctx, g.Group, topic); err != nil {
				return fmt.Errorf("what an earlier rebuild left, group %q of topic %q: %w", g.Group, topic, err)
			}
		}
	}
	return nil
}

// removeWait is how long removing what was built may take.
const removeWait = 30 * time.Second

// remove ends the group of the rebuild.
func (r *rebuild) remove(ctx context.Context) error {
	if r.bus == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeWait)
	defer cancel()
	ended, end := context.WithCancel(ctx)
	end() // what its handlers still do counts for nothing: the projection's do it too
	var errs []error
	if err := r.bus.Shutdown(ended); err != nil {
		errs = append(errs, fmt.Errorf("the end of its Bus: %w", err))
	}
	if sub := r.feed.sub.Load(); sub != nil {
		if err := r.ch.RemoveGroup(ctx, sub.Group, sub.Topics...); err != nil {
			errs = append(errs, fmt.Errorf("the group %q is left: %w", sub.Group, err))
		}
	}
	return errors.Join(errs...)
}
