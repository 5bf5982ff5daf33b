package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// out is what handlers publish in these tests.
type out struct{ N int }

func ids(ps []bus.Published, typ string) []string {
	var all []string
	for _, p := range ps {
		if p.Event.Type() == typ {
			all = append(all, p.Event.ID())
		}
	}
	return all
}

// What a handler publishes goes out when it has succeeded, and is dropped with each
// other answer. The ids are the same for each run.
func TestCollectedEvents(t *testing.T) {
	for name, c := range map[string]struct {
		answers []error
		out     int
	}{
		"nil":       {nil, 3},
		"failure":   {[]error{errBoom, errBoom, nil}, 3},
		"panic":     {[]error{panicking{"x"}, nil}, 3},
		"postponed": {[]error{event.Postpone(1, errBoom), nil}, 3},
		"permanent": {[]error{event.Permanent(errBoom)}, 0},
		"rejected":  {[]error{event.Reject(errBoom)}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var w witness
			a := answers{give: c.answers}
			var seen int
			inBubble(t, bus.Config{App: "shop", Hooks: []any{&w}}, func(b *bus.Bus) {
				bus.Subscribe(b, "g", func(ctx context.Context, o OrderPlaced) error {
					if err := errors.Join(b.Publish(ctx, out{1}), b.PublishAll(ctx, out{2}, OrderV2{}, out{3})); err != nil {
						t.Error(err)
					}
					if seen > 0 {
						t.Error("out before the handler returned")
					}
					return a.handle(ctx, o)
				})
				bus.Subscribe(b, "out", func(context.Context, out) error { seen++; return nil })
			}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
				publish(t, b, OrderPlaced{}, bus.ID("cause-1"))
				quiet(t, ch)
				if seen != c.out {
					t.Errorf("%d events went out, want %d", seen, c.out)
				}
				got := ids(w.published, "out")
				if c.out == 0 {
					if len(got) > 0 {
						t.Errorf("published %v", got)
					}
					return
				}
				want := []string{
					event.DerivedID("shop.g", "/shop", "cause-1", 0),
					event.DerivedID("shop.g", "/shop", "cause-1", 1),
					event.DerivedID("shop.g", "/shop", "cause-1", 3),
				}
				if !slices.Equal(got, want) {
					t.Errorf("ids %v, want %v", got, want)
				}
				if other := ids(w.published, "order-v2"); len(other) != 1 || other[0] != event.DerivedID("shop.g", "/shop", "cause-1", 2) {
					t.Errorf("ids of another topic %v", other)
				}
				for _, p := range w.published[1:] {
					if p.Group != "g" || p.Err != nil {
						t.Errorf("published of group %q, error %v", p.Group, p.Err)
					}
				}
			})
		})
	}
}

// What is published in a handler inherits conversation, cause, trace and tenant; an
// event that is published as it is inherits nothing.
func TestInheritance(t *testing.T) {
	var w witness
	inBubble(t, bus.Config{Hooks: []any{&w}}, func(b *bus.Bus) {
		bus.Subscribe(b, "g", func(ctx context.Context, _ OrderPlaced) error {
			with := event.WithOrigin(ctx, event.Origin{Tenant: "other"})
			return errors.Join(
				b.Publish(ctx, out{}), b.Publish(ctx, out{}, bus.Now()), b.Publish(with, out{}),
				b.Publish(ctx, out{}, bus.ID("own")), b.Publish(ctx, event.New("/s", "out", nil).WithID("as-it-is")))
		})
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		ctx := event.WithOrigin(t.Context(), event.Origin{CorrelationID: "c", Traceparent: "tp", Tracestate: "ts", Tenant: "acme", CausationID: "edge"})
		if err := b.Publish(ctx, OrderPlaced{}, bus.ID("id")); err != nil {
			t.Fatal(err)
		}
		quiet(t, ch)
		attributes := func(e event.Event) string {
			var sb strings.Builder
			for name, value := range e.Extensions() {
				fmt.Fprintf(&sb, "%s=%s ", name, value)
			}
			return strings.TrimSpace(sb.String())
		}
		inherited := func(cause, tenant string) string {
			return "causationid=" + cause + " correlationid=c tenant=" + tenant + " traceparent=tp tracestate=ts"
		}
		id := func(n int) string { return event.DerivedID("g", "/", "id", n) }
		want := map[string]string{
			"id":       inherited("edge", "acme"),
			id(0):      inherited("id", "acme"),
			id(1):      inherited("id", "acme"),
			id(2):      inherited("id", "other"),
			"own":      inherited("id", "acme"),
			"as-it-is": "",
		}
		for _, p := range w.published {
			if got, ok := want[p.Event.ID()]; !ok || attributes(p.Event) != got {
				t.Errorf("event %s has %s, want %s", p.Event.ID(), attributes(p.Event), got)
			}
			delete(want, p.Event.ID())
		}
		if len(want) > 0 {
			t.Errorf("not published: %v", want)
		}
	})
}

