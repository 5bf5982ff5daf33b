package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

type Secret struct {
	Value string
	Cards int
}

// Nothing of data, extensions, subject or key of an event reaches the log, at any
// level, whatever happens to it; nor does the text of a handler's error, which may
// quote them.
func TestNothingSecretIsLogged(t *testing.T) {
	quoting := func(s Secret) error { return fmt.Errorf("handling of %s", s.Value) }
	type handler = func(context.Context, *bus.Bus, Secret) error
	cases := map[string]struct {
		memory  []memory.Option
		handler handler
		data    string // else of a Secret
		alter   func(a *altered)
		logs    string // what the log says at least
	}{
		"handled":         {handler: func(context.Context, *bus.Bus, Secret) error { return nil }},
		"retry and dead":  {handler: func(_ context.Context, _ *bus.Bus, s Secret) error { return quoting(s) }},
		"permanent":       {handler: func(_ context.Context, _ *bus.Bus, s Secret) error { return event.Permanent(quoting(s)) }},
		"rejected":        {handler: func(_ context.Context, _ *bus.Bus, s Secret) error { return event.Reject(quoting(s)) }},
		"postponed":       {handler: postponedOnce()},
		"panic":           {handler: func(_ context.Context, _ *bus.Bus, s Secret) error { panic(s) }},
		"panic with text": {handler: func(_ context.Context, _ *bus.Bus, s Secret) error { panic(s.Value) }},
		"undecodable":     {data: `{"Cards":"` + canary + `"}`},
		"no JSON":         {data: canary},
		"before fails": {handler: func(ctx context.Context, _ *bus.Bus, s Secret) error {
			n := 0
			return event.OnOutcome(ctx, func(context.Context, event.Outcome) error {
				if n++; n < 5 {
					return quoting(s)
				}
				return nil
			}, nil)
		}},
		"dead letters are full": {
			memory:  []memory.Option{memory.DeadCapacity(1)},
			handler: func(_ context.Context, _ *bus.Bus, s Secret) error { return event.Permanent(quoting(s)) },
			logs:    "reason=dead",
		},
		"full": {
			memory: []memory.Option{memory.Capacity(1), memory.Reserve(0)},
			handler: func(ctx context.Context, b *bus.Bus, s Secret) error {
				if err := b.Publish(ctx, out{}, bus.Now()); err != nil {
					return fmt.Errorf("%w: %w", quoting(s), err)
				}
				return nil
			},
			logs: "reason=room",
		},
		"collected and full": {
			memory: []memory.Option{memory.Capacity(1), memory.Reserve(0)},
			handler: func(ctx context.Context, b *bus.Bus, s Secret) error {
				return b.Publish(ctx, out{}, bus.Subject(s.Value))
			},
			logs: "reason=room",
		},
		"collected and refused": {
			handler: func(ctx context.Context, b *bus.Bus, s Secret) error {
				return b.Publish(ctx, out{}, bus.Subject(s.Value))
			},
			alter: func(a *altered) {
				n := 0
				a.producer = func(topic string, p event.Producer) (event.Producer, error) {
					return produceFunc(func(ctx context.Context, es ...event.Event) error {
						if topic != "out" {
							return p.Produce(ctx, es...)
						}
						if n++; n < 4 {
							return &event.ProduceError{Failed: []event.ProduceFailure{{Index: 0, ID: es[0].ID(), Err: errBoom}}}
						}
						return p.Produce(ctx, es...)
					}), nil
				}
			},
			logs: "reason=produce",
		},
		"settlements fail": {
			handler: func(context.Context, *bus.Bus, Secret) error { return nil },
			alter: func(a *altered) {
				n := 0
				a.consumer = func(_ event.Subscription, c event.Consumer) (event.Consumer, error) {
					return settler{c, func(ctx context.Context, s []event.Settlement) error {
						if n++; n < 4 {
							return errBoom
						}
						return c.Settle(ctx, s)
					}}, nil
				}
			},
			logs: "reason=settle",
		},
		"the window is full": {
			handler: func(_ context.Context, _ *bus.Bus, s Secret) error { return quoting(s) },
			alter:   func(a *altered) { a.promise = func(g *event.Guarantees) { g.GivesBack = false } },
			logs:    "reason=window",
		},
		"errors of the engine": {
			handler: func(context.Context, *bus.Bus, Secret) error { return nil },
			alter: func(a *altered) {
				a.consumer = func(s event.Subscription, c event.Consumer) (event.Consumer, error) {
					s.OnError(errBoom)
					return c, nil
				}
			},
			logs: "bus: channel",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				a := &altered{Channel: memory.New(c.memory...)}
				if c.alter != nil {
					c.alter(a)
				}
				b := bus.New(bus.Config{Channel: a, Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug - 100, ReplaceAttr: textual}))})
				bus.Subscribe(b, "g", func(ctx context.Context, s Secret) error { return c.handler(ctx, b, s) }, bus.InFlight(3))
				if len(c.memory) > 0 {
					bus.Subscribe(b, "slow", func(context.Context, out) error { time.Sleep(10 * time.Minute); return nil }) // virtual
				}
				start(t, b)
				if len(c.memory) > 1 {
					publish(t, b, out{})
				}
				data := c.data
				if data == "" {
					data = `{"Value":"` + canary + `"}`
				}
				for n := range 3 {
					e := event.Attributes{
						Source: "/s", Type: "secret", ContentType: "application/json", Data: []byte(data), Subject: canary, Key: canary + fmt.Sprint(n),
						Extensions: []event.Extension{{Name: "token", Value: canary}, {Name: event.ExtTenant, Value: canary}},
					}.Event()
					publish(t, b, e)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
				defer cancel()
				_ = a.Quiet(ctx) // some never come to an end
				_ = b.Drain(ctx)
				if s := strings.ReplaceAll(log.String(), `"reason":"`, "reason="); strings.Contains(s, canary) || !strings.Contains(s, c.logs) {
					t.Errorf("log:\n%s", s)
				}
			})
		})
	}
}

