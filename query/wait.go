package query

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// waitAtMost is how long a Wait waits whose context has no deadline.
const waitAtMost = 30 * time.Second

// Wait waits until the model has what an event has changed, or a command: read your own writes.
// It returns nil when the model is done with an event of this id, or with one that was
// caused by it, and with everything that was accepted on the projection's topics before
// Wait was called, delayed events included. For a command, call it when the
// outcome is known ([command.Do] has returned): then the model has all its
// events, on all topics.
//
// The model remembers ids for a while only: Wait is for what has just happened. When ctx
// ends, or after 30 s where it has no deadline, the error says what was missing. Without [event.Ends]
// the channel can't tell: [ErrNoPositions]. Before Start, [bus.ErrNotStarted].
//
// Those who wait share looks at the model: after each commit of this process, and for those of
// others after 10 ms, growing to 250 ms.
//
// [command.Do]: https://pkg.go.dev/github.com/leat-go/leat/command#Do
func (p *Projection) Wait(ctx context.Context, id string) error {
	if p.main.sub.Load() == nil {
		return bus.ErrNotStarted
	}
	if _, ok := p.style.Channel().(event.Ends); !ok {
		return ErrNoPositions
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, waitAtMost)
		defer cancel()
	}
	w := &waiter{id: id, done: make(chan struct{})}
	p.looks.join(w)
	defer p.looks.leave(w)
	if p.looks.await(ctx, w) {
		return nil
	}
	return p.looks.missing(w, context.Cause(ctx))
}

// waiter is one who waits. Who has the turn alone changes it, but for done.
type waiter struct {
	id      string
	seen    bool
	reached bool
	ends    map[string][]event.Position // by topic; nil before the first look
	err     error                       // of the last look
	done    chan struct{}               // closed when both are true
}

// looks are those that all who wait share. One of them has the turn and looks for all; it hands
// the turn on when it is done.
type looks struct {
	p    *Projection
	turn chan struct{} // a token
	news chan struct{} // somebody joined, or something was committed

	mu  sync.Mutex
	all map[*waiter]struct{}
}

func (l *looks) init(p *Projection) {
	l.p, l.all = p, make(map[*waiter]struct{})
	l.turn, l.news = make(chan struct{}, 1), make(chan struct{}, 1)
	l.turn <- struct{}{}
}

func (l *looks) join(w *waiter) {
	l.mu.Lock()
	l.all[w] = struct{}{}
	l.mu.Unlock()
	l.signal()
}

func (l *looks) leave(w *waiter) {
	l.mu.Lock()
	delete(l.all, w)
	l.mu.Unlock()
}

// wake lets who waits look: something was committed.
func (l *looks) wake() {
	l.mu.Lock()
	some := len(l.all) > 0
	l.mu.Unlock()
	if some {
		l.signal()
	}
}

func (l *looks) signal() {
	select {
	case l.news <- struct{}{}:
	default: // a signal is there already
	}
}

// await waits until w is done, and reports whether it is; with the turn it looks for all.
func (l *looks) await(ctx context.Context, w *waiter) bool {
	select {
	case <-w.done:
		return true
	case <-ctx.Done():
		return w.isDone()
	case <-l.turn:
	}
	defer func() { l.turn <- struct{}{} }()
	for pause := minPause; !w.isDone(); {
		l.look(ctx)
		if w.isDone() {
			break
		}
		again, woken := l.pause(ctx, w, pause)
		if !again {
			break
		}
		if pause = min(pause*3/2, maxPause); woken {
			pause = minPause
		}
	}
	return w.isDone()
}

func (w *waiter) isDone() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// The pauses between looks: the first, the longest, and the shortest.
const (
	minPause  = 10 * time.Millisecond
	maxPause  = 250 * time.Millisecond
	breathing = time.Millisecond // so that many commits are one look
)

// pause waits for news, or for the time to look again; again is false when ctx has ended.
func (l *looks) pause(ctx context.Context, w *waiter, d time.Duration) (again, woken bool) {
	breath := time.NewTimer(breathing)
	defer breath.Stop()
	select {
	case <-ctx.Done():
		return false, false
	case <-breath.C:
	}
	timer := time.NewTimer(d - breathing)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false, false
	case <-w.done:
		return true, false
	case <-timer.C:
		return true, false
	case <-l.news:
		return true, true
	}
}

