package channeltest

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// A suite that can't fail is worth nothing. The channels here are the one in memory
// with one promise broken, each in another way, and each must be caught.

// faulty is a channel with a fault.
type faulty struct {
	*memory.Channel

	fault
	released chan struct{} // at the end of a case, for what hangs
	topics   sync.Map      // for faults that need them
}

// fault replaces what is set.
type fault struct {
	subscribe func(f *faulty, s *event.Subscription)
	consumer  func(f *faulty, c *faultyConsumer)
	producer  func(f *faulty, topic string, p *faultyProducer)

	lease        time.Duration // said
	parksNot     bool          // said
	closeChannel func(f *faulty, ctx context.Context) error
	redrive      func(f *faulty, ctx context.Context, d event.DeadLetter, repaired ...event.Event) error
	redriveKey   func(f *faulty, ctx context.Context, topic, group, key string) (int, error)
	discard      func(f *faulty, ctx context.Context, d event.DeadLetter) error
	letter       func(d *event.DeadLetter) bool
	produceTo    func(f *faulty, ctx context.Context, group, topic string, mark event.Mark, events ...event.Event) error
	cancel       func(f *faulty, ctx context.Context, topic, id string) (bool, error)
	groups       func(gs []event.GroupInfo) []event.GroupInfo
	lag          func(l *event.Lag)
	ends         func(f *faulty, ctx context.Context, topic string) ([]event.Position, error)
	quiet        func(f *faulty, ctx context.Context, groups ...string) error
	seek         func(f *faulty, ctx context.Context, topic, group string, to event.Start) error
	removeGroup  func(f *faulty, ctx context.Context, group string, topics ...string) error
	ensureGroup  func(f *faulty, ctx context.Context, group string, from event.Start, topics ...string) error
}

func (f *faulty) Producer(ctx context.Context, topic string) (event.Producer, error) {
	p, err := f.Channel.Producer(ctx, topic)
	if err != nil {
		return nil, err
	}
	fp := &faultyProducer{Producer: p, produce: p.Produce, at: p.(event.PositionProducer).ProduceAt}
	if f.producer != nil {
		f.producer(f, topic, fp)
	}
	return fp, nil
}

func (f *faulty) Consumer(ctx context.Context, s event.Subscription) (event.Consumer, error) {
	if f.subscribe != nil {
		f.subscribe(f, &s)
	}
	c, err := f.Channel.Consumer(ctx, s)
	if err != nil {
		return nil, err
	}
	fc := &faultyConsumer{Consumer: c, sub: s, receive: c.Receive, begin: c.Begin, hold: c.Hold, settle: c.Settle, close: c.Close}
	if f.consumer != nil {
		f.consumer(f, fc)
	}
	return fc, nil
}

func (f *faulty) Guarantees(ctx context.Context, topic, group string) (event.Guarantees, error) {
	g, err := f.Channel.Guarantees(ctx, topic, group)
	if f.lease > 0 {
		g.Lease = f.lease
	}
	g.Parks = g.Parks && !f.parksNot
	return g, err
}

func (f *faulty) Close(ctx context.Context) error {
	if f.closeChannel != nil {
		return f.closeChannel(f, ctx)
	}
	return f.Channel.Close(ctx)
}

func (f *faulty) Redrive(ctx context.Context, d event.DeadLetter, repaired ...event.Event) error {
	if f.redrive != nil {
		return f.redrive(f, ctx, d, repaired...)
	}
	return f.Channel.Redrive(ctx, d, repaired...)
}

func (f *faulty) RedriveKey(ctx context.Context, topic, group, key string) (int, error) {
	if f.redriveKey != nil {
		return f.redriveKey(f, ctx, topic, group, key)
	}
	return f.Channel.RedriveKey(ctx, topic, group, key)
}

func (f *faulty) Discard(ctx context.Context, d event.DeadLetter) error {
	if f.discard != nil {
		return f.discard(f, ctx, d)
	}
	return f.Channel.Discard(ctx, d)
}

