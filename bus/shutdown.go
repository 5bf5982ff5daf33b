package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leat-go/leat/event"
)

// closing is a shutdown that runs or has ended.
type closing struct {
	ctx  context.Context // ends with the first of those of its callers
	end  context.CancelFunc
	done chan struct{}
	err  error // once done
}

// Shutdown stops in order: no more deliveries are taken, and what no handler has
// begun goes back to the channel; handlers that run may finish until ctx ends, then
// their contexts are cancelled with [event.ErrClosed] and they have
// Config.CancelGrace to return; what succeeded is acknowledged, the rest goes back
// and is not counted as a failure. Then the channel is closed, unless
// Config.KeepChannel. Shutdown returns by then whatever still runs, with an error
// if something does. A Start that is at work may come to its end until ctx ends, and
// is cancelled then.
//
// Later calls wait for the first and return its error; the first end of a context
// counts for all. Under the context of a handler of the same Bus, which it would wait
// for, it is refused.
func (b *Bus) Shutdown(ctx context.Context) error {
	if b.runs(ctx) || b.runsBatch(ctx) {
		return errOwnHandler
	}
	c, first := b.beginClosing(ctx)
	stop := context.AfterFunc(ctx, c.end)
	defer stop()
	if first {
		go func() {
			defer c.end()
			c.err = b.shutdown(c.ctx)
			close(c.done)
		}()
	}
	<-c.done
	return c.err
}

var errOwnHandler = errors.New("bus: shutdown under the context of a handler would wait for that handler")

// beginClosing returns the one shutdown of the Bus and whether it begins now.
func (b *Bus) beginClosing(ctx context.Context) (*closing, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing != nil {
		return b.closing, false
	}
	c := &closing{done: make(chan struct{})}
	c.ctx, c.end = context.WithCancel(context.WithoutCancel(ctx))
	b.closing = c
	b.shut()
	return c, true
}

func (b *Bus) shutdown(ctx context.Context) error {
	hard, cancel := graced(ctx, b.cfg.CancelGrace)
	defer cancel()
	b.awaitStart(ctx, hard)
	was := state(b.state.Swap(int32(stateClosed)))
	b.refuse()
	var errs []error
	switch was {
	case stateNew, stateClosed:
	case stateStarting: // it will find that it is too late
		errs = append(errs, errors.New("bus: Start still runs"))
	case stateStarted, stateDraining:
		<-b.startThatRan().done
		errs = append(b.closeGroups(ctx, hard), b.closeStyles(hard)...)
		b.mu.Lock()
		stop := b.stop
		b.mu.Unlock()
		if stop != nil {
			stop()
		}
	}
	if !b.cfg.KeepChannel {
		if err := b.cfg.Channel.Close(hard); err != nil {
			errs = append(errs, fmt.Errorf("bus: close the channel: %w", err))
		}
	}
	return errors.Join(errs...)
}

// awaitStart lets a Start that runs end first, and ends it when ctx ends.
func (b *Bus) awaitStart(ctx, hard context.Context) {
	s := b.startThatRan()
	if s == nil {
		return
	}
	select {
	case <-s.done:
		return
	case <-ctx.Done():
	}
	s.aborted.Store(true)
	s.abort()
	select {
	case <-s.done:
	case <-hard.Done():
	}
}

// startThatRan returns the Start that runs, or ran last. Of a Bus that is started it is
// the one that did it.
func (b *Bus) startThatRan() *starting {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.starting
}

func (b *Bus) closeGroups(ctx, hard context.Context) []error {
	groups := b.started()
	errs := make([]error, len(groups))
	var wg sync.WaitGroup
	for i, g := range groups {
		wg.Go(func() { errs[i] = g.close(ctx, hard) })
	}
	wg.Wait()
	return errs
}

// graced returns a context that ends d after ctx.
func graced(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var timer *time.Timer
	var mu sync.Mutex
	stop := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		timer = time.AfterFunc(d, cancel)
	})
	return hard, func() {
		stop()
		mu.Lock()
		if timer != nil {
			timer.Stop()
		}
		mu.Unlock()
		cancel()
	}
}

// close ends the group: by hard whatever still runs.
func (g *group) close(ctx, hard context.Context) error {
	g.beginClosing()
	g.awaitGiveBack(ctx)
	closed := make(chan error, 1)
	go func() { closed <- g.consumer.Close(ctx) }()
	var err error
	select {
	case err = <-closed:
		for _, ended := range []chan struct{}{g.fetched, g.empty} { // Receive ends by now
			select {
			case <-ended:
			case <-hard.Done():
			}
		}
	case <-hard.Done():
	}
	return errors.Join(err, g.stop())
}

// awaitGiveBack waits until the fetcher has given back what waits for retries, with
// what is left of their delays: what is left to the consumer goes back without. That
// takes a moment, which there is even when ctx has ended.
func (g *group) awaitGiveBack(ctx context.Context) {
	select {
	case <-g.fetched:
		return
	case <-ctx.Done():
	}
	moment := time.NewTimer(g.b.cfg.CancelGrace / 4)
	defer moment.Stop()
	select {
	case <-g.fetched:
	case <-moment.C:
	}
}

