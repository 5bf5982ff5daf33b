package bus_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

func handle[T any](context.Context, T) error { return nil }

func around(next event.Handler) event.Handler { return next }

// checked is a middleware that looks at what it was put on.
type checked struct {
	err  error
	seen *[]event.Subscription
}

func (checked) Wrap(next event.Handler) event.Handler { return next }

func (c checked) CheckStart(s event.Subscription, g event.Guarantees) error {
	if c.seen != nil {
		*c.seen = append(*c.seen, s)
	}
	if g.Channel != "memory" {
		return errors.New("no guarantees")
	}
	return c.err
}

// requireMistakes starts a Bus and wants each of the texts in the error, on a line
// of its own, and no other line.
func requireMistakes(t *testing.T, b *bus.Bus, want ...string) {
	t.Helper()
	err := b.Start(t.Context())
	if err == nil {
		t.Fatalf("Start returned nil, want %q", want)
	}
	lines := strings.Split(strings.TrimPrefix(err.Error(), "bus: start: "), "\n")
	for _, w := range want {
		i := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, w) })
		if i < 0 {
			t.Errorf("no mistake with %q in:\n%v", w, err)
			continue
		}
		lines = slices.Delete(lines, i, i+1)
	}
	if len(lines) > 0 {
		t.Errorf("mistakes that nobody made:\n%s", strings.Join(lines, "\n"))
	}
	if err := b.Ready(); !errors.Is(err, bus.ErrNotStarted) {
		t.Errorf("ready: %v, want ErrNotStarted", err)
	}
	if err := b.Publish(t.Context(), OrderPlaced{}); !errors.Is(err, bus.ErrNotStarted) {
		t.Errorf("publish: %v, want ErrNotStarted", err)
	}
}

func TestMistakesOfTheConfiguration(t *testing.T) {
	b := bus.New(bus.Config{
		App:        "my shop.eu",
		Middleware: []event.Middleware{event.MiddlewareFunc(around), nil},
		Transforms: []event.Transform{nil},
		Codecs:     []event.Codec{nil},
		Hooks:      []any{&witness{}, 42, nil},
	})
	bus.Subscribe(b, "g", handle[OrderPlaced])
	requireMistakes(t, b,
		"Config.Channel is nil",
		`App "my shop.eu": only letters`,
		"'.' separates the App from the group",
		"Config.Middleware has a nil middleware",
		"Config.Transforms has a nil transform",
		"Config.Codecs has a nil codec",
		"int implements no hook",
		"<nil> implements no hook",
	)
}

func TestMistakesOfSubscriptions(t *testing.T) {
	b := bus.New(bus.Config{Channel: memory.New()})
	bus.Subscribe(b, "bad group", handle[OrderPlaced], nil)
	bus.Subscribe(b, "", handle[OrderPlaced])
	bus.Subscribe(b, strings.Repeat("g", 101), handle[OrderPlaced])
	bus.Subscribe(b, "nil", (func(context.Context, OrderPlaced) error)(nil))
	bus.SubscribeRaw(b, "nil", []string{"a"}, nil)
	bus.Subscribe(b, "anonymous", handle[struct{}])
	bus.Subscribe(b, "event", handle[event.Event])
	bus.Subscribe(b, "bad-type", handle[badName])
	bus.Subscribe(b, "bad-topic", handle[badTopic])
	bus.Subscribe(b, "bad-option", handle[OrderPlaced], bus.Topic("a b"), bus.Timeout(-1), bus.With(nil), bus.Workers(0), bus.InFlight(0), bus.Retry(bus.Backoff{First: -1}))
	bus.Subscribe(b, "many", handle[OrderPlaced], bus.Workers(1<<20+1), bus.InFlight(1<<40))
	bus.SubscribeBatch(b, "batch", func(context.Context, []OrderPlaced) error { return nil }, bus.Batch(1<<40, 0))
	bus.Subscribe(b, "max", handle[OrderPlaced], bus.Retry(bus.Backoff{Max: -1}))
	bus.Subscribe(b, "attempts", handle[OrderPlaced], bus.Retry(bus.Backoff{Attempts: -1}))
	bus.Subscribe(b, "first", handle[OrderPlaced], bus.Retry(bus.Backoff{First: 2, Max: 1}))
	bus.SubscribeRaw(b, "raw-nothing", nil, handle[event.Event])
	bus.SubscribeRaw(b, "raw-empty", []string{""}, handle[event.Event])
	bus.SubscribeRaw(b, "raw-type", []string{"no topic"}, handle[event.Event])
	requireMistakes(t, b,
		`group "bad group": bus: group "bad group": only letters`,
		"bus: empty group",
		"is longer than 100 bytes",
		`group "nil": nil handler for order-placed`,
		`group "nil": nil raw handler`,
		`group "anonymous": bus: type struct {} has no name`,
		`group "event": Subscribe with event.Event`,
		`group "bad-type": bus: event type "order placed"`,
		`group "bad-topic": bus: topic "orders/new"`,
		`group "bad-option": bus: topic "a b"`,
		"Timeout is negative",
		"With has a nil middleware",
		"Workers(0): at least 1",
		"InFlight(0): at least 1",
		"Workers(1048577): at most 1048576",
		"InFlight(1099511627776): at most 1048576",
		"Batch(1099511627776): at most 1048576",
		"Retry: First is negative",
		"Retry: Max is negative",
		"Retry: Attempts is negative",
		"Retry: First is longer than Max",
		`group "raw-nothing": a raw subscription without types needs a Topic`,
		`group "raw-empty": empty event type`,
		`group "raw-type": bus: topic "no topic"`,
	)
}

