package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// aroundBatch is a middleware of batches; it is none of single events.
type aroundBatch func(next event.BatchHandler) event.BatchHandler

func (aroundBatch) Wrap(event.Handler) event.Handler { panic("bus: wrapped for single events") }

func (a aroundBatch) WrapBatch(next event.BatchHandler) event.BatchHandler { return a(next) }

// The order is that of single events, and a panic of the handler is an error for all.
func TestOrderOfWrappingBatches(t *testing.T) {
	var story []string
	say := func(format string, args ...any) { story = append(story, fmt.Sprintf(format, args...)) }
	mark := func(name string) event.Middleware {
		return aroundBatch(func(next event.BatchHandler) event.BatchHandler {
			say("wrap %s", name)
			return func(ctx context.Context, es []event.Event) error {
				_, timed := ctx.Deadline()
				say("%s, timed %v, in batch %v, %d events", name, timed, event.InBatch(ctx), len(es))
				err := next(ctx, es)
				var panicked *bus.PanicError
				say("after %s, panic %v", name, errors.As(err, &panicked))
				return err
			}
		})
	}
	inBubble(t, bus.Config{Middleware: []event.Middleware{mark("config 1"), mark("config 2")}}, func(b *bus.Bus) {
		bus.SubscribeBatch(b, "g", func(_ context.Context, rows []Row) error {
			say("handler %v", rows)
			panic("always")
		}, bus.With(mark("with 1"), mark("with 2")), bus.With(mark("with 3")), bus.Timeout(time.Second),
			bus.Retry(bus.Backoff{Attempts: 1}), bus.Batch(2, time.Second))
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		publish(t, b, Row{"a", 1})
		publish(t, b, Row{"b", 2})
		quiet(t, ch)
		var want []string
		names := []string{"config 1", "config 2", "with 1", "with 2", "with 3"}
		for _, name := range slices.Backward(names) {
			want = append(want, "wrap "+name)
		}
		for _, name := range names {
			want = append(want, name+", timed true, in batch true, 2 events")
		}
		want = append(want, "handler [{a 1} {b 2}]")
		for _, name := range slices.Backward(names) {
			want = append(want, "after "+name+", panic true")
		}
		if !slices.Equal(story, want) {
			t.Errorf("got %q,\nwant %q", story, want)
		}
	})
}

// A middleware that panics fails the batch too.
func TestBatchMiddlewareThatPanics(t *testing.T) {
	w := &witness{}
	inBubble(t, bus.Config{Hooks: []any{w}}, func(b *bus.Bus) {
		bus.SubscribeBatch(b, "g", func(context.Context, []Row) error { return nil }, bus.With(
			aroundBatch(func(event.BatchHandler) event.BatchHandler {
				return func(context.Context, []event.Event) error { panic("boom") }
			})), bus.Retry(bus.Backoff{Attempts: 1}), bus.Batch(2, time.Second))
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		publish(t, b, Row{"a", 1})
		publish(t, b, Row{"b", 2})
		quiet(t, ch)
		if got := w.kinds(); got != "dead dead" {
			t.Errorf("settled as %q, want both dead", got)
		}
	})
}

// A middleware that can't wrap batches is a mistake, on the Bus and on the handler,
// and only where there are batches.
func TestPlainMiddlewareAroundBatches(t *testing.T) {
	plain := event.MiddlewareFunc(func(next event.Handler) event.Handler { return next })
	for name, c := range map[string]struct {
		config []event.Middleware
		with   []bus.SubscribeOption
	}{
		"of the Bus":     {config: []event.Middleware{plain}},
		"of the handler": {with: []bus.SubscribeOption{bus.With(plain)}},
	} {
		t.Run(name, func(t *testing.T) {
			b := bus.New(bus.Config{Channel: memory.New(), Middleware: c.config})
			bus.SubscribeBatch(b, "g", func(context.Context, []Row) error { return nil }, c.with...)
			bus.Subscribe(b, "g", func(context.Context, Job) error { return nil }, bus.With(plain))
			requireMistakes(t, b, `handler "g/row": middleware event.MiddlewareFunc is no event.BatchMiddleware`)
		})
	}
}

func TestMistakesOfBatches(t *testing.T) {
	none := func(context.Context, []Row) error { return nil }
	b := bus.New(bus.Config{Channel: memory.New()})
	bus.SubscribeBatch(b, "none", none, bus.Batch(0, time.Second))
	bus.SubscribeBatch(b, "negative", none, bus.Batch(1, -1))
	bus.SubscribeBatch(b, "large", none, bus.Batch(3, 0), bus.InFlight(2))
	bus.SubscribeBatch[Row](b, "nil", nil)
	bus.SubscribeBatch(b, "raw", func(context.Context, []event.Event) error { return nil })
	bus.SubscribeBatch(b, "unnamed", func(context.Context, []struct{}) error { return nil })
	bus.Subscribe(b, "single", func(context.Context, Job) error { return nil }, bus.Batch(1, 0))
	requireMistakes(t, b,
		`Batch(0): at least 1`,
		`Batch: wait is negative`,
		`handler "large/row": Batch(3) is more than InFlight(2)`,
		`group "nil": nil batch handler for row`,
		`group "raw": SubscribeBatch with event.Event`,
		`group "unnamed"`,
		`Batch: only for SubscribeBatch`,
	)
}

