package bus_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// receiver lets a consumer hand out other deliveries.
type receiver struct {
	event.Consumer

	change func(*event.Delivery)
}

func (r receiver) Receive(ctx context.Context, buf []event.Delivery) (int, error) {
	n, err := r.Consumer.Receive(ctx, buf)
	for i := range buf[:n] {
		r.change(&buf[i])
	}
	return n, err
}

// crowd is a group with room for four, and many keys of two events that fail. It
// returns how often the first of each key was handled.
func crowd(t *testing.T, a *altered, w *witness, attempts int) *tally {
	t.Helper()
	const keys = 30
	runs := new(tally)
	b := bus.New(bus.Config{Channel: a, Hooks: []any{w}})
	bus.Subscribe(b, "g", func(ctx context.Context, s Step) error {
		info, _ := event.FromContext(ctx)
		if s.N == 1 {
			if runs.count[s.K] != attempts {
				t.Errorf("key %s: the second event came after %d runs of the first", s.K, runs.count[s.K])
			}
			return nil
		}
		if n := runs.add(s.K); info.Failures != n-1 || info.Attempt < n {
			t.Errorf("run %d of key %s: %d failures, attempt %d", n, s.K, info.Failures, info.Attempt)
		}
		return errBoom
	}, bus.InFlight(4), bus.Retry(bus.Backoff{First: time.Hour, Max: time.Hour, Attempts: attempts}))
	start(t, b)
	for n := range 2 {
		for k := range keys {
			publish(t, b, Step{fmt.Sprint("k", k), n})
		}
	}
	quiet(t, a)
	dead := letters(t, b, "g")
	if len(dead) != keys {
		t.Errorf("%d dead letters, want %d", len(dead), keys)
	}
	for _, d := range dead {
		if d.Cause.Failures != attempts || d.Cause.Attempts < attempts {
			t.Errorf("cause %+v", d.Cause)
		}
	}
	for k := range keys {
		if n := runs.count[fmt.Sprint("k", k)]; n != attempts {
			t.Errorf("key %d was tried %d times, want %d", k, n, attempts)
		}
	}
	return runs
}

// Failures are counted on when keys are given back: by the channel, or by the Bus
// where the channel forgets them.
func TestFailuresSurviveAGiveBack(t *testing.T) {
	for _, keeps := range []bool{true, false} {
		t.Run(fmt.Sprint("channel keeps ", keeps), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w witness
				var mu sync.Mutex
				gaveBack := 0
				a := &altered{Channel: memory.New(), promise: func(g *event.Guarantees) { g.KeepsFailures = keeps }}
				a.consumer = func(_ event.Subscription, c event.Consumer) (event.Consumer, error) {
					forgets := receiver{c, func(d *event.Delivery) {
						if !keeps {
							d.Failures = 0
						}
					}}
					return settler{forgets, func(ctx context.Context, s []event.Settlement) error {
						mu.Lock()
						defer mu.Unlock()
						for _, x := range s {
							if x.Kind == event.SettleRetry {
								gaveBack++
							}
						}
						return c.Settle(ctx, s)
					}}, nil
				}
				crowd(t, a, &w, 5)
				if gaveBack == 0 {
					t.Error("nothing was given back")
				}
				told := 0
				for _, s := range w.settled {
					if s.Kind == event.SettleRetry {
						told++
					}
				}
				if told != gaveBack {
					t.Errorf("the hook was told of %d retries, want %d", told, gaveBack)
				}
				if w.stalled(bus.StallWindow) > 0 {
					t.Error("stalled for want of window")
				}
			})
		})
	}
}

// A retry is given back for as long as the channel can wait, and not at all when it
// can't.
func TestGiveBackAsLongAsTheChannelWaits(t *testing.T) {
	for longest, want := range map[time.Duration]time.Duration{
		-1: time.Hour, 10 * time.Minute: 10 * time.Minute, 0: 0, 2 * time.Hour: time.Hour,
	} {
		t.Run(fmt.Sprint(longest), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var most time.Duration
				gaveBack := 0
				a := &altered{Channel: memory.New(), promise: func(g *event.Guarantees) { g.MaxRetry = longest }}
				a.consumer = func(_ event.Subscription, c event.Consumer) (event.Consumer, error) {
					return settler{c, func(ctx context.Context, s []event.Settlement) error {
						mu.Lock()
						defer mu.Unlock()
						for _, x := range s {
							if x.Kind == event.SettleRetry {
								gaveBack++
								most = max(most, x.After)
							}
						}
						return c.Settle(ctx, s)
					}}, nil
				}
				b := bus.New(bus.Config{Channel: a})
				bus.Subscribe(b, "g", func(context.Context, Step) error { return event.RetryAfter(time.Hour, errBoom) },
					bus.InFlight(4), bus.Retry(bus.Backoff{Attempts: 3}))
				start(t, b)
				for range 20 {
					publish(t, b, Step{})
				}
				quiet(t, a)
				if (gaveBack == 0) != (want == 0) || most > want || most < want*9/10 {
					t.Errorf("%d given back for at most %v, want %v", gaveBack, most, want)
				}
				if n := len(letters(t, b, "g")); n != 20 {
					t.Errorf("%d dead letters", n)
				}
			})
		})
	}
}

