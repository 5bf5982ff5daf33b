package channeltest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leat-go/leat/event"
)

// env is what a case works with: a channel, names that nobody else uses, and an
// account of all that happened.
type env struct {
	*spec

	t       testing.TB
	promise string
	start   time.Time
	ctx     context.Context // ends with the case
	story   story
	ledger  *ledger
	broken  atomic.Bool
	shaken  atomic.Bool // something in hand was taken away, and the case did not ask for it
	hangs   bool        // it did not end in time
	over    atomic.Bool // the case has ended: what its goroutines see now is nobody's business
	unique  string      // part of all names

	mu        sync.Mutex
	wrong     []string // what is broken
	ch        event.Channel
	producers map[string]event.Producer
	members   []*member
	joined    map[string]int // members so far by group
}

func newEnv(t testing.TB, s *spec, c testCase) *env {
	t.Helper()
	e := &env{
		spec: s, t: t, promise: c.promise, start: time.Now(), ctx: t.Context(),
		unique:    uniqueName(s, c),
		producers: map[string]event.Producer{},
		joined:    map[string]int{},
	}
	e.story.start = e.start
	e.ledger = newLedger(s)
	return e
}

// uniqueName returns what no other case has in its names. On a channel with faults it
// follows from the seed.
func uniqueName(s *spec, c testCase) string {
	if s.Faulty {
		return fmt.Sprintf("%08x-%d", hashOf(c.promise), s.Seed)
	}
	id := strings.ToLower(event.NewID())
	return id[len(id)-10:]
}

// run runs f in a goroutine of its own, so that a channel that hangs is told by
// the story of the case and not by the end of the whole test.
func (e *env) run(f func(e *env)) {
	e.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(e.ctx))
	e.ctx = ctx
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { e.tellPanic(e.t, recover()) }()
		f(e)
	}()
	limit := time.NewTimer(e.limit())
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
		e.hangs = true
		e.errorf("the case hangs: it did not end in %v; stacks:\n%s", e.limit(), stacks())
	}
	if wrong := e.ledger.tooManyRepeats(); wrong != "" {
		e.errorf("%s", wrong)
	}
	if wrong := e.ledger.inTwoHands(); wrong != "" {
		e.errorf("%s", wrong)
	}
	shaken := e.shaken.Load()
	e.cleanUp()
	e.shaken.Store(shaken) // members that are closed one by one take from each other
	e.over.Store(true)
	if e.Bubble && e.broken.Load() {
		cancel()
		<-time.After(e.Patience) // costs nothing, and lets the goroutines of a broken case end
	}
}

// limit is when a case is taken for hanging.
func (e *env) limit() time.Duration {
	return 30*e.Patience + 20*e.Delay + 50*e.Silence + 20*e.Guarantees.Lease
}

func stacks() string {
	b := make([]byte, 64<<10)
	return string(b[:runtime.Stack(b, true)])
}

// errorf tells that the promise is broken.
func (e *env) errorf(format string, args ...any) {
	if e.over.Load() {
		return
	}
	text := fmt.Sprintf(format, args...)
	e.story.addf("BROKEN: %s", text)
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.broken.Swap(true) { // with the text: whoever sees one finds the other
		text += "\n\tThe promise: " + e.promise
		if e.Faulty {
			text += fmt.Sprintf("\n\tThe faults: seed %d", e.Seed)
		}
	}
	e.wrong = append(e.wrong, text)
}

// fatalf is errorf and ends the goroutine.
func (e *env) fatalf(format string, args ...any) {
	e.t.Helper()
	e.errorf(format, args...)
	runtime.Goexit()
}

// cleanUp closes what the case left open. A broken case may leave a channel
// behind that can't be closed.
func (e *env) cleanUp() {
	broken := e.broken.Load()
	for _, m := range e.allMembers() {
		if m.gone.Swap(true) {
			continue
		}
		ctx, cancel := context.WithCancel(e.ctx)
		cancel() // nobody handles anything any more
		var err error
		returned := e.returns(e.Patience, func() { err = m.c.Close(ctx) })
		if !broken && !returned {
			e.errorf("at the end of the case, Consumer.Close of %s did not return in %v though its context had ended", m.name, e.Patience)
		}
		if !broken && err != nil && !errors.Is(err, context.Canceled) {
			e.errorf("at the end of the case, Consumer.Close of %s: %v", m.name, err)
		}
	}
	e.mu.Lock()
	ch := e.ch
	e.mu.Unlock()
	if ch == nil {
		return
	}
	ctx, cancel := context.WithTimeout(e.ctx, e.Patience)
	defer cancel()
	var err error
	returned := e.returns(2*e.Patience, func() { err = ch.Close(ctx) })
	if !broken && !returned {
		e.errorf("at the end of the case, Channel.Close did not return in %v", 2*e.Patience)
	}
	if !broken && err != nil && !errors.Is(err, event.ErrClosed) {
		e.errorf("at the end of the case, Channel.Close: %v", err)
	}
}