func (f *faulty) DeadLetters(ctx context.Context, topic, group string) iter.Seq2[event.DeadLetter, error] {
	return func(yield func(event.DeadLetter, error) bool) {
		for d, err := range f.Channel.DeadLetters(ctx, topic, group) {
			if err == nil && f.letter != nil && !f.letter(&d) {
				continue
			}
			if !yield(d, err) {
				return
			}
		}
	}
}

func (f *faulty) ProduceTo(ctx context.Context, group, topic string, mark event.Mark, events ...event.Event) error {
	if f.produceTo != nil {
		return f.produceTo(f, ctx, group, topic, mark, events...)
	}
	return f.Channel.ProduceTo(ctx, group, topic, mark, events...)
}

func (f *faulty) Cancel(ctx context.Context, topic, id string) (bool, error) {
	if f.cancel != nil {
		return f.cancel(f, ctx, topic, id)
	}
	return f.Channel.Cancel(ctx, topic, id)
}

func (f *faulty) Groups(ctx context.Context, topic string) ([]event.GroupInfo, error) {
	gs, err := f.Channel.Groups(ctx, topic)
	if f.groups != nil {
		gs = f.groups(gs)
	}
	return gs, err
}

func (f *faulty) Lag(ctx context.Context, topic, group string) (event.Lag, error) {
	l, err := f.Channel.Lag(ctx, topic, group)
	if f.lag != nil {
		f.lag(&l)
	}
	return l, err
}

func (f *faulty) Ends(ctx context.Context, topic string) ([]event.Position, error) {
	if f.ends != nil {
		return f.ends(f, ctx, topic)
	}
	return f.Channel.Ends(ctx, topic)
}

func (f *faulty) Quiet(ctx context.Context, groups ...string) error {
	if f.quiet != nil {
		return f.quiet(f, ctx, groups...)
	}
	return f.Channel.Quiet(ctx, groups...)
}

func (f *faulty) Seek(ctx context.Context, topic, group string, to event.Start) error {
	if f.seek != nil {
		return f.seek(f, ctx, topic, group, to)
	}
	return f.Channel.Seek(ctx, topic, group, to)
}

func (f *faulty) RemoveGroup(ctx context.Context, group string, topics ...string) error {
	if f.removeGroup != nil {
		return f.removeGroup(f, ctx, group, topics...)
	}
	return f.Channel.RemoveGroup(ctx, group, topics...)
}

func (f *faulty) EnsureGroup(ctx context.Context, group string, from event.Start, topics ...string) error {
	if f.ensureGroup != nil {
		return f.ensureGroup(f, ctx, group, from, topics...)
	}
	return f.Channel.EnsureGroup(ctx, group, from, topics...)
}

type faultyProducer struct {
	event.Producer

	produce func(ctx context.Context, events ...event.Event) error
	at      func(ctx context.Context, events ...event.Event) ([]event.Position, error)
}

func (p *faultyProducer) Produce(ctx context.Context, events ...event.Event) error {
	return p.produce(ctx, events...)
}

func (p *faultyProducer) ProduceAt(ctx context.Context, events ...event.Event) ([]event.Position, error) {
	return p.at(ctx, events...)
}

type faultyConsumer struct {
	event.Consumer

	sub     event.Subscription
	mu      sync.Mutex
	receive func(ctx context.Context, buf []event.Delivery) (int, error)
	begin   func(t event.Token) (context.Context, bool)
	hold    func(t event.Token, failures int)
	settle  func(ctx context.Context, ss []event.Settlement) error
	close   func(ctx context.Context) error
}

func (c *faultyConsumer) Receive(ctx context.Context, buf []event.Delivery) (int, error) {
	return c.receive(ctx, buf)
}
func (c *faultyConsumer) Begin(t event.Token) (context.Context, bool) { return c.begin(t) }
func (c *faultyConsumer) Hold(t event.Token, failures int)            { c.hold(t, failures) }
func (c *faultyConsumer) Settle(ctx context.Context, ss []event.Settlement) error {
	return c.settle(ctx, ss)
}
func (c *faultyConsumer) Close(ctx context.Context) error { return c.close(ctx) }