// Where the channel takes nothing back, the lane waits and the hook says so, once;
// then it goes on.
func TestWithoutGiveBackTheLaneWaits(t *testing.T) {
	for _, workers := range []int{1, 3} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w witness
				var runs tally
				a := &altered{Channel: memory.New(), promise: func(g *event.Guarantees) { g.GivesBack = false }}
				b := bus.New(bus.Config{Channel: a, Hooks: []any{&w}})
				bus.Subscribe(b, "g", func(_ context.Context, s Step) error {
					time.Sleep(time.Millisecond) // virtual
					if runs.add(fmt.Sprint(s.N)) == 1 && s.N < 4 {
						return event.RetryAfter(time.Hour, errBoom)
					}
					return nil
				}, bus.InFlight(4), bus.Workers(workers))
				start(t, b)
				for n := range 6 {
					publish(t, b, Step{N: n})
				}
				pass(30 * time.Minute)
				if runs.total() != 4 || runs.count["4"] > 0 {
					t.Errorf("runs %v", runs.names())
				}
				if n := w.stalled(bus.StallWindow); n != 1 || w.stalls[0].Group != "g" {
					t.Errorf("%d stalls, want 1: %+v", n, w.stalls)
				}
				quiet(t, a)
				if runs.total() != 10 {
					t.Errorf("runs %v", runs.names())
				}
				if w.kinds() != "ack ack ack ack ack ack" {
					t.Errorf("settled %s", w.kinds())
				}
			})
		})
	}
}

// A delivery at the broker's own limit becomes a dead letter without a run: the
// broker would drop it elsewhere.
func TestRedriveLimit(t *testing.T) {
	for attempt, want := range map[int]int{1: 1, 2: 1, 3: 0, 4: 0} {
		t.Run(fmt.Sprint(attempt), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				runs := 0
				a := &altered{Channel: memory.New(), promise: func(g *event.Guarantees) { g.RedriveLimit = 3 }}
				a.consumer = func(_ event.Subscription, c event.Consumer) (event.Consumer, error) {
					return receiver{c, func(d *event.Delivery) { d.Attempt = attempt }}, nil
				}
				b := bus.New(bus.Config{Channel: a})
				bus.Subscribe(b, "g", func(ctx context.Context, _ OrderPlaced) error {
					if info, _ := event.FromContext(ctx); info.Attempt != attempt {
						t.Errorf("attempt %d, want %d", info.Attempt, attempt)
					}
					runs++
					return nil
				})
				start(t, b)
				publish(t, b, OrderPlaced{})
				quiet(t, a)
				if runs != want {
					t.Errorf("%d runs, want %d", runs, want)
				}
				if want == 0 {
					if c := letter(t, b, "g").Cause; c.Code != "broker-limit" || c.Attempts != attempt || c.Handler != "g/order-placed" {
						t.Errorf("cause %+v", c)
					}
				}
			})
		})
	}
}

// The keys that are given back are those that wait longest, and as many as make half
// of the window free.
func TestGiveBackTheLatestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var waits []time.Duration
		a := &altered{Channel: memory.New()}
		a.consumer = func(_ event.Subscription, c event.Consumer) (event.Consumer, error) {
			return settler{c, func(ctx context.Context, s []event.Settlement) error {
				mu.Lock()
				defer mu.Unlock()
				for _, x := range s {
					waits = append(waits, x.After)
				}
				return c.Settle(ctx, s)
			}}, nil
		}
		b := bus.New(bus.Config{Channel: a})
		bus.Subscribe(b, "g", func(_ context.Context, s Step) error {
			if s.N == 7 {
				time.Sleep(time.Second) // virtual: it is not held yet when others are given back
			}
			return event.RetryAfter(time.Duration(s.N)*time.Hour, errBoom)
		}, bus.InFlight(8))
		start(t, b)
		for _, hours := range []int{3, 6, 1, 5, 2, 4} {
			publish(t, b, Step{fmt.Sprint("k", hours), hours})
		}
		synctest.Wait()
		publish(t, b, Step{"k7", 7})
		synctest.Wait()
		if fmt.Sprint(waits) != "[6h0m0s 5h0m0s]" {
			t.Errorf("given back for %v", waits)
		}
	})
}
