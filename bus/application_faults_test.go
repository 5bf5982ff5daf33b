package bus_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// A handler that ends its goroutine, as t.FailNow does, has failed; the group goes on
// with all its workers.
func TestHandlerThatExits(t *testing.T) {
	places := map[string]func(ctx context.Context) error{
		"handler": func(context.Context) error { runtime.Goexit(); return nil },
		"before": func(ctx context.Context) error {
			return event.OnOutcome(ctx, func(context.Context, event.Outcome) error { runtime.Goexit(); return nil }, nil)
		},
		"after": func(ctx context.Context) error {
			return event.OnOutcome(ctx, nil, func(context.Context, event.Outcome) { runtime.Goexit() })
		},
	}
	for place, exit := range places {
		t.Run(place, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var runs tally
				w := &witness{}
				b := bus.New(bus.Config{Channel: memory.New(), Hooks: []any{w}})
				bus.Subscribe(b, "g", func(ctx context.Context, j Job) error {
					if j.N == 1 && runs.add("first") == 1 {
						return exit(ctx)
					}
					return nil
				})
				start(t, b)
				publish(t, b, Job{1})
				publish(t, b, Job{2})
				if place == "before" { // it never gets better, and holds up the end
					pass(time.Hour)
					return
				}
				drain(t, b)
				want := map[string]int{"handler": 2, "after": 1}[place]
				if runs.total() != want || w.kinds() != "ack ack" {
					t.Errorf("%d runs, settled as %q, want %d and both acked", runs.total(), w.kinds(), want)
				}
			})
		})
	}
}

// So it is where a function of the outcome ends the goroutine as well, in its turn.
func TestHandlerAndOutcomeThatExit(t *testing.T) {
	for name, exits := range map[string]func(ctx context.Context) error{
		"before": func(ctx context.Context) error {
			n := 0
			return event.OnOutcome(ctx, func(context.Context, event.Outcome) error {
				if n++; n < 3 {
					runtime.Goexit()
				}
				return nil
			}, nil)
		},
		"after": func(ctx context.Context) error {
			return event.OnOutcome(ctx, nil, func(context.Context, event.Outcome) { runtime.Goexit() })
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			var runs tally
			w := &witness{}
			b := bus.New(bus.Config{Channel: memory.New(), Hooks: []any{w}})
			bus.Subscribe(b, "g", func(ctx context.Context, j Job) error {
				if j.N == 1 && runs.add("first") == 1 {
					if err := exits(ctx); err != nil {
						return err
					}
					runtime.Goexit()
				}
				return nil
			})
			start(t, b)
			publish(t, b, Job{1})
			publish(t, b, Job{2})
			drain(t, b)
			if runs.total() != 2 || w.kinds() != "ack ack" {
				t.Errorf("%s: %d runs, settled as %q, want 2 and both acked", name, runs.total(), w.kinds())
			}
		})
	}
}

// A function after the settlement that panics ends neither the process nor the others.
func TestAfterThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ran tally
		b := bus.New(bus.Config{Channel: memory.New()})
		bus.Subscribe(b, "g", func(ctx context.Context, j Job) error {
			for _, name := range []string{"first", "second"} {
				if err := event.OnOutcome(ctx, nil, func(context.Context, event.Outcome) { ran.add(name); panic(name) }); err != nil {
					return err
				}
			}
			if j.N == 1 && ran.total() == 0 {
				return errBoom
			}
			return nil
		})
		start(t, b)
		publish(t, b, Job{1})
		drain(t, b)
		if ran.total() != 4 {
			t.Errorf("ran %v, want both functions for both attempts", ran.names())
		}
	})
}

// A function before the settlement that keeps failing is told.
func TestBeforeThatFailsIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &witness{}
		b := bus.New(bus.Config{Channel: memory.New(), Hooks: []any{w}})
		bus.Subscribe(b, "g", func(ctx context.Context, _ Job) error {
			return event.OnOutcome(ctx, func(context.Context, event.Outcome) error { return errBoom }, nil)
		})
		start(t, b)
		publish(t, b, Job{1})
		pass(time.Hour)
		if w.stalled(bus.StallBefore) != 1 || !errors.Is(w.stalls[0].Err, errBoom) {
			t.Errorf("told %+v, want the reason and the error once", w.stalls)
		}
	})
}