// recorder is a TB that keeps failures to itself.
type recorder struct {
	testing.TB

	mu     sync.Mutex
	failed []string
	logged []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = append(r.failed, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Logf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logged = append(r.logged, fmt.Sprintf(format, args...))
}

// faultyHarness is the harness of a channel with a fault.
func faultyHarness(ft fault, opts ...memory.Option) Harness {
	var open *faulty
	with := func(t testing.TB, more ...memory.Option) *faulty {
		open = &faulty{Channel: memory.New(append(more, opts...)...), fault: ft, released: make(chan struct{})}
		released := open.released
		t.Cleanup(func() { close(released) })
		return open
	}
	return Harness{
		Open:      func(t testing.TB) event.Channel { return with(t, memory.Capacity(1<<20)) },
		Bounded:   func(t testing.TB, capacity int) event.Channel { return with(t, memory.Capacity(capacity)) },
		Exact:     true,
		Ephemeral: true,
		Crash:     func(c event.Consumer) { open.Crash(c.(*faultyConsumer).Consumer) },
		Bubble:    true,
		Events:    400,
	}
}

// caught runs the suite against a channel and returns the failures by case.
func caught(t *testing.T, h Harness, only func(name string) bool) map[string]string {
	t.Helper()
	s := &spec{Harness: h.withDefaults()}
	synctest.Test(t, func(t *testing.T) { s.declare(&recorder{TB: t}) })
	got := map[string]string{}
	for _, topic := range suite() {
		for _, c := range topic.cases {
			name := topic.name + "/" + c.name
			if s.missing(c) != "" || !only(name) {
				continue
			}
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{TB: t}
				runCase(r, s, c)
				if len(r.failed) > 0 {
					got[name] = r.failed[0]
				}
			})
		}
	}
	return got
}

// mutant is a fault and the cases that were written with it in mind.
type mutant struct {
	name   string
	fault  fault
	opts   []memory.Option
	byCase []string
}

func TestBrokenChannelsAreCaught(t *testing.T) {
	for _, m := range mutants() {
		t.Run(m.name, func(t *testing.T) { mustCatch(t, faultyHarness(m.fault, m.opts...), m.byCase) })
	}
}

// mustCatch fails unless each of these cases fails on the channel.
func mustCatch(t *testing.T, h Harness, byCase []string) {
	t.Helper()
	got := caught(t, h, func(name string) bool { return slices.Contains(byCase, name) })
	for _, name := range byCase {
		if got[name] == "" {
			t.Errorf("%s does not catch it", name)
		}
	}
	for name, why := range got {
		first, _, _ := strings.Cut(why, "\n")
		t.Logf("%s: %s", name, first)
	}
}

// TestBrokenChannelsAreCaughtAllTheSame holds that a channel which may repeat
// itself now and then is not forgiven anything else.
func TestBrokenChannelsAreCaughtAllTheSame(t *testing.T) {
	for _, m := range mutants() {
		if m.name == doubles || m.name == "tells of losses that aren't" {
			continue // that is what it may do
		}
		t.Run(m.name, func(t *testing.T) {
			h := faultyHarness(m.fault, m.opts...)
			h.Exact = false
			if got := caught(t, h, func(name string) bool { return slices.Contains(m.byCase, name) }); len(got) == 0 {
				t.Errorf("none of %v catches it", m.byCase)
			}
		})
	}
}

// TestFaultlessChannelPasses holds that the wrapper alone breaks nothing.
func TestFaultlessChannelPasses(t *testing.T) {
	for name, why := range caught(t, faultyHarness(fault{}), func(string) bool { return true }) {
		t.Errorf("%s: %s", name, why)
	}
}

var hour = time.Hour