// look looks once for all who wait.
func (l *looks) look(ctx context.Context) {
	l.mu.Lock()
	var all []*waiter
	for w := range l.all {
		if !w.isDone() {
			all = append(all, w)
		}
	}
	l.mu.Unlock()
	err := l.see(ctx, all)
	if err == nil {
		err = l.reach(ctx, all)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range all {
		if ctx.Err() == nil {
			w.err = err
		}
		if w.seen && w.reached {
			close(w.done)
		}
	}
}

// see asks for the ids of those whose event wasn't seen.
func (l *looks) see(ctx context.Context, all []*waiter) error {
	if err := l.setEnds(ctx, all); err != nil { // before: what is seen later may have come later
		return err
	}
	var ids []string
	var of []*waiter
	for _, w := range all {
		if !w.seen {
			ids, of = append(ids, w.id), append(of, w)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	seen, err := l.p.model.Seen(ctx, ids...)
	if err != nil {
		return err
	}
	if len(seen) != len(of) {
		return fmt.Errorf("query: the model was asked for %d ids, and has %d answers", len(of), len(seen))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, w := range of {
		w.seen = seen[i]
	}
	return nil
}

// setEnds asks where the topics end, for those who have come since the last look.
func (l *looks) setEnds(ctx context.Context, all []*waiter) error {
	var fresh []*waiter
	for _, w := range all {
		if w.ends == nil {
			fresh = append(fresh, w)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	ends, err := l.p.ends(ctx)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range fresh {
		w.ends = ends
	}
	return nil
}

// ends returns where the projection's topics end.
func (p *Projection) ends(ctx context.Context) (map[string][]event.Position, error) {
	ch, ok := p.style.Channel().(event.Ends)
	if !ok {
		return nil, ErrNoPositions
	}
	all := make(map[string][]event.Position)
	for _, topic := range p.main.sub.Load().Topics {
		ends, err := ch.Ends(ctx, topic)
		if err != nil {
			return nil, fmt.Errorf("query: the ends of topic %q: %w", topic, err)
		}
		all[topic] = ends
	}
	return all, nil
}

// reach asks how far the model is.
func (l *looks) reach(ctx context.Context, all []*waiter) error {
	behind := false
	for _, w := range all {
		behind = behind || !w.reached
	}
	if !behind {
		return nil
	}
	reached := make(map[string]map[int32]int64)
	for _, topic := range l.p.main.sub.Load().Topics {
		at, err := l.p.model.Reached(ctx, topic)
		if err != nil {
			return err
		}
		reached[topic] = lanes(at)
		if unknown(all, topic, reached[topic]) {
			if err := l.p.base(ctx, topic, reached[topic]); err != nil {
				return err
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range all {
		w.reached = w.reached || w.isReached(reached)
	}
	return nil
}

func lanes(at []event.Position) map[int32]int64 {
	m := make(map[int32]int64, len(at))
	for _, p := range at {
		m[p.Lane] = p.Offset
	}
	return m
}

// isReached reports whether all ends are.
func (w *waiter) isReached(reached map[string]map[int32]int64) bool {
	for topic, ends := range w.ends {
		for _, end := range ends {
			if reached[topic][end.Lane] < end.Offset {
				return false
			}
		}
	}
	return true
}

// unknown reports whether somebody waits for a lane that the model knows nothing of.
func unknown(all []*waiter, topic string, reached map[int32]int64) bool {
	for _, w := range all {
		for _, end := range w.ends[topic] {
			if _, known := reached[end.Lane]; !known {
				return true
			}
		}
	}
	return false
}

// base lets the model know the lanes that it knows nothing of, once the group is owed nothing:
// what was accepted there before the group began isn't its.
func (p *Projection) base(ctx context.Context, topic string, reached map[int32]int64) error {
	ends, err := p.style.Channel().(event.Ends).Ends(ctx, topic) //nolint:forcetypeassert // Wait has looked
	if err != nil {
		return fmt.Errorf("query: the ends of topic %q: %w", topic, err)
	}
	lag, known, err := p.main.lag(ctx, topic)
	if err != nil || !known || lag.Unsettled() > 0 || lag.Dead > 0 {
		return err
	}
	for _, end := range ends {
		if _, known := reached[end.Lane]; known {
			continue
		}
		if err := p.main.skip(ctx, topic, end); err != nil {
			return err
		}
		reached[end.Lane] = end.Offset
	}
	return nil
}

// lag returns how far the feed's group is behind on a topic, if the channel knows.
func (f *feed) lag(ctx context.Context, topic string) (event.Lag, bool, error) {
	ch, ok := f.p.style.Channel().(event.LagReporter)
	if !ok {
		return event.Lag{}, false, nil
	}
	lag, err := ch.Lag(ctx, topic, f.sub.Load().Group)
	if err != nil {
		return event.Lag{}, false, fmt.Errorf("query: how far behind on topic %q: %w", topic, err)
	}
	return lag, true, nil
}

// skip lets the model be done with a lane up to its end: the group is owed nothing there.
func (f *feed) skip(ctx context.Context, topic string, end event.Position) error {
	return f.p.model.Pass(ctx, Step{Generation: f.generation, Topic: topic, At: end, Gap: end.Offset - 1}, false)
}

// missing says what a Wait has waited for in vain.
func (l *looks) missing(w *waiter, cause error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	what := fmt.Sprintf("projection %q has no event by this id, or caused by it, yet", l.p.name)
	if w.seen {
		what = fmt.Sprintf("projection %q has it, but not all that was accepted before", l.p.name)
	}
	return fmt.Errorf("query: wait for %q: %s: %w", w.id, what, errors.Join(cause, w.err))
}