// Now goes out at once, whatever becomes of the attempt.
func TestNow(t *testing.T) {
	var w witness
	var seen []int
	inBubble(t, bus.Config{Hooks: []any{&w}}, func(b *bus.Bus) {
		bus.Subscribe(b, "g", func(ctx context.Context, _ OrderPlaced) error {
			synctest.Wait() // until its publisher knows
			if err := b.Publish(ctx, out{1}); err != nil {
				t.Error(err)
			}
			if err := b.Publish(ctx, out{2}, bus.Now()); err != nil {
				t.Error(err)
			}
			if n := len(w.published); n != 2 {
				t.Errorf("%d published while the handler runs", n)
			}
			return event.Permanent(errBoom)
		})
		bus.Subscribe(b, "out", func(_ context.Context, o out) error { seen = append(seen, o.N); return nil })
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		publish(t, b, OrderPlaced{})
		quiet(t, ch)
		if fmt.Sprint(seen) != "[2]" || w.published[1].Group != "" {
			t.Errorf("went out: %v, of group %q", seen, w.published[1].Group)
		}
	})
}

// The context is the handler's until it returns: nothing is collected afterwards.
func TestPublishAfterTheHandlerReturned(t *testing.T) {
	for name, answer := range map[string]error{"handled": nil, "failed": event.Permanent(errBoom)} {
		t.Run(name, func(t *testing.T) {
			var w witness
			var late context.Context
			inBubble(t, bus.Config{Hooks: []any{&w}, KeepChannel: true}, func(b *bus.Bus) {
				bus.Subscribe(b, "g", func(ctx context.Context, _ OrderPlaced) error {
					late = ctx //nolint:fatcontext // one event
					return answer
				})
			}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
				publish(t, b, OrderPlaced{})
				quiet(t, ch)
				for _, when := range []string{"after the handler", "after the shutdown"} {
					for how, err := range map[string]error{
						"Publish":    b.Publish(late, out{}),
						"PublishAll": b.PublishAll(late, out{}),
					} {
						closed := when == "after the shutdown" && errors.Is(err, event.ErrClosed)
						if err == nil || !closed && !strings.Contains(err.Error(), "a handler that has returned") {
							t.Errorf("%s %s: %v", how, when, err)
						}
					}
					if len(w.published) != 1 {
						t.Errorf("%d were published %s", len(w.published)-1, when)
					}
					if err := b.Shutdown(late); err != nil { // whose handler isn't waited for
						t.Error(err)
					}
					if err := b.Publish(late, out{}, bus.Now()); !errors.Is(err, event.ErrClosed) {
						t.Errorf("publish at once after the shutdown: %v", err)
					}
				}
				if err := ch.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A handler may publish from several goroutines that it waits for.
func TestPublishFromSeveralGoroutines(t *testing.T) {
	const n = 50
	var got []int
	inBubble(t, bus.Config{}, func(b *bus.Bus) {
		bus.Subscribe(b, "g", func(ctx context.Context, _ OrderPlaced) error {
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() {
					if err := b.Publish(ctx, out{i}); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			return nil
		})
		bus.Subscribe(b, "out", func(_ context.Context, o out) error { got = append(got, o.N); return nil })
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		publish(t, b, OrderPlaced{})
		quiet(t, ch)
		slices.Sort(got)
		if len(slices.Compact(got)) != n {
			t.Errorf("%d of %d went out", len(got), n)
		}
	})
}

// recordingOutbox is a nearer outbox, as a middleware would set.
type recordingOutbox struct{ added []string }

func (o *recordingOutbox) Add(_ context.Context, topic string, events ...event.Event) error {
	for _, e := range events {
		o.added = append(o.added, topic+" "+e.ID())
	}
	return nil
}

func TestNearerOutbox(t *testing.T) {
	var o recordingOutbox
	var w witness
	near := event.MiddlewareFunc(func(next event.Handler) event.Handler {
		return func(ctx context.Context, e event.Event) error { return next(event.WithOutbox(ctx, &o), e) }
	})
	inBubble(t, bus.Config{Hooks: []any{&w}}, func(b *bus.Bus) {
		bus.Subscribe(b, "g", func(ctx context.Context, _ OrderPlaced) error {
			return errors.Join(b.Publish(ctx, out{}), b.PublishAll(ctx, out{}, OrderV2{}), b.Publish(ctx, out{}, bus.Now()))
		}, bus.With(near))
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		publish(t, b, OrderPlaced{}, bus.ID("c"))
		quiet(t, ch)
		id := func(n int) string { return event.DerivedID("g", "/", "c", n) }
		if want := fmt.Sprint([]string{"out " + id(0), "out " + id(1), "order-v2 " + id(2)}); fmt.Sprint(o.added) != want {
			t.Errorf("added %v, want %v", o.added, want)
		}
		if got := ids(w.published, "out"); len(got) != 1 || got[0] != id(3) {
			t.Errorf("published %v", got)
		}
	})
}

// What is published to another Bus goes out at once: the outbox belongs to the Bus
// of the handler.
func TestPublishToAnotherBus(t *testing.T) {
	var w witness
	var other *bus.Bus
	inBubble(t, bus.Config{}, func(b *bus.Bus) {
		other = bus.New(bus.Config{Channel: memory.New(), Hooks: []any{&w}})
		bus.Subscribe(b, "g", func(ctx context.Context, _ OrderPlaced) error {
			if err := other.Publish(ctx, out{}); err != nil {
				t.Error(err)
			}
			if len(w.published) != 1 {
				t.Error("was not published at once")
			}
			return errBoom
		}, bus.Retry(bus.Backoff{Attempts: 1}))
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		start(t, other)
		publish(t, b, OrderPlaced{}, bus.ID("c"))
		quiet(t, ch)
		if e := w.published[0].Event; e.Extension(event.ExtCausationID) != "c" || e.ID() != event.DerivedID("g", "/", "c", 0) {
			t.Errorf("event %v caused by %q", e, e.Extension(event.ExtCausationID))
		}
	})
}

// What could never be sent is refused where it is published.
func TestInvalidInsideAHandler(t *testing.T) {
	inBubble(t, bus.Config{}, func(b *bus.Bus) {
		bus.Subscribe(b, "g", func(ctx context.Context, _ OrderPlaced) error {
			var bad *event.AttributeError
			if err := b.Publish(ctx, out{}, bus.Key("\x00")); !errors.As(err, &bad) {
				t.Errorf("bad key: %v", err)
			}
			if err := b.Publish(ctx, out{}, bus.Topic("a b")); err == nil || !strings.Contains(err.Error(), `topic "a b"`) {
				t.Errorf("bad topic: %v", err)
			}
			if err := b.PublishAll(ctx, out{}, event.New("", "a", nil)); !errors.As(err, &bad) {
				t.Errorf("bad event: %v", err)
			}
			return errBoom
		}, bus.Retry(bus.Backoff{Attempts: 1}))
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		publish(t, b, OrderPlaced{})
		quiet(t, ch)
		if c := letter(t, b, "g").Cause; c.Text != "boom" {
			t.Errorf("cause %+v", c)
		}
	})
}