// textual writes values in all detail, as a careless handler of a log would.
func textual(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindAny {
		a.Value = slog.StringValue(fmt.Sprintf("%+v %#v", a.Value.Any(), a.Value.Any()))
	}
	return a
}

func postponedOnce() func(context.Context, *bus.Bus, Secret) error {
	runs := 0
	return func(_ context.Context, _ *bus.Bus, s Secret) error {
		if runs++; runs <= 3 {
			return event.Postpone(time.Minute, errors.New(s.Value))
		}
		return nil
	}
}

// The text of a handler's error is kept in the cause of a dead letter, at most 1 KiB
// of it, and told to hooks as it is.
func TestTextOfAHandlersError(t *testing.T) {
	long := errors.New(strings.Repeat("é", 1000))
	var w witness
	inBubble(t, bus.Config{Hooks: []any{&w}}, func(b *bus.Bus) {
		bus.Subscribe(b, "g", func(context.Context, OrderPlaced) error { return long }, bus.Retry(bus.Backoff{Attempts: 1}))
		bus.Subscribe(b, "deep", func(context.Context, OrderPlaced) error { return deep(200) }, bus.Retry(bus.Backoff{Attempts: 1}))
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		publish(t, b, OrderPlaced{})
		quiet(t, ch)
		if c := letter(t, b, "g").Cause; c.Text != strings.Repeat("é", 512) {
			t.Errorf("%d bytes of text: %q", len(c.Text), c.Text)
		}
		if c := letter(t, b, "deep").Cause; len(c.Stack) > event.MaxCauseStack || len(c.Stack) < event.MaxCauseStack/2 {
			t.Errorf("%d bytes of stack", len(c.Stack))
		}
		for _, s := range w.settled {
			if len(s.Cause.Text) > event.MaxCauseText || len(s.Cause.Stack) > event.MaxCauseStack {
				t.Errorf("the hook was told %d bytes of text and %d of stack", len(s.Cause.Text), len(s.Cause.Stack))
			}
		}
		for _, a := range w.attempts {
			if a.Group == "g" && !errors.Is(a.Err, long) {
				t.Errorf("the hook was told %v", a.Err)
			}
		}
	})
}

func deep(n int) error {
	if n == 0 {
		panic("deep")
	}
	return deep(n - 1)
}

// What a publisher writes into attributes doesn't pass for what the channel says.
func TestAttributesDontPassForState(t *testing.T) {
	var info event.Info
	inBubble(t, bus.Config{}, func(b *bus.Bus) {
		bus.Subscribe(b, "g", func(ctx context.Context, _ OrderPlaced) error { info, _ = event.FromContext(ctx); return nil })
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		e := event.New("/s", "order-placed", []byte("{}"))
		for _, x := range []string{"replayed", "redriven", "attempt", "failures"} {
			e = e.WithExtension(x, "7")
		}
		publish(t, b, e)
		quiet(t, ch)
		if info.Attempt != 1 || info.Failures != 0 || info.Redriven || info.Replayed {
			t.Errorf("info %+v", info)
		}
	})
}
