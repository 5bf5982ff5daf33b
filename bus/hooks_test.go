package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// Every field that the hooks are told.
func TestWhatHooksAreTold(t *testing.T) {
	var w witness
	fail := true
	inBubble(t, bus.Config{App: "shop", Hooks: []any{&w}}, func(b *bus.Bus) {
		bus.Subscribe(b, "g", func(context.Context, Step) error {
			time.Sleep(3 * time.Second) // virtual
			if fail {
				fail = false
				return event.RetryAfter(time.Minute, errBoom)
			}
			return event.Permanent(errBoom)
		}, bus.Topic("steps"))
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		began := time.Now()
		publish(t, b, Step{"k", 1}, bus.Topic("steps"))
		quiet(t, ch)
		e := w.published[0].Event
		for i, at := range []time.Duration{0, 63 * time.Second} {
			a := w.attempts[i]
			want := []event.OutcomeKind{event.OutcomeRetried, event.OutcomeDead}[i]
			if a.Group != "g" || a.Handler != "g/step" || a.Outcome != want || !errors.Is(a.Err, errBoom) || !a.Started.Equal(began.Add(at)) || a.Took != 3*time.Second {
				t.Errorf("attempt %+v", a)
			}
			in := a.Info
			if !in.Event.Equal(e) || in.Topic != "steps" || in.Group != "shop.g" || in.Attempt != i+1 || in.Failures != i || !in.Position.Valid() || !in.EnqueuedAt.Equal(began) || in.Redriven || in.Replayed {
				t.Errorf("info %+v", in)
			}
		}
		if len(w.attempts) != 2 || len(w.settled) != 1 {
			t.Fatalf("%d attempts, %d settlements", len(w.attempts), len(w.settled))
		}
		s := w.settled[0]
		if s.Group != "g" || s.Topic != "steps" || !s.Event.Equal(e) || s.Kind != event.SettleDead || s.Err != nil || s.Cause == nil || s.Cause.Code != "permanent" {
			t.Errorf("settled %+v", s)
		}
	})
}

// counting hooks implement one interface each.
type (
	onPublish func()
	onAttempt func()
	onSettle  func()
	onSkip    func()
)

func (f onPublish) OnPublish(context.Context, bus.Published)  { f() }
func (f onAttempt) OnAttempt(context.Context, bus.AttemptEnd) { f() }
func (f onSettle) OnSettle(bus.Settled)                       { f() }
func (f onSkip) OnSkip(string, string, event.Event)           { f() }

// Hooks are called in the order of the list, each for what it implements.
func TestOrderOfHooks(t *testing.T) {
	var story tally
	say := func(s string) func() { return func() { story.add(s) } }
	c := bus.Config{Hooks: []any{
		onSettle(say("settle 1")), onPublish(say("publish 1")), onAttempt(say("attempt 1")), onSkip(say("skip 1")),
		onAttempt(say("attempt 2")), onSettle(say("settle 2")), onPublish(say("publish 2")), onSkip(say("skip 2")),
	}}
	inBubble(t, c, func(b *bus.Bus) {
		bus.Subscribe(b, "g", handle[OrderPlaced], bus.Topic("x"))
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		publish(t, b, OrderPlaced{}, bus.Topic("x"))
		quiet(t, ch)
		publish(t, b, OrderV2{}, bus.Topic("x"))
		quiet(t, ch)
		want := "publish 1, publish 2, attempt 1, attempt 2, settle 1, settle 2, publish 1, publish 2, skip 1, skip 2, settle 1, settle 2"
		if got := strings.Join(story.names(), ", "); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

// The hook is told what became of each event of a call.
func TestPublishHookIsToldRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w witness
		a := producing(func(n int, p event.Producer, ctx context.Context, es []event.Event) error {
			if n == 1 {
				return &event.ProduceError{Failed: []event.ProduceFailure{{Index: 1, ID: es[1].ID(), Err: event.ErrTooLarge}}}
			}
			return errBoom
		})
		b := bus.New(bus.Config{Channel: a, Hooks: []any{&w}})
		start(t, b)
		for range 2 {
			if err := b.PublishAll(t.Context(), out{1}, out{2}); err == nil {
				t.Error("nothing was refused")
			}
		}
		var errs []error
		for _, p := range w.published {
			errs = append(errs, p.Err)
		}
		if len(errs) != 4 || errs[0] != nil || !errors.Is(errs[1], event.ErrTooLarge) || !errors.Is(errs[2], errBoom) || !errors.Is(errs[3], errBoom) {
			t.Errorf("told %v", errs)
		}
	})
}

