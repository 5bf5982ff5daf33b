package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// before runs once the outcome is decided and the collected events are out, ahead
// of the settlement; after when the settlement was recorded.
func TestOutcomeFunctions(t *testing.T) {
	cases := map[string]struct {
		answer error
		want   string
	}{
		"acked":    {nil, "handler, produced, before acked <nil>, before2, settled ack, after acked <nil>, after2"},
		"rejected": {event.Reject(errBoom), "handler, before rejected rejected: boom, before2, settled ack, after rejected rejected: boom, after2"},
		"retried":  {event.Postpone(time.Second, errBoom), "handler, before retried postponed for 1s: boom, before2, after retried postponed for 1s: boom, after2, handler, settled ack"},
		"dead":     {event.Permanent(errBoom), "handler, before dead permanent: boom, before2, settled dead, after dead permanent: boom, after2"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var story tally
				a := &altered{Channel: memory.New()}
				a.consumer = func(_ event.Subscription, c event.Consumer) (event.Consumer, error) {
					return settler{c, func(ctx context.Context, s []event.Settlement) error {
						err := c.Settle(ctx, s)
						story.add("settled " + s[0].Kind.String())
						return err
					}}, nil
				}
				a.producer = func(topic string, p event.Producer) (event.Producer, error) {
					return produceFunc(func(ctx context.Context, es ...event.Event) error {
						if topic == "order-v2" {
							story.add("produced")
						}
						return p.Produce(ctx, es...)
					}), nil
				}
				b := bus.New(bus.Config{Channel: a})
				bus.Subscribe(b, "g", func(ctx context.Context, _ OrderPlaced) error {
					if story.add("handler") > 1 {
						return nil
					}
					before := func(ctx context.Context, o event.Outcome) error {
						story.add(fmt.Sprintf("before %v %v", o.Kind, o.Err))
						if !event.Handling(ctx) {
							t.Error("before doesn't run under the handler's context")
						}
						return nil
					}
					after := func(_ context.Context, o event.Outcome) { story.add(fmt.Sprintf("after %v %v", o.Kind, o.Err)) }
					before2 := func(context.Context, event.Outcome) error { story.add("before2"); return nil }
					after2 := func(context.Context, event.Outcome) { story.add("after2") }
					if err := errors.Join(event.OnOutcome(ctx, before, after), event.OnOutcome(ctx, before2, nil), event.OnOutcome(ctx, nil, after2), b.Publish(ctx, OrderV2{})); err != nil {
						t.Error(err)
					}
					return c.answer
				})
				start(t, b)
				publish(t, b, OrderPlaced{})
				quiet(t, a)
				if got := strings.Join(story.names(), ", "); got != c.want {
					t.Errorf("\n%s, want\n%s", got, c.want)
				}
			})
		})
	}
}

// When before returns an error, or panics, the delivery is held and before alone is
// tried again, from where it failed; the next of the key waits.
func TestErrorOfBefore(t *testing.T) {
	var story tally
	var w witness
	inBubble(t, bus.Config{Hooks: []any{&w}}, func(b *bus.Bus) {
		bus.Subscribe(b, "g", func(ctx context.Context, s Step) error {
			story.add(fmt.Sprint("handler ", s.N))
			if s.N == 2 {
				return nil
			}
			first := func(context.Context, event.Outcome) error { story.add("first"); return nil }
			second := func(context.Context, event.Outcome) error {
				switch story.add("second") {
				case 1:
					return errBoom
				case 2:
					panic(errBoom)
				}
				return nil
			}
			after := func(context.Context, event.Outcome) { story.add("after") }
			return errors.Join(event.OnOutcome(ctx, first, after), event.OnOutcome(ctx, second, nil), b.Publish(ctx, OrderV2{}))
		})
		bus.Subscribe(b, "other", func(context.Context, OrderV2) error { story.add("published"); return nil })
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		publish(t, b, Step{"k", 1})
		publish(t, b, Step{"k", 2})
		quiet(t, ch)
		got := slices.DeleteFunc(story.names(), func(s string) bool { return s == "published" })
		if s := strings.Join(got, ", "); s != "handler 1, first, second, second, second, after, handler 2" && s != "handler 1, first, second, second, second, handler 2, after" {
			t.Error(s)
		}
		if story.count["published"] != 1 {
			t.Errorf("published %d times", story.count["published"])
		}
		if w.kinds() != "ack ack ack" || len(w.attempts) != 3 {
			t.Errorf("settled %s, %d attempts", w.kinds(), len(w.attempts))
		}
	})
}

// after doesn't run when the settlement was refused.
func TestAfterARefusedSettlement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w witness
		after := 0
		a := &altered{Channel: memory.New()}
		a.consumer = func(_ event.Subscription, c event.Consumer) (event.Consumer, error) {
			return settler{c, func(ctx context.Context, s []event.Settlement) error {
				if err := c.Settle(ctx, s); err != nil {
					return err
				}
				return &event.SettleError{Failed: map[int]error{0: event.ErrLeaseLost}}
			}}, nil
		}
		b := bus.New(bus.Config{Channel: a, Hooks: []any{&w}})
		bus.Subscribe(b, "g", func(ctx context.Context, _ OrderPlaced) error {
			return event.OnOutcome(ctx, nil, func(context.Context, event.Outcome) { after++ })
		})
		start(t, b)
		publish(t, b, OrderPlaced{})
		quiet(t, a)
		if after != 0 || w.kinds() != "ack!" || !errors.Is(w.settled[0].Err, event.ErrLeaseLost) {
			t.Errorf("after ran %d times; settled %s", after, w.kinds())
		}
	})
}

// Each attempt starts without a result; a middleware finds the handler's.
func TestResult(t *testing.T) {
	var results []string
	see := event.MiddlewareFunc(func(next event.Handler) event.Handler {
		return func(ctx context.Context, e event.Event) error {
			err := next(ctx, e)
			r, ok := event.ResultOf(ctx)
			results = append(results, fmt.Sprintf("%s %s %v", r.ContentType, r.Data, ok))
			return err
		}
	})
	runs := 0
	inBubble(t, bus.Config{}, func(b *bus.Bus) {
		bus.Subscribe(b, "g", func(ctx context.Context, _ OrderPlaced) error {
			if runs++; runs > 1 {
				return nil
			}
			return errors.Join(event.SetResult(ctx, "text/plain", []byte("no")), event.SetResult(ctx, "text/plain", []byte("yes")), errBoom)
		}, bus.With(see))
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		publish(t, b, OrderPlaced{})
		quiet(t, ch)
		if fmt.Sprint(results) != "[text/plain yes true   false]" {
			t.Errorf("results %q", results)
		}
	})
}