func TestMistakesOfGroups(t *testing.T) {
	boom := errors.New("not on this channel")
	var seen []event.Subscription
	a := &altered{Channel: memory.New()}
	b := bus.New(bus.Config{Channel: a, App: "shop", Middleware: []event.Middleware{checked{nil, &seen}}})
	bus.Subscribe(b, "twice", handle[OrderPlaced])
	bus.Subscribe(b, "twice", handle[OrderPlaced])
	bus.SubscribeRaw(b, "twice", []string{"x", "order-placed"}, handle[event.Event])
	bus.SubscribeRaw(b, "rest", nil, handle[event.Event], bus.Topic("a"), bus.Topic("b"))
	bus.SubscribeRaw(b, "rest", nil, handle[event.Event], bus.Topic("c"), bus.Topic("b"))
	bus.Subscribe(b, "said", handle[OrderPlaced], bus.Workers(1), bus.InFlight(1), bus.From(event.Newest()))
	bus.Subscribe(b, "said", handle[OrderV2], bus.Workers(2), bus.InFlight(2), bus.From(event.Start{}))
	bus.Subscribe(b, "agreed", handle[OrderPlaced], bus.Workers(2), bus.InFlight(3), bus.From(event.Newest()), bus.Strict(), bus.Unordered())
	bus.Subscribe(b, "agreed", handle[OrderV2], bus.Workers(2), bus.InFlight(3), bus.From(event.Newest()), bus.Strict(), bus.Unordered())
	bus.Subscribe(b, "half", handle[OrderPlaced], bus.Workers(2))
	bus.Subscribe(b, "half", handle[OrderV2])
	bus.Subscribe(b, "oldest", handle[OrderPlaced], bus.From(event.Oldest()))
	bus.Subscribe(b, "since", handle[OrderPlaced], bus.From(event.Since(time.Unix(1, 0))))
	bus.Subscribe(b, "checked", handle[OrderPlaced], bus.With(checked{boom, nil}))
	requireMistakes(t, b,
		`group "twice": two handlers for "order-placed"`,
		`group "twice": two handlers for "order-placed"`,
		`group "rest": two raw handlers for all types of topic "b"`,
		`group "said": Workers belongs to the group, and two subscriptions say 1 and 2`,
		`group "said": InFlight belongs to the group`,
		`group "said": From belongs to the group`,
		`group "oldest": topic "order-placed": From: event: the channel keeps no history (memory)`,
		`group "since": topic "order-placed": From: event: the channel keeps no history (memory)`,
		`handler "checked/order-placed": not on this channel`,
	)
	if len(a.consumers) > 0 {
		t.Errorf("%d consumers were opened", len(a.consumers))
	}
	if len(seen) == 0 || seen[0].Group != "shop.twice" || !slices.Contains(seen[0].Topics, "order-placed") {
		t.Errorf("CheckStart saw %+v", seen)
	}
}

// On a channel that outlives the process the name of a group needs the App: others
// are on it too.
func TestDurableChannelNeedsAnApp(t *testing.T) {
	durable := func() event.Channel {
		return &altered{Channel: memory.New(), promise: func(g *event.Guarantees) { g.Durable = true }}
	}
	b := bus.New(bus.Config{Channel: durable()})
	bus.Subscribe(b, "g", handle[OrderPlaced])
	requireMistakes(t, b, `group "g": Config.App is empty: memory needs the application's name`)

	b = bus.New(bus.Config{Channel: durable(), App: "shop"})
	bus.Subscribe(b, "g", handle[OrderPlaced])
	start(t, b)
}

