package bus_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// begins returns when the attempts of an event in a group began.
func begins(t *testing.T, group, id string) (at []time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := bus.New(bus.Config{Channel: memory.New()})
		first := time.Now()
		bus.Subscribe(b, group, func(context.Context, Job) error {
			at = append(at, time.Since(first))
			return errBoom
		}, bus.Retry(bus.Backoff{First: time.Hour, Attempts: 4}))
		start(t, b)
		publish(t, b, Job{}, bus.ID(id))
		drain(t, b)
	})
	return at
}

// Random waits follow from the event and the group: the same again, others for others.
func TestWaitsFollowFromTheEvent(t *testing.T) {
	waits := begins(t, "mailer", "1")
	if again := begins(t, "mailer", "1"); !slices.Equal(waits, again) {
		t.Errorf("the same event of the same group waits %v, and %v", waits, again)
	}
	for what, other := range map[string][]time.Duration{
		"event": begins(t, "mailer", "2"), "group": begins(t, "stock", "1"),
	} {
		if slices.Equal(waits, other) {
			t.Errorf("another %s has the same waits, %v", what, waits)
		}
	}
}

// NewID gives ids to messages from outside of handlers that have none.
func TestNewID(t *testing.T) {
	n := 0
	b := bus.New(bus.Config{Channel: memory.New(), NewID: func(e event.Event) string {
		n++
		return fmt.Sprintf("%s-%d", e.Type(), n)
	}})
	var got []string
	bus.Subscribe(b, "mailer", func(ctx context.Context, _ Job) error {
		info, _ := event.FromContext(ctx)
		got = append(got, info.Event.ID())
		return b.Publish(ctx, Account{})
	})
	bus.Subscribe(b, "archive", func(ctx context.Context, _ Account) error { return nil })
	start(t, b)
	publish(t, b, Job{})
	publish(t, b, Job{}, bus.ID("given"))
	publish(t, b, Job{})
	drain(t, b)
	if want := []string{"job-1", "given", "job-2"}; !slices.Equal(got, want) || n != 2 {
		t.Errorf("ids are %v, want %v", got, want)
	}
}
