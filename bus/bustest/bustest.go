package bustest

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// horizon is how long Settle lets things go on: 30 days of virtual time, or 30 s
// of real time.
const (
	horizon     = 30 * 24 * time.Hour
	realHorizon = 30 * time.Second
)

// Bus is a bus under test. It starts by itself at the first Publish or Settle;
// until then handlers can be registered with the embedded Bus.
type Bus struct {
	*bus.Bus

	t        testing.TB
	channel  *memory.Channel
	recorder *recorder
	virtual  bool
	started  bool
}

type options struct {
	real   bool
	config func(*bus.Config)
	memory []memory.Option
	faults *badDay
}

// Option changes how [Run] runs a test.
type Option func(*options)

// RealTime runs the test on the real clock, outside of a bubble: for handlers that
// talk to a real database.
func RealTime() Option { return func(o *options) { o.real = true } }

// Config changes the configuration of the Bus: its App, catalog, middlewares.
// The channel is bustest's own.
func Config(change func(*bus.Config)) Option { return func(o *options) { o.config = change } }

// Memory adds options of the memory channel.
func Memory(opts ...memory.Option) Option {
	return func(o *options) { o.memory = append(o.memory, opts...) }
}

// Run calls f with a Bus on a memory channel of its own, and shuts it down
// afterwards.
func Run(t *testing.T, f func(t *testing.T, b *Bus), opts ...Option) {
	t.Helper()
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	if o.faults != nil {
		if err := o.faults.choose(); err != nil {
			t.Fatal(err)
		}
		o.memory = append(o.memory, memory.WithFaults(o.faults.Faults))
	}
	if o.real {
		run(t, f, o)
		return
	}
	defer func() { o.faults.tell(t, recover()) }() // a bubble that is stuck panics here
	synctest.Test(t, func(t *testing.T) { run(t, f, o) })
}

func run(t *testing.T, f func(t *testing.T, b *Bus), o options) {
	b := newBus(t, o)
	defer func() { o.faults.tell(t, recover()) }()
	defer b.stop()
	f(t, b)
}

func newBus(t testing.TB, o options) *Bus {
	t.Helper()
	b := &Bus{
		t:        t,
		channel:  memory.New(append([]memory.Option{memory.Encode()}, o.memory...)...),
		recorder: newRecorder(),
		virtual:  !o.real,
	}
	b.recorder.tracing = true
	c := bus.Config{NewID: new(ids).next}
	if o.config != nil {
		o.config(&c)
	}
	c.Channel = b.channel
	c.Hooks = append(c.Hooks, b.recorder)
	b.Bus = bus.New(c)
	return b
}

// stop ends the Bus at the end of the test. What is still running then is ended
// with it: that a test does not wait is no failure.
func (b *Bus) stop() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.t.Context()))
	cancel()
	if err := b.Shutdown(ctx); err != nil {
		b.t.Logf("bustest: %v", err)
	}
}

// Start starts the Bus now, and fails the test when it can't.
func (b *Bus) Start() {
	b.t.Helper()
	if b.started {
		return
	}
	b.started = true
	if b.Ready() == nil { // the application's own code did it
		return
	}
	if err := b.Bus.Start(b.t.Context()); err != nil {
		b.t.Fatalf("bustest: %v", err)
	}
}

// Publish publishes v from outside of any handler, and fails the test when it is
// refused. For a publish with a context use b.Bus.Publish.
func (b *Bus) Publish(v any, opts ...bus.PublishOption) {
	b.t.Helper()
	b.Start()
	if err := b.publish(v, opts); err != nil {
		b.t.Fatalf("bustest: %v", err)
	}
}

// Settle waits until all work is done that the test has caused: retries, delayed
// events, and what runs after a settlement. It fails the test, with the story so far, when that takes more
// than 30 days of virtual time (30 s with [RealTime]).
func (b *Bus) Settle() {
	b.t.Helper()
	b.Start()
	limit := realHorizon
	if b.virtual {
		limit = horizon
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), limit)
	defer cancel()
	for settled := false; !settled; {
		before := len(b.recorder.published())
		err := b.channel.Quiet(ctx)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			b.t.Fatalf("bustest: still not settled after %v\n%s", limit, b.Story())
		default: // ErrClosed, after a Drain or a Shutdown
			b.t.Fatalf("bustest: Settle: %v\n%s", err, b.Story())
		}
		if b.virtual {
			synctest.Wait()
		}
		if !b.awaitHands(ctx) {
			b.t.Fatalf("bustest: still not settled after %v: something runs on after its settlement\n%s", limit, b.Story())
		}
		settled = len(b.recorder.published()) == before // what follows a settlement may publish
	}
}

// awaitHands waits until nothing is in hand any more: what is settled may have
// functions that run afterwards. It reports whether that was so before ctx ended.
func (b *Bus) awaitHands(ctx context.Context) bool {
	longest := 50 * time.Millisecond
	if b.virtual {
		longest = time.Hour
	}
	for tick := time.Millisecond; b.inHand(); tick = min(2*tick, longest) {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(tick):
		}
	}
	return true
}

func (b *Bus) inHand() bool {
	return slices.ContainsFunc(b.Status(), func(s bus.GroupStatus) bool { return s.InHand > 0 })
}

// DeadLetters returns the dead letters of a group.
func (b *Bus) DeadLetters(group string) []event.DeadLetter {
	b.t.Helper()
	var all []event.DeadLetter
	for d, err := range b.Bus.DeadLetters(b.t.Context(), group) {
		if err != nil {
			b.t.Fatalf("bustest: %v", err)
		}
		all = append(all, d)
	}
	return all
}
