package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// The order of wrapping: Timeout, Config.Middleware, With, the recovery, the
// catalog, decoding, the handler.
func TestOrderOfWrapping(t *testing.T) {
	var story []string
	say := func(s string) { story = append(story, s) }
	mark := func(name string) event.Middleware {
		return event.MiddlewareFunc(func(next event.Handler) event.Handler {
			say("wrap " + name)
			return func(ctx context.Context, e event.Event) error {
				_, timed := ctx.Deadline()
				say(fmt.Sprintf("%s, timed %v, data %s", name, timed, e.Data()))
				err := next(ctx, e)
				var panicked *bus.PanicError
				say(fmt.Sprintf("after %s, panic %v", name, errors.As(err, &panicked)))
				return err
			}
		})
	}
	inBubble(t, bus.Config{Catalog: telling{newLedger(), say}, Middleware: []event.Middleware{mark("config 1"), mark("config 2")}}, func(b *bus.Bus) {
		bus.Subscribe(b, "g", func(_ context.Context, i Invoice) error {
			say(fmt.Sprintf("handler %v", i))
			panic("always")
		}, bus.With(mark("with 1"), mark("with 2")), bus.With(mark("with 3")), bus.Timeout(time.Second), bus.Retry(bus.Backoff{Attempts: 1}))
		if len(story) > 0 {
			t.Errorf("wrapped before the start: %v", story)
		}
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		publish(t, b, event.Attributes{
			Source: "/s", Type: "billing.invoice", Data: []byte(`{"Sum":7}`),
			Extensions: []event.Extension{{Name: event.ExtSchemaVersion, Value: "1"}},
		}.Event())
		quiet(t, ch)
		want := []string{
			"wrap with 3", "wrap with 2", "wrap with 1", "wrap config 2", "wrap config 1",
			`check {"Sum":7}`,
			`config 1, timed true, data {"Sum":7}`,
			`config 2, timed true, data {"Sum":7}`,
			`with 1, timed true, data {"Sum":7}`,
			`with 2, timed true, data {"Sum":7}`,
			`with 3, timed true, data {"Sum":7}`,
			`upcast {"Sum":7}`,
			`check {"Total":7}`,
			"handler {7}",
			"after with 3, panic true",
			"after with 2, panic true",
			"after with 1, panic true",
			"after config 2, panic true",
			"after config 1, panic true",
		}
		for i := range max(len(want), len(story)) {
			if i >= len(want) || i >= len(story) || story[i] != want[i] {
				t.Fatalf("step %d differs: got %q", i, story)
			}
		}
	})
}

type telling struct {
	ledger

	say func(string)
}

func (l telling) Check(e event.Event) error {
	l.say("check " + string(e.Data()))
	return l.ledger.Check(e)
}

func (l telling) Upcast(e event.Event) (event.Event, error) {
	l.say("upcast " + string(e.Data()))
	return l.ledger.Upcast(e)
}

// A middleware answers in place of the handler, changes what it gets, or its error.
func TestMiddlewareDecides(t *testing.T) {
	swap := event.MiddlewareFunc(func(next event.Handler) event.Handler {
		return func(ctx context.Context, e event.Event) error {
			if err := next(ctx, e.WithData("", []byte("changed"))); err == nil {
				return event.Permanent(errBoom)
			}
			return nil
		}
	})
	var got string
	inBubble(t, bus.Config{}, func(b *bus.Bus) {
		bus.SubscribeRaw(b, "g", []string{"a"}, func(_ context.Context, e event.Event) error { got = string(e.Data()); return nil }, bus.With(swap))
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		e := event.New("/s", "a", []byte("as it was"))
		publish(t, b, e)
		quiet(t, ch)
		if d := letter(t, b, "g"); got != "changed" || d.Cause.Code != "permanent" || !d.Event.Equal(e) {
			t.Errorf("the handler got %q; dead letter %+v", got, d)
		}
	})
}

// Transforms work on all that goes out, the first first; an error refuses it.
func TestTransforms(t *testing.T) {
	add := func(s string) event.Transform {
		return func(_ context.Context, e event.Event) (event.Event, error) {
			return e.WithExtension("seal", e.Extension("seal")+s), nil
		}
	}
	refuse := func(_ context.Context, e event.Event) (event.Event, error) {
		if e.Subject() == "bad" {
			return e, errBoom
		}
		if e.Type() == "order-v2" && e.Extension(event.ExtCausationID) == "" {
			return e, errors.New("nothing was inherited yet")
		}
		return e, nil
	}
	var seals []string
	inBubble(t, bus.Config{Transforms: []event.Transform{add("a"), add("b"), refuse}}, func(b *bus.Bus) {
		bus.Subscribe(b, "g", func(ctx context.Context, _ OrderPlaced) error { return b.Publish(ctx, OrderV2{}) })
		bus.SubscribeRaw(b, "seals", nil, func(_ context.Context, e event.Event) error {
			seals = append(seals, e.Type()+" "+e.Extension("seal"))
			return nil
		}, bus.Topic("order-placed"), bus.Topic("order-v2"), bus.Topic("x"))
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		publish(t, b, OrderPlaced{})
		quiet(t, ch)
		publish(t, b, event.New("/s", "x", nil))
		if err := b.Publish(t.Context(), OrderPlaced{}, bus.Subject("bad")); !errors.Is(err, errBoom) {
			t.Errorf("publish: %v", err)
		}
		if err := b.PublishAll(t.Context(), OrderPlaced{}, event.New("/s", "x", nil).WithSubject("bad")); !errors.Is(err, errBoom) {
			t.Errorf("publish of all: %v", err)
		}
		quiet(t, ch)
		slices.Sort(seals)
		if fmt.Sprint(seals) != "[order-placed ab order-v2 ab x ab]" {
			t.Errorf("seals %v", seals)
		}
	})
}