// An error of the engine is trouble for as long as it says something about now.
func TestReadyAgainWithoutDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &altered{Channel: memory.New()}
		b := bus.New(bus.Config{Channel: a})
		bus.Subscribe(b, "g", func(context.Context, Job) error { return nil })
		start(t, b)
		a.wanted[0].OnError(errBoom)
		if err := b.Ready(); !errors.Is(err, errBoom) {
			t.Errorf("ready: %v, want the engine's error", err)
		}
		pass(time.Minute)
		if err := b.Ready(); err != nil {
			t.Errorf("ready after a quiet minute: %v", err)
		}
	})
}

// What the channel refuses for good fails the handled event for good, in whatever form
// it says so.
func TestPublishRefusedForGoodAsAWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &altered{Channel: memory.New()}
		a.producer = func(topic string, p event.Producer) (event.Producer, error) {
			return produceFunc(func(ctx context.Context, es ...event.Event) error {
				if topic == "pong" {
					return event.ErrTooLarge
				}
				return p.Produce(ctx, es...)
			}), nil
		}
		b := bus.New(bus.Config{Channel: a})
		bus.Subscribe(b, "g", func(ctx context.Context, _ Job) error { return b.Publish(ctx, Pong{}) })
		start(t, b)
		publish(t, b, Job{1})
		pass(time.Hour)
		if got := letters(t, b, "g"); len(got) != 1 || got[0].Cause.Code != "publish" {
			t.Errorf("dead letters %+v, want the event whose handler published", got)
		}
	})
}

// A PublishAll in a handler is collected as a whole, or not at all.
func TestPublishAllInAHandlerIsAllOrNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &witness{}
		b := bus.New(bus.Config{Channel: memory.New(), Hooks: []any{w}})
		var err error
		bus.Subscribe(b, "g", func(ctx context.Context, _ Job) error {
			err = b.PublishAll(ctx, Pong{}, event.New("", "other", nil))
			return nil
		})
		start(t, b)
		publish(t, b, Job{1})
		drain(t, b)
		if err == nil || len(w.published) != 1 {
			t.Errorf("error %v, %d events published, want one refusal and the first event alone", err, len(w.published))
		}
	})
}

// brittle is an error whose methods panic when it is a nil pointer.
type brittle struct{ text string }

func (b *brittle) Error() string { return b.text }

func (b *brittle) Unwrap() error { return errors.New(b.text) }

func brittleNil() error { return (*brittle)(nil) }

// An error that can't be looked at is a failure like a panic, not the end of the
// process.
func TestErrorsThatPanic(t *testing.T) {
	once := bus.Retry(bus.Backoff{Attempts: 1})
	for name, answer := range map[string]func() error{
		"nil pointer":    brittleNil,
		"joined":         func() error { return errors.Join(errBoom, brittleNil()) },
		"marked":         func() error { return event.RetryAfter(time.Hour, brittleNil()) },
		"panic with one": func() error { panic(brittleNil()) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, bus.Config{Hooks: []any{&witness{}}}, func(b *bus.Bus) {
				bus.Subscribe(b, "single", func(context.Context, OrderPlaced) error { return answer() }, once)
				bus.SubscribeBatch(b, "batch", func(context.Context, []OrderPlaced) error { return answer() }, once)
				bus.SubscribeBatch(b, "some", func(context.Context, []OrderPlaced) error {
					return bus.BatchError{0: answer()}
				}, once)
			}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
				publish(t, b, OrderPlaced{})
				quiet(t, ch)
				for _, group := range []string{"single", "batch", "some"} {
					if c := letter(t, b, group).Cause; c.Code != "panic" || !strings.HasPrefix(c.Text, "panic: ") {
						t.Errorf("%s: cause %+v", group, c)
					}
				}
			})
		})
	}
}