// What the consumer is asked for.
func TestSubscriptionOfAGroup(t *testing.T) {
	a := &altered{Channel: memory.New(memory.Retain(1))}
	b := bus.New(bus.Config{Channel: a, App: "shop", CancelGrace: 7 * time.Second})
	bus.Subscribe(b, "plain", handle[streamed])
	bus.Subscribe(b, "plain", handle[OrderPlaced])
	bus.Subscribe(b, "strict", handle[OrderPlaced], bus.Strict(), bus.InFlight(9), bus.From(event.Oldest()))
	bus.SubscribeRaw(b, "raw", []string{"z", "a", "streamed"}, handle[event.Event])
	bus.SubscribeRaw(b, "rest", nil, handle[event.Event], bus.Topic("t1"), bus.Topic("t2"))
	bus.Subscribe(b, "rest", handle[OrderPlaced], bus.Topic("t2"))
	bus.Subscribe(b, "workers", handle[OrderPlaced], bus.Workers(1000))
	start(t, b)
	want := []event.Subscription{
		{Group: "shop.plain", Topics: []string{"orders", "order-placed"}, Types: []string{"order-placed", "streamed"}, InFlight: 512},
		{Group: "shop.strict", Topics: []string{"order-placed"}, InFlight: 9, From: event.Oldest()},
		{Group: "shop.raw", Topics: []string{"z", "a", "orders"}, Types: []string{"a", "streamed", "z"}, InFlight: 512},
		{Group: "shop.rest", Topics: []string{"t1", "t2"}, InFlight: 512},
		{Group: "shop.workers", Topics: []string{"order-placed"}, Types: []string{"order-placed"}, InFlight: 1000},
	}
	for i, w := range want {
		got := a.wanted[i]
		if got.Group != w.Group || !slices.Equal(got.Topics, w.Topics) || !slices.Equal(got.Types, w.Types) || got.InFlight != w.InFlight || got.From != w.From {
			t.Errorf("consumer of %+v, want %+v", got, w)
		}
		if got.Grace != 7*time.Second || got.CancelGrace != 7*time.Second || got.OnError == nil || got.OnLost == nil || got.Ephemeral {
			t.Errorf("consumer of %+v", got)
		}
	}
}

func TestSubscribeAfterStartPanics(t *testing.T) {
	b := bus.New(bus.Config{Channel: memory.New()})
	start(t, b)
	for name, subscribe := range map[string]func(){
		"Subscribe":    func() { bus.Subscribe(b, "g", handle[OrderPlaced]) },
		"SubscribeRaw": func() { bus.SubscribeRaw(b, "g", []string{"a"}, handle[event.Event]) },
	} {
		func() {
			defer func() {
				if s, _ := recover().(string); !strings.Contains(s, "bus: "+name+" after Start") {
					t.Errorf("%s panicked with %q", name, s)
				}
			}()
			subscribe()
		}()
	}
}

func TestStartTwice(t *testing.T) {
	b := bus.New(bus.Config{Channel: memory.New()})
	start(t, b)
	if err := b.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "started already") {
		t.Errorf("second start: %v", err)
	}
	if err := b.Ready(); err != nil {
		t.Error(err)
	}
	if err := b.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := b.Start(t.Context()); !errors.Is(err, event.ErrClosed) {
		t.Errorf("start after the shutdown: %v", err)
	}
}

// What is wrong outside lets Start fail and leaves nothing behind; the next Start
// may succeed.
func TestStartAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := true
		var runs tally
		a := &altered{Channel: memory.New()}
		a.consumer = func(s event.Subscription, c event.Consumer) (event.Consumer, error) {
			if away && s.Group != "a" {
				return nil, errors.Join(errBoom, c.Close(t.Context()))
			}
			return c, nil
		}
		wraps := 0
		once := event.MiddlewareFunc(func(next event.Handler) event.Handler { wraps++; return next })
		b := bus.New(bus.Config{Channel: a, Middleware: []event.Middleware{once}})
		for _, g := range []string{"a", "b", "c"} {
			bus.Subscribe(b, g, func(context.Context, OrderPlaced) error { runs.add(g); return nil })
		}
		requireMistakes(t, b, `group "b": boom`, `group "c": boom`)
		groups, err := a.Groups(t.Context(), "order-placed")
		if err != nil || len(groups) != 3 {
			t.Fatalf("groups %v, error %v", groups, err)
		}
		for _, g := range groups {
			if g.Members > 0 {
				t.Errorf("group %s has %d members after a failed start", g.Group, g.Members)
			}
		}
		away = false
		start(t, b)
		publish(t, b, OrderPlaced{})
		drain(t, b)
		if n := len(runs.count); n != 3 || runs.total() != 3 {
			t.Errorf("%d runs in %d groups", runs.total(), n)
		}
		if wraps != 3 {
			t.Errorf("3 handlers were wrapped %d times", wraps)
		}
	})
}

// When Start has returned every group exists, whichever was opened last, and the
// end of its context ends nothing.
func TestContextBoundsOnlyTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs tally
		ch := memory.New()
		b := bus.New(bus.Config{Channel: ch})
		bus.Subscribe(b, "g", func(ctx context.Context, _ OrderPlaced) error {
			if runs.add("g") == 1 {
				return errBoom
			}
			return ctx.Err()
		})
		ctx, cancel := context.WithCancel(t.Context())
		if err := b.Start(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		publish(t, b, OrderPlaced{})
		drain(t, b)
		if runs.total() != 2 {
			t.Errorf("%d runs, want 2", runs.total())
		}
	})
}

