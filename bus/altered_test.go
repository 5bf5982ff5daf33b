package bus_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// altered is a memory channel that promises something else, or whose parts behave
// otherwise.
type altered struct {
	*memory.Channel

	promise  func(*event.Guarantees)
	asked    func(*event.Subscription)
	producer func(topic string, p event.Producer) (event.Producer, error)
	consumer func(s event.Subscription, c event.Consumer) (event.Consumer, error)

	mu        sync.Mutex
	consumers []event.Consumer // of memory's own, in the order of their making
	wanted    []event.Subscription
}

func (a *altered) Guarantees(ctx context.Context, topic, group string) (event.Guarantees, error) {
	g, err := a.Channel.Guarantees(ctx, topic, group)
	if a.promise != nil {
		a.promise(&g)
	}
	return g, err
}

func (a *altered) Producer(ctx context.Context, topic string) (event.Producer, error) {
	p, err := a.Channel.Producer(ctx, topic)
	if err == nil && a.producer != nil {
		return a.producer(topic, p)
	}
	return p, err
}

func (a *altered) Consumer(ctx context.Context, s event.Subscription) (event.Consumer, error) {
	if a.asked != nil {
		a.asked(&s)
	}
	c, err := a.Channel.Consumer(ctx, s)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	a.consumers = append(a.consumers, c)
	a.wanted = append(a.wanted, s)
	a.mu.Unlock()
	if a.consumer != nil {
		return a.consumer(s, c)
	}
	return c, nil
}

// plain hides the capabilities of a channel.
type plain struct{ event.Channel }

// produceFunc is a producer made of a function.
type produceFunc func(ctx context.Context, events ...event.Event) error

func (f produceFunc) Produce(ctx context.Context, events ...event.Event) error {
	return f(ctx, events...)
}

// settler lets a consumer settle otherwise.
type settler struct {
	event.Consumer

	settle func(ctx context.Context, s []event.Settlement) error
}

func (s settler) Settle(ctx context.Context, ss []event.Settlement) error { return s.settle(ctx, ss) }

// witness is a hook that remembers all it is told.
type witness struct {
	mu        sync.Mutex
	published []bus.Published
	attempts  []bus.AttemptEnd
	settled   []bus.Settled
	skipped   []string
	stalls    []bus.Stall
}

func (w *witness) OnPublish(_ context.Context, p bus.Published) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.published = append(w.published, p)
}

func (w *witness) OnAttempt(_ context.Context, a bus.AttemptEnd) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.attempts = append(w.attempts, a)
}

func (w *witness) OnSettle(s bus.Settled) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settled = append(w.settled, s)
}

func (w *witness) OnSkip(group, topic string, e event.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.skipped = append(w.skipped, group+" "+topic+" "+e.Type())
}

func (w *witness) OnStall(s bus.Stall) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stalls = append(w.stalls, s)
}

// stalled returns how often the group was told to wait for a reason.
func (w *witness) stalled(why bus.StallReason) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, s := range w.stalls {
		if s.Reason == why {
			n++
		}
	}
	return n
}

// kinds returns how the deliveries were settled, in order.
func (w *witness) kinds() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := ""
	for i, x := range w.settled {
		if i > 0 {
			s += " "
		}
		s += x.Kind.String()
		if x.Err != nil {
			s += "!"
		}
	}
	return s
}

// pass lets virtual time pass, and what is due happen.
func pass(d time.Duration) {
	time.Sleep(d) // virtual
	synctest.Wait()
}

type quieter interface {
	Quiet(ctx context.Context, groups ...string) error
}

// quiet waits until everything that is owed is settled, and known to be.
func quiet(t *testing.T, ch quieter) {
	t.Helper()
	if err := ch.Quiet(t.Context()); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

// letters returns the dead letters of a group; with keys, only theirs.
func letters(t *testing.T, b *bus.Bus, group string, keys ...string) []event.DeadLetter {
	t.Helper()
	var all []event.DeadLetter
	for d, err := range b.DeadLetters(t.Context(), group, keys...) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// letter returns the only dead letter of a group.
func letter(t *testing.T, b *bus.Bus, group string) event.DeadLetter {
	t.Helper()
	all := letters(t, b, group)
	if len(all) != 1 {
		t.Fatalf("%d dead letters of group %q, want 1", len(all), group)
	}
	return all[0]
}

// inBubble runs f in virtual time with a Bus on a memory channel; subscribe comes
// before its start.
func inBubble(t *testing.T, c bus.Config, subscribe func(*bus.Bus), f func(t *testing.T, b *bus.Bus, ch *memory.Channel)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		c.Channel = ch
		b := bus.New(c)
		subscribe(b)
		start(t, b)
		f(t, b, ch)
	})
}