// A paused group takes no more deliveries, others do; what is in hand is handled.
func TestPauseAndResume(t *testing.T) {
	var runs tally
	inBubble(t, bus.Config{}, func(b *bus.Bus) {
		for _, g := range []string{"a", "b"} {
			bus.Subscribe(b, g, func(_ context.Context, j Job) error {
				if runs.add(fmt.Sprint(g, j.N)) == 1 && j.N == 1 {
					return event.RetryAfter(time.Hour, errBoom)
				}
				return nil
			})
		}
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		if b.Pause("what") == nil || b.Resume("what") == nil {
			t.Error("a group that isn't there was paused")
		}
		publish(t, b, Job{1})
		synctest.Wait()
		if err := b.Pause("a"); err != nil {
			t.Fatal(err)
		}
		if err := b.Ready(); err != nil {
			t.Errorf("ready: %v", err)
		}
		publish(t, b, Job{2})
		pass(24 * time.Hour)
		if runs.count["a2"] != 0 || runs.count["b2"] != 1 || runs.count["a1"] != 2 {
			t.Errorf("while paused: %v", runs.names())
		}
		if err := b.Resume("a"); err != nil {
			t.Fatal(err)
		}
		quiet(t, ch)
		if runs.count["a2"] != 1 {
			t.Errorf("after the pause: %v", runs.names())
		}
	})
}

func TestReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &altered{Channel: memory.New()}
		b := bus.New(bus.Config{Channel: a})
		gate := make(chan struct{})
		bus.Subscribe(b, "g", func(context.Context, OrderPlaced) error { <-gate; return nil })
		bus.Subscribe(b, "h", handle[OrderPlaced])
		if err := b.Ready(); !errors.Is(err, bus.ErrNotStarted) {
			t.Errorf("before the start: %v", err)
		}
		start(t, b)
		if err := b.Ready(); err != nil {
			t.Errorf("started: %v", err)
		}
		for _, s := range a.wanted {
			s.OnError(fmt.Errorf("%s: %w", s.Group, errBoom))
		}
		if err := b.Ready(); !errors.Is(err, errBoom) || !strings.Contains(err.Error(), `group "g": g: boom`) || !strings.Contains(err.Error(), `group "h": h: boom`) {
			t.Errorf("after an error of the engine: %v", err)
		}
		publish(t, b, OrderPlaced{})
		synctest.Wait()
		if err := b.Ready(); err != nil {
			t.Errorf("after a delivery: %v", err)
		}
		drained := make(chan error, 1)
		go func() { drained <- b.Drain(t.Context()) }()
		synctest.Wait()
		if err := b.Ready(); !errors.Is(err, event.ErrClosed) {
			t.Errorf("while it drains: %v", err)
		}
		close(gate)
		if err := <-drained; err != nil {
			t.Error(err)
		}
		if err := b.Ready(); !errors.Is(err, event.ErrClosed) {
			t.Errorf("after the shutdown: %v", err)
		}
	})
}

// failingReceiver fails a few times, and then ends.
type failingReceiver struct {
	event.Consumer

	errs []error
}

func (c *failingReceiver) Receive(ctx context.Context, buf []event.Delivery) (int, error) {
	if len(c.errs) > 0 {
		err := c.errs[0]
		c.errs = c.errs[1:]
		return 0, err
	}
	return c.Consumer.Receive(ctx, buf)
}

// An engine that fails to receive is asked again after a while; one that says that
// it was closed makes the Bus unready.
func TestErrorsOfReceive(t *testing.T) {
	for name, c := range map[string]struct {
		errs  []error
		runs  int
		ready error
	}{
		"transient": {[]error{errBoom, errBoom, errBoom}, 1, nil},
		"closed":    {[]error{event.ErrClosed}, 0, event.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				runs := 0
				a := &altered{Channel: memory.New()}
				a.consumer = func(_ event.Subscription, mc event.Consumer) (event.Consumer, error) {
					return &failingReceiver{mc, c.errs}, nil
				}
				b := bus.New(bus.Config{Channel: a})
				bus.Subscribe(b, "g", func(context.Context, OrderPlaced) error { runs++; return nil })
				start(t, b)
				publish(t, b, OrderPlaced{})
				synctest.Wait()
				if err := b.Ready(); !errors.Is(err, c.errs[0]) {
					t.Errorf("ready: %v", err)
				}
				pass(time.Minute)
				if err := b.Ready(); !errors.Is(err, c.ready) || runs != c.runs {
					t.Errorf("ready: %v, %d runs", err, runs)
				}
			})
		})
	}
}