// beginClosing takes no more deliveries and forgets those that were not begun:
// they go back with the consumer.
func (g *group) beginClosing() {
	g.mu.Lock()
	g.closing = true
	receive := g.receive
	g.forgetGathered()
	for range g.ready.len() {
		it := g.ready.pop()
		switch {
		case it.batch != nil:
			g.forgetBatch(it)
		case it.step == stepRun:
			g.complete(it)
		default:
			g.ready.push(it)
		}
	}
	if !g.gives.GivesBack {
		g.dropHeld()
	}
	if g.inHand == 0 {
		g.markEmpty()
	}
	g.mu.Unlock()
	if receive != nil {
		receive()
	}
	signal(g.fetch)
	signal(g.kick)
}

// dropHeld forgets what waits in hand, but for settlements: it goes back with the
// consumer. mu is held.
func (g *group) dropHeld() {
	var keep []*item
	for g.held.Len() > 0 {
		it := g.held[0]
		g.unhold(it)
		if it.step == stepSettle {
			keep = append(keep, it)
			continue
		}
		g.complete(it)
	}
	for _, it := range keep {
		it.due = time.Time{}
		g.putHeld(it)
	}
}

// stop ends the goroutines. Those of handlers that don't return are left behind.
func (g *group) stop() error {
	g.mu.Lock()
	g.stopped = true
	busy := g.workers - g.idle
	left := g.inHand
	g.mu.Unlock()
	signal(g.wake)
	signal(g.kick)
	select {
	case <-g.fetched:
	default: // the engine did not end its Receive
		left = max(left, 1)
	}
	if left > 0 {
		g.cancel()
		return fmt.Errorf("bus: group %q: %w: %d handlers, %d deliveries in hand", g.name, errStuck, busy, left)
	}
	g.running.Wait()
	g.cancel()
	return nil
}

// LeftError is returned by a Drain that did not end in time.
type LeftError struct {
	Groups  []GroupLag // with something left
	Unknown bool       // the channel can't tell what is left
	Err     error      // why the wait ended
}

// Error names what each group is still owed.
func (e *LeftError) Error() string {
	if e.Unknown {
		return "bus: drain: the channel can't tell whether something is left"
	}
	var sb strings.Builder
	sb.WriteString("bus: drain: not everything is handled")
	for _, l := range e.Groups {
		fmt.Fprintf(&sb, "; group %q is owed %d events of topic %q", l.Group, l.Lag.Unsettled(), l.Topic)
	}
	if e.Err != nil {
		sb.WriteString(": " + e.Err.Error())
	}
	return sb.String()
}

// Unwrap returns why the wait ended.
func (e *LeftError) Unwrap() error { return e.Err }

// Drain refuses publishes from outside, goes on until everything that is owed to
// the groups of this Bus is settled, retries included, and shuts down. When ctx
// ends before, it shuts down and returns a *[LeftError] that counts what is left:
// nothing of it is lost. On a channel that can't tell what is owed it shuts down
// at once and says so by LeftError.Unknown. Called again it shuts down without
// waiting any longer. Under the context of a handler of the same Bus it is refused,
// as Shutdown is.
func (b *Bus) Drain(ctx context.Context) error {
	if b.runs(ctx) || b.runsBatch(ctx) {
		return errOwnHandler
	}
	if !b.state.CompareAndSwap(int32(stateStarted), int32(stateDraining)) {
		if s := b.is(); s == stateNew || s == stateStarting {
			return ErrNotStarted
		}
		return b.Shutdown(ctx)
	}
	b.refuse()
	for _, g := range b.started() {
		g.hurry()
	}
	settling, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(b.shutting, func() { cancel(event.ErrClosed) }) // by somebody else
	defer stop()
	left := b.settleAll(settling)
	if left == nil {
		// A publish from outside may have passed the state before it changed. Either it
		// is over by now, and this waits for its event; or it returns an error.
		b.drained.Store(true)
		left = b.settleAll(settling)
	}
	err := b.Shutdown(ctx)
	if left != nil {
		return errors.Join(left, err)
	}
	return err
}

// hurry lets batches run with what comes together in a moment: publishers are refused
// by now.
func (g *group) hurry() {
	g.mu.Lock()
	g.hurries = true
	g.mu.Unlock()
	signal(g.kick)
}

func (b *Bus) settleAll(ctx context.Context) error {
	groups := b.started()
	if len(groups) == 0 {
		return nil
	}
	quiescer, ok := b.cfg.Channel.(event.Quiescer)
	if !ok {
		return &LeftError{Unknown: true}
	}
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = g.wire
	}
	if err := quiescer.Quiet(ctx, names...); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return &LeftError{Groups: b.left(ctx), Err: err}
	}
	return nil
}

// left counts what the groups are owed, as far as it can be told.
func (b *Bus) left(ctx context.Context) []GroupLag {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.cfg.CancelGrace)
	defer cancel()
	all, _ := b.Lag(ctx)
	return slices.DeleteFunc(all, func(l GroupLag) bool { return l.Lag.Unsettled() == 0 })
}