// slowChannel makes no consumer before the context ends.
type slowChannel struct {
	*memory.Channel

	entered chan struct{}
}

func (c slowChannel) Consumer(ctx context.Context, s event.Subscription) (event.Consumer, error) {
	if c.entered != nil {
		close(c.entered)
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestStartInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bus.New(bus.Config{Channel: slowChannel{Channel: memory.New()}})
		bus.Subscribe(b, "g", handle[OrderPlaced])
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if err := b.Start(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("start: %v", err)
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("start took %v", took)
		}
	})
}

// A consumer that was opened after all is closed when the time was up.
func TestStartThatEndsTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := 0
		a := &altered{Channel: memory.New()}
		a.consumer = func(_ event.Subscription, c event.Consumer) (event.Consumer, error) {
			pass(time.Hour)
			return closing{c, &closed}, nil
		}
		b := bus.New(bus.Config{Channel: a})
		bus.Subscribe(b, "g", handle[OrderPlaced])
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := b.Start(ctx); !errors.Is(err, context.DeadlineExceeded) || closed != 1 {
			t.Errorf("start: %v; the consumer was closed %d times", err, closed)
		}
		if err := b.Ready(); !errors.Is(err, bus.ErrNotStarted) {
			t.Errorf("ready: %v", err)
		}
	})
}

// A Shutdown while Start is at work ends it, even when Start doesn't come to its
// end by itself.
func TestShutdownDuringStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := slowChannel{memory.New(), make(chan struct{})}
		b := bus.New(bus.Config{Channel: ch})
		bus.Subscribe(b, "g", handle[OrderPlaced])
		started := make(chan error, 1)
		go func() { started <- b.Start(t.Context()) }()
		<-ch.entered
		if err := b.Pause("g"); !errors.Is(err, bus.ErrNotStarted) {
			t.Errorf("pause during the start: %v", err)
		}
		if err := b.Start(t.Context()); err == nil {
			t.Error("a second start at the same time")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := b.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-started; !errors.Is(err, event.ErrClosed) {
			t.Errorf("start: %v, want ErrClosed", err)
		}
		if err := b.Start(t.Context()); !errors.Is(err, event.ErrClosed) {
			t.Errorf("start after the shutdown: %v", err)
		}
	})
}

func TestNotStarted(t *testing.T) {
	b := bus.New(bus.Config{Channel: memory.New()})
	bus.Subscribe(b, "g", handle[OrderPlaced])
	for name, err := range map[string]error{
		"Publish":    b.Publish(t.Context(), OrderPlaced{}),
		"PublishAll": b.PublishAll(t.Context(), OrderPlaced{}),
		"Ready":      b.Ready(),
		"Pause":      b.Pause("g"),
		"Resume":     b.Resume("g"),
		"Drain":      b.Drain(t.Context()),
	} {
		if !errors.Is(err, bus.ErrNotStarted) {
			t.Errorf("%s: %v, want ErrNotStarted", name, err)
		}
	}
	for _, err := range b.DeadLetters(t.Context(), "g") {
		if !errors.Is(err, bus.ErrNotStarted) {
			t.Errorf("DeadLetters: %v, want ErrNotStarted", err)
		}
		return
	}
	t.Error("DeadLetters yields nothing before the start")
}

// A Start that doesn't heed its context comes too late: it closes what it opened.
func TestShutdownWithoutWaitingForStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := 0
		entered, gate := make(chan struct{}), make(chan struct{})
		a := &altered{Channel: memory.New()}
		a.consumer = func(_ event.Subscription, c event.Consumer) (event.Consumer, error) {
			close(entered)
			<-gate
			return closing{c, &closed}, nil
		}
		b := bus.New(bus.Config{Channel: a, KeepChannel: true})
		bus.Subscribe(b, "g", handle[OrderPlaced])
		started := make(chan error, 1)
		go func() { started <- b.Start(t.Context()) }()
		<-entered
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.Shutdown(ended); err == nil || !strings.Contains(err.Error(), "Start still runs") {
			t.Errorf("shutdown: %v", err)
		}
		close(gate)
		if err := <-started; !errors.Is(err, event.ErrClosed) {
			t.Errorf("start: %v, want ErrClosed", err)
		}
		if closed != 1 {
			t.Errorf("the consumer was closed %d times", closed)
		}
	})
}

// closing counts how often a consumer is closed.
type closing struct {
	event.Consumer

	n *int
}

func (c closing) Close(ctx context.Context) error {
	*c.n++
	return c.Consumer.Close(ctx)
}
