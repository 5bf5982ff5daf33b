package bus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// Dead letters belong to a group and a topic; a redrive reaches that group alone,
// with the failures back at zero.
func TestRedriveReachesItsGroup(t *testing.T) {
	var runs tally
	broken := true
	inBubble(t, bus.Config{App: "shop"}, func(b *bus.Bus) {
		for _, g := range []string{"a", "b"} {
			bus.SubscribeRaw(b, g, nil, func(ctx context.Context, e event.Event) error {
				info, _ := event.FromContext(ctx)
				runs.add(fmt.Sprintf("%s %s redriven %v attempt %d failures %d", g, e.ID(), info.Redriven, info.Attempt, info.Failures))
				if g == "a" && broken {
					return errBoom
				}
				return nil
			}, bus.Topic("t1"), bus.Topic("t2"), bus.Retry(bus.Backoff{Attempts: 2}))
		}
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		for i, topic := range []string{"t2", "t1", "t1"} {
			publish(t, b, event.New("/s", "x", nil).WithID(fmt.Sprint("e", i)), bus.Topic(topic))
			quiet(t, ch)
		}
		if len(letters(t, b, "b")) > 0 {
			t.Error("the other group has dead letters")
		}
		var order []string
		for _, d := range letters(t, b, "a") {
			order = append(order, d.Topic+" "+d.Event.ID())
		}
		if fmt.Sprint(order) != "[t1 e1 t1 e2 t2 e0]" {
			t.Errorf("dead letters %v, want topic by topic, oldest first", order)
		}
		for d, err := range b.DeadLetters(t.Context(), "a") {
			if err != nil || d.Group != "shop.a" || d.Cause.Handler != "a/*" {
				t.Errorf("dead letter %+v", d)
			}
			break // the iteration may end early
		}
		all := letters(t, b, "a")
		before := runs.total()
		broken = false
		if err := b.Redrive(t.Context(), all[0]); err != nil {
			t.Fatal(err)
		}
		quiet(t, ch)
		if last := runs.names()[before:]; fmt.Sprint(last) != "[a e1 redriven true attempt 1 failures 0]" {
			t.Errorf("the redrive was handled by %v", last)
		}
		if err := b.Redrive(t.Context(), all[0]); !errors.Is(err, event.ErrNotFound) {
			t.Errorf("second redrive: %v", err)
		}
		fixed := event.New("/s", "x", []byte("fixed")).WithID("fixed")
		if err := b.Redrive(t.Context(), all[1], fixed); err != nil {
			t.Fatal(err)
		}
		quiet(t, ch)
		if last := runs.names()[before+1:]; fmt.Sprint(last) != "[a fixed redriven true attempt 1 failures 0]" {
			t.Errorf("the repaired event was handled by %v", last)
		}
		if err := b.Discard(t.Context(), all[2]); err != nil {
			t.Fatal(err)
		}
		if err := b.Discard(t.Context(), all[2]); !errors.Is(err, event.ErrNotFound) {
			t.Errorf("second discard: %v", err)
		}
		if n := len(letters(t, b, "a")); n != 0 {
			t.Errorf("%d dead letters left", n)
		}
	})
}

// A repaired event names the failed one as its cause.
func TestRepairedEventNamesItsCause(t *testing.T) {
	var causes []string
	inBubble(t, bus.Config{}, func(b *bus.Bus) {
		bus.SubscribeRaw(b, "g", []string{"x"}, func(_ context.Context, e event.Event) error {
			if len(e.Data()) == 0 {
				return event.Permanent(errBoom)
			}
			causes = append(causes, e.Extension(event.ExtCausationID))
			return nil
		})
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		publish(t, b, event.New("/s", "x", nil).WithID("failed"))
		quiet(t, ch)
		d := letter(t, b, "g")
		if err := b.Redrive(t.Context(), d, event.New("/s", "x", []byte("fixed")).WithID("failed")); err == nil {
			t.Error("a repaired event with the failed one's id was taken")
		}
		if err := b.Redrive(t.Context(), d, event.New("/s", "x", []byte("fixed"))); err != nil {
			t.Fatal(err)
		}
		quiet(t, ch)
		if fmt.Sprint(causes) != "[failed]" {
			t.Errorf("causes %v", causes)
		}
	})
}

func TestDeadLettersOfOtherChannels(t *testing.T) {
	b := bus.New(bus.Config{Channel: plain{memory.New()}})
	bus.Subscribe(b, "g", handle[OrderPlaced])
	start(t, b)
	n := 0
	for _, err := range b.DeadLetters(t.Context(), "g") {
		n++
		if !errors.Is(err, event.ErrNotSupported) {
			t.Errorf("dead letters: %v", err)
		}
	}
	for _, err := range b.DeadLetters(t.Context(), "other") {
		n++
		if err == nil || errors.Is(err, event.ErrNotSupported) {
			t.Errorf("dead letters of another group: %v", err)
		}
	}
	if n != 2 {
		t.Errorf("%d errors", n)
	}
	if err := b.Redrive(t.Context(), event.DeadLetter{}); !errors.Is(err, event.ErrNotSupported) {
		t.Errorf("redrive: %v", err)
	}
	if err := b.Discard(t.Context(), event.DeadLetter{}); !errors.Is(err, event.ErrNotSupported) {
		t.Errorf("discard: %v", err)
	}
}