// returns calls f in a goroutine and reports whether it returned in d.
func (e *env) returns(d time.Duration, f func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { e.tellPanic(e.t, recover()) }()
		f()
	}()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// within calls f and fails when it doesn't return in d.
func (e *env) within(d time.Duration, what string, f func()) {
	e.t.Helper()
	if !e.returns(d, f) {
		e.fatalf("%s did not return in %v", what, d)
	}
	e.stopIfBroken()
}

// start runs f in a goroutine and returns a channel that is closed when it returned.
func (e *env) async(f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { e.tellPanic(e.t, recover()) }()
		f()
	}()
	return done
}

// wait waits for a channel to be closed.
func (e *env) wait(d time.Duration, done <-chan struct{}, what string, args ...any) {
	e.t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		e.fatalf("waited %v in vain for this: %s", d, fmt.Sprintf(what, args...))
	}
	e.stopIfBroken()
}

// stopIfBroken ends a case after another goroutine of it failed.
func (e *env) stopIfBroken() {
	if e.broken.Load() {
		runtime.Goexit()
	}
}

// await waits until cond is true. cond is asked again after whatever happens to a
// delivery.
func (e *env) await(d time.Duration, cond func() bool, what func() string) {
	e.t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		changed := e.ledger.changes()
		e.stopIfBroken()
		if cond() {
			return
		}
		select {
		case <-changed:
		case <-timer.C:
			e.fatalf("waited %v in vain for this: %s", d, what())
		}
	}
}

// poll asks f again and again until it is content. f returns what it sees.
func (e *env) poll(what string, f func() (ok bool, seen string)) {
	e.t.Helper()
	deadline := time.NewTimer(e.Patience)
	defer deadline.Stop()
	pause := max(e.Patience/500, time.Millisecond)
	if !e.Bubble {
		pause = min(pause, 50*time.Millisecond)
	}
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		ok, seen := f()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			e.fatalf("waited %v in vain for this: %s; it is still so: %s", e.Patience, what, seen)
		}
	}
}

// pass lets time pass.
func (e *env) pass(d time.Duration) {
	if d <= 0 {
		return // timers that are due at once, several at a time in a bubble, crash the race detector (Go 1.26, 1.27)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-e.ctx.Done():
	}
}

// patient returns a context that ends when patience does.
func (e *env) patient() (context.Context, context.CancelFunc) {
	return context.WithTimeout(e.ctx, e.Patience)
}

// open returns the channel of the case.
func (e *env) open() event.Channel {
	e.mu.Lock()
	ch := e.ch
	e.mu.Unlock()
	if ch != nil {
		return ch
	}
	ch = e.Open(e.t)
	e.use(ch)
	return ch
}

// use makes ch the channel of the case.
func (e *env) use(ch event.Channel) {
	if ch == nil {
		e.fatalf("the harness returned no channel")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ch = ch
	clear(e.producers)
}

// as returns the channel's capability.
func as[T any](e *env) T {
	c, ok := e.open().(T)
	if !ok {
		e.fatalf("the channel is not a %T though it is declared to be", (*T)(nil))
	}
	return c
}

// name returns a name that no other case uses.
func (e *env) name(name string) string { return name + "-" + e.unique }

// group returns a name for a group.
func (e *env) group(name string) string { return e.Group(e.name(name)) }

// topic returns a topic.
func (e *env) topic(name string) string {
	topic := e.Topic(e.name(name))
	e.prepare(topic)
	return topic
}

// prepare makes a topic with a few partitions where the channel can.
func (e *env) prepare(topic string) {
	p, ok := e.open().(event.Provisioner)
	if !ok {
		return
	}
	ctx, cancel := e.patient()
	defer cancel()
	if err := p.EnsureTopic(ctx, event.TopicSpec{Name: topic, Partitions: 4}); err != nil {
		e.fatalf("EnsureTopic(%q): %v", topic, err)
	}
}

func (e *env) allMembers() []*member {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.members
}
