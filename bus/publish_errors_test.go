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

// A ProduceError names events by their place in the call, whatever their topics.
func TestIndexesOfPublishAll(t *testing.T) {
	for name, c := range map[string]struct {
		out  func(es []event.Event) error
		want string
	}{
		"some": {func(es []event.Event) error {
			return &event.ProduceError{Failed: []event.ProduceFailure{{Index: 1, ID: es[1].ID(), Err: errBoom, Maybe: true}, {Index: 2, ID: es[2].ID(), Err: event.ErrTooLarge}}}
		}, "3 boom true, 5 event: larger than the channel's limit false"},
		"all":  {func([]event.Event) error { return errBoom }, "1 boom false, 3 boom false, 5 boom false"},
		"none": {func([]event.Event) error { return nil }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls []string
				var got []string
				a := &altered{Channel: memory.New(), producer: func(topic string, p event.Producer) (event.Producer, error) {
					return produceFunc(func(ctx context.Context, es ...event.Event) error {
						calls = append(calls, fmt.Sprint(topic, len(es)))
						if topic == "out" {
							return c.out(es)
						}
						return p.Produce(ctx, es...)
					}), nil
				}}
				var w witness
				b := bus.New(bus.Config{Channel: a, Hooks: []any{&w}})
				bus.Subscribe(b, "g", func(_ context.Context, j Job) error { got = append(got, fmt.Sprint(j.N)); return nil })
				start(t, b)
				err := b.PublishAll(t.Context(), Job{0}, out{1}, OrderPlaced{}, out{3}, Job{4}, out{5})
				var failed []string
				if some, ok := errors.AsType[*event.ProduceError](err); ok {
					for _, f := range some.Failed {
						failed = append(failed, fmt.Sprintf("%d %v %v", f.Index, f.Err, f.Maybe))
						if i := slices.IndexFunc(w.published, func(p bus.Published) bool { return p.Event.ID() == f.ID }); i < 0 || w.published[i].Topic != "out" {
							t.Errorf("failure of the unknown event %s", f.ID)
						}
					}
				} else if err != nil {
					t.Errorf("error %v", err)
				}
				if s := strings.Join(failed, ", "); s != c.want {
					t.Errorf("failed %s, want %s", s, c.want)
				}
				if fmt.Sprint(calls) != "[job2 out3 order-placed1]" {
					t.Errorf("calls %v, want one for each topic", calls)
				}
				quiet(t, a)
				if fmt.Sprint(got) != "[0 4]" {
					t.Errorf("handled %v", got)
				}
			})
		})
	}
	b := bus.New(bus.Config{Channel: memory.New()})
	start(t, b)
	if err := b.PublishAll(t.Context()); err != nil {
		t.Errorf("nothing to publish: %v", err)
	}
}

// An error of Publish says of which type, and who is behind when there is no room.
func TestFullErrorNamesTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		b := bus.New(bus.Config{Channel: memory.New(memory.Capacity(2)), App: "shop"})
		bus.Subscribe(b, "slow", func(context.Context, Job) error { <-gate; return nil })
		bus.Subscribe(b, "quick", handle[Job])
		start(t, b)
		publish(t, b, Job{1})
		publish(t, b, Job{2})
		for name, send := range map[string]func(context.Context) error{
			"Publish":    func(ctx context.Context) error { return b.Publish(ctx, Job{3}) },
			"PublishAll": func(ctx context.Context) error { return b.PublishAll(ctx, Job{3}) },
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			began := time.Now()
			err := send(ctx)
			cancel()
			var full *event.FullError
			if !errors.As(err, &full) || !errors.Is(err, event.ErrFull) || !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("%s: %v", name, err)
			}
			if full.Group != "shop.slow" || full.Topic != "job" || full.Waiting != 2 || full.Bound != 2 || time.Since(began) != time.Minute {
				t.Errorf("%s: %+v after %v", name, full, time.Since(began))
			}
			if name == "Publish" && !strings.HasPrefix(err.Error(), "bus: publish job: ") {
				t.Errorf("text %q", err)
			}
		}
		waiting := make(chan error, 1)
		go func() { waiting <- b.Publish(t.Context(), Job{3}) }()
		synctest.Wait()
		close(gate)
		if err := <-waiting; err != nil {
			t.Errorf("with room again: %v", err)
		}
	})
}

// A producer that the channel doesn't give, and topics that can't be.
func TestNoProducer(t *testing.T) {
	a := &altered{Channel: memory.New(), producer: func(string, event.Producer) (event.Producer, error) { return nil, errBoom }}
	var w witness
	b := bus.New(bus.Config{Channel: a, Hooks: []any{&w}})
	start(t, b)
	if err := b.Publish(t.Context(), OrderPlaced{}); !errors.Is(err, errBoom) || !strings.Contains(err.Error(), `topic "order-placed"`) {
		t.Errorf("publish: %v", err)
	}
	var some *event.ProduceError
	if err := b.PublishAll(t.Context(), OrderPlaced{}); !errors.As(err, &some) || !errors.Is(err, errBoom) {
		t.Errorf("publish of all: %v", err)
	}
	if err := b.Publish(t.Context(), OrderPlaced{}, bus.Topic("a b")); err == nil || !strings.Contains(err.Error(), `topic "a b"`) {
		t.Errorf("publish to a bad topic: %v", err)
	}
	if len(w.published) != 3 || !errors.Is(w.published[0].Err, errBoom) {
		t.Errorf("told %+v", w.published)
	}
}