// A middleware keeps events away from those within, which see only theirs, and says
// itself what became of the others.
func TestBatchMiddlewareKeepsEventsAway(t *testing.T) {
	odd := aroundBatch(func(next event.BatchHandler) event.BatchHandler {
		return func(ctx context.Context, es []event.Event) error {
			var at []int
			var kept []event.Event
			for i, e := range es {
				if info, _ := event.FromContext(event.Element(ctx, i)); !info.Event.Equal(e) {
					return fmt.Errorf("element %d is %s, want %s", i, info.Event.ID(), e.ID())
				}
				if e.ID() != "2" && e.ID() != "4" {
					at, kept = append(at, i), append(kept, e)
				}
			}
			some, ok := errors.AsType[bus.BatchError](next(event.Elements(ctx, at), kept))
			failed := bus.BatchError{3: event.Reject(errBoom)}
			for i, err := range some {
				failed[at[i]] = err
			}
			if !ok {
				return errBoom
			}
			return failed
		}
	})
	var seen batches
	w := &witness{}
	inBubble(t, bus.Config{Hooks: []any{w}}, func(b *bus.Bus) {
		bus.SubscribeBatch(b, "g", func(ctx context.Context, rows []Row) error {
			seen.add(rows)
			for i, r := range rows {
				if info, _ := event.FromContext(event.Element(ctx, i)); info.Event.ID() != fmt.Sprint(r.N) {
					t.Errorf("element %d of %v is event %s", i, rows, info.Event.ID())
				}
			}
			if !event.InBatch(ctx) || b.Publish(ctx, Job{1}) == nil {
				t.Error("the narrower context is no batch's")
			}
			return bus.BatchError{1: event.Permanent(errBoom)} // the event 3
		}, bus.With(odd), bus.Batch(5, time.Second))
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		for n := range 5 {
			publish(t, b, Row{"", n + 1}, bus.ID(fmt.Sprint(n+1)))
		}
		quiet(t, ch)
		if got := fmt.Sprint(seen.got); got != "[[{ 1} { 3} { 5}]]" {
			t.Errorf("batches %s, want the odd ones", got)
		}
		var ends []string
		for _, a := range w.attempts {
			ends = append(ends, a.Info.Event.ID()+" "+a.Outcome.String())
		}
		if want := []string{"1 acked", "2 acked", "3 dead", "4 rejected", "5 acked"}; !slices.Equal(ends, want) {
			t.Errorf("attempts %q, want %q", ends, want)
		}
	})
}

// What a middleware puts into the context is in that of each event, an outbox too.
func TestBatchMiddlewareSetsValuesAndOutbox(t *testing.T) {
	type key struct{}
	box := &causeOutbox{}
	var found []any
	inBubble(t, bus.Config{}, func(b *bus.Bus) {
		bus.SubscribeBatch(b, "g", func(ctx context.Context, rows []Row) error {
			for _, err := range []error{b.Publish(ctx, Job{}), b.PublishAll(ctx, Job{}), b.Publish(ctx, Job{}, bus.Now())} {
				if !errors.Is(err, event.ErrInBatch) {
					t.Errorf("published under the context of the batch: %v", err)
				}
			}
			for i, r := range rows {
				found = append(found, event.Element(ctx, i).Value(key{}))
				if err := b.Publish(event.Element(ctx, i), Job{r.N}); err != nil {
					return err
				}
			}
			return nil
		}, bus.Batch(2, time.Second), bus.With(aroundBatch(func(next event.BatchHandler) event.BatchHandler {
			return func(ctx context.Context, es []event.Event) error {
				return next(event.WithOutbox(context.WithValue(ctx, key{}, "set"), box), es)
			}
		})))
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		publish(t, b, Row{"", 1}, bus.ID("one"))
		publish(t, b, Row{"", 2}, bus.ID("two"))
		quiet(t, ch)
		if want := []any{"set", "set"}; !slices.Equal(found, want) {
			t.Errorf("found %v, want %v", found, want)
		}
		if want := []string{"job because of one", "job because of two"}; !slices.Equal(box.got, want) {
			t.Errorf("the outbox has %q, want %q", box.got, want)
		}
	})
}

type causeOutbox struct{ got []string }

func (o *causeOutbox) Add(_ context.Context, topic string, es ...event.Event) error {
	for _, e := range es {
		o.got = append(o.got, topic+" because of "+e.Extension(event.ExtCausationID))
	}
	return nil
}

// A middleware makes good what can't be decoded: what was held up behind it comes
// again, and that is no failure.
func TestBatchMiddlewareMakesGoodWhatCantBeDecoded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen batches
		w := &witness{}
		b := bus.New(bus.Config{Channel: memory.New(), Hooks: []any{w}})
		bus.SubscribeBatch(b, "g", func(_ context.Context, rows []Row) error { seen.add(rows); return nil },
			bus.Batch(3, time.Second), bus.Retry(bus.Backoff{Attempts: 1}), bus.With(aroundBatch(func(next event.BatchHandler) event.BatchHandler {
				return func(ctx context.Context, es []event.Event) error {
					err := next(ctx, es)
					if some, ok := errors.AsType[bus.BatchError](err); ok {
						for i, one := range some {
							if _, undecodable := errors.AsType[*bus.DecodeError](one); undecodable {
								delete(some, i)
							}
						}
						return some
					}
					return err
				}
			})))
		start(t, b)
		bad := event.Attributes{ID: "bad", Source: "/x", Type: "row", Key: "a", ContentType: "application/json", Data: []byte("{")}
		publish(t, b, bad.Event())
		publish(t, b, Row{"a", 1})
		publish(t, b, Row{"b", 2})
		drain(t, b)
		if got, want := fmt.Sprint(seen.got), "[[{b 2}] [{a 1}]]"; got != want {
			t.Errorf("batches %s, want %s", got, want)
		}
		if got := w.kinds(); got != "ack ack ack" {
			t.Errorf("settled as %q", got)
		}
	})
}
