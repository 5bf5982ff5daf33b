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

func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &altered{Channel: memory.New(memory.Capacity(8))}
		b := bus.New(bus.Config{Channel: a, App: "shop"})
		release := make(chan struct{})
		bus.Subscribe(b, "work", func(_ context.Context, s Step) error {
			if s.N == 0 {
				return event.RetryAfter(time.Hour, errBoom)
			}
			<-release
			return nil
		}, bus.Workers(3))
		bus.Subscribe(b, "work", handle[OrderPlaced], bus.Topic("orders"))
		bus.Subscribe(b, "other", handle[Step])
		want := []bus.GroupStatus{
			{Group: "work", Wire: "shop.work", Handlers: []string{"work/step", "work/order-placed"}},
			{Group: "other", Wire: "shop.other", Handlers: []string{"other/step"}},
		}
		if got := b.Status(); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("before the start: %+v", got)
		}
		start(t, b)
		for n, key := range []string{"held", "held", "a", "b", "b"} {
			publish(t, b, Step{key, n})
		}
		synctest.Wait()
		if err := b.Pause("other"); err != nil {
			t.Fatal(err)
		}
		want[0].Topics, want[0].InHand, want[0].Held, want[0].Running = []string{"step", "orders"}, 5, 1, 2
		want[1].Topics, want[1].Paused = []string{"step"}, true
		if got := b.Status(); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("at work: %+v, want %+v", got, want)
		}
		close(release)
		drain(t, b)
		for _, s := range b.Status() {
			if s.InHand != 0 || s.Held != 0 || s.Running != 0 || s.Err != nil {
				t.Errorf("at the end: %+v", s)
			}
		}
	})
}

// What keeps a group from the channel, or from going on, is in its status.
func TestStatusOfTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &altered{Channel: memory.New()}
		a.consumer = func(_ event.Subscription, c event.Consumer) (event.Consumer, error) {
			return settler{c, func(context.Context, []event.Settlement) error { return errBoom }}, nil
		}
		b := bus.New(bus.Config{Channel: a})
		bus.Subscribe(b, "g", handle[Step])
		start(t, b)
		publish(t, b, Step{"k", 1})
		synctest.Wait()
		if s := b.Status()[0]; s.Stalled != bus.StallSettle || !errors.Is(s.Err, errBoom) || s.InHand != 1 {
			t.Errorf("status %+v", s)
		}
	})
}

func TestLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bus.New(bus.Config{Channel: memory.New(), App: "shop"})
		bus.Subscribe(b, "work", func(_ context.Context, s Step) error {
			if s.N == 0 {
				return event.Permanent(errBoom)
			}
			return event.RetryAfter(24*time.Hour, errBoom)
		})
		bus.Subscribe(b, "work", handle[OrderPlaced])
		if _, err := b.Lag(t.Context()); !errors.Is(err, bus.ErrNotStarted) {
			t.Errorf("before the start: %v", err)
		}
		start(t, b)
		publish(t, b, Step{"dead", 0})
		publish(t, b, Step{"k", 1})
		publish(t, b, Step{"later", 2}, bus.Delay(48*time.Hour))
		time.Sleep(time.Hour) // virtual
		lags, err := b.Lag(t.Context())
		want := []bus.GroupLag{
			{Group: "work", Topic: "step", Lag: event.Lag{InHand: 1, Delayed: 1, Dead: 1, OldestAge: time.Hour}},
			{Group: "work", Topic: "order-placed"},
		}
		if err != nil || fmt.Sprint(lags) != fmt.Sprint(want) {
			t.Errorf("%+v, %v", lags, err)
		}
	})
}

// lagging reports the lag of one topic only.
type lagging struct{ event.Channel }

func (l lagging) Lag(_ context.Context, topic, _ string) (event.Lag, error) {
	if topic == "step" {
		return event.Lag{}, errBoom
	}
	return event.Lag{Waiting: 7}, nil
}

func TestLagThatTheChannelDoesntTell(t *testing.T) {
	b := bus.New(bus.Config{Channel: struct{ event.Channel }{memory.New()}})
	start(t, b)
	if _, err := b.Lag(t.Context()); !errors.Is(err, event.ErrNotSupported) {
		t.Errorf("of a channel that can't tell: %v", err)
	}
	b = bus.New(bus.Config{Channel: lagging{memory.New()}})
	bus.Subscribe(b, "g", handle[Step])
	bus.Subscribe(b, "g", handle[OrderPlaced])
	start(t, b)
	lags, err := b.Lag(t.Context())
	if fmt.Sprint(lags) != fmt.Sprint([]bus.GroupLag{{Group: "g", Topic: "order-placed", Lag: event.Lag{Waiting: 7}}}) ||
		!errors.Is(err, errBoom) || !strings.Contains(err.Error(), `group "g" on topic "step"`) {
		t.Errorf("%+v, %v", lags, err)
	}
}

// deliveries remembers what OnDeliver was told.
type deliveries struct{ all []bus.Delivered }

func (d *deliveries) OnDeliver(x bus.Delivered) { d.all = append(d.all, x) }

// Each delivery is told, before its handler runs.
func TestDeliverHook(t *testing.T) {
	var told deliveries
	inBubble(t, bus.Config{App: "shop", Hooks: []any{&told}}, func(b *bus.Bus) {
		bus.Subscribe(b, "g", func(_ context.Context, s Step) error {
			if len(told.all) < s.N {
				t.Errorf("the handler of step %d runs, %d deliveries were told", s.N, len(told.all))
			}
			return nil
		})
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		publish(t, b, Step{"k", 1})
		quiet(t, ch)
		publish(t, b, Step{"k", 2})
		quiet(t, ch)
		if len(told.all) != 2 {
			t.Fatalf("%d deliveries were told", len(told.all))
		}
		d := told.all[1]
		if d.Group != "g" || d.Delivery.Attempt != 1 || d.Delivery.Topic != "step" || string(d.Delivery.Event.Data()) != `{"K":"k","N":2}` {
			t.Errorf("told %+v", d)
		}
	})
}

// Drain doesn't let what is there wait for more, which can't come.
func TestDrainHurriesBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen batches
		b := bus.New(bus.Config{Channel: memory.New()})
		bus.SubscribeBatch(b, "g", func(_ context.Context, rows []Row) error { seen.add(rows); return nil }, bus.Batch(500, 24*time.Hour))
		start(t, b)
		for n := range 3 {
			publish(t, b, Row{"", n})
		}
		synctest.Wait()
		began := time.Now()
		drain(t, b)
		if seen.sizes() != "[3]" || time.Since(began) > time.Second {
			t.Errorf("batches of %s after %v", seen.sizes(), time.Since(began))
		}
	})
}
