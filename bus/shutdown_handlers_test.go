package bus_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// next handles what a Bus left on the channel and returns what came, with failures
// and time.
func next(t *testing.T, ch *memory.Channel, from time.Time) []string {
	t.Helper()
	var got []string
	b := bus.New(bus.Config{Channel: ch, KeepChannel: true})
	bus.Subscribe(b, "g", func(ctx context.Context, j Job) error {
		info, _ := event.FromContext(ctx)
		got = append(got, fmt.Sprintf("%d failures %d at %v", j.N, info.Failures, time.Since(from)))
		return nil
	})
	start(t, b)
	quiet(t, ch)
	if dead := letters(t, b, "g"); len(dead) > 0 {
		t.Errorf("%d dead letters because of a shutdown", len(dead))
	}
	return got
}

// What no handler has begun goes back at once; a handler that runs may finish;
// retries go back with what is left of their delay and the failures so far.
func TestShutdown(t *testing.T) {
	cases := map[string]struct {
		handler func(ctx context.Context, j Job) error // of the event 1, which runs when the shutdown begins
		patient time.Duration                          // how long the shutdown waits
		took    time.Duration
		left    string
		kinds   string
	}{
		"finishes": {
			handler: func(context.Context, Job) error { time.Sleep(time.Minute); return nil }, // virtual
			patient: time.Hour, took: time.Minute,
			left:  "[2 failures 0 at 1m0s 0 failures 1 at 1h0m0s]",
			kinds: "retry ack",
		},
		"is cancelled": {
			handler: func(ctx context.Context, _ Job) error { <-ctx.Done(); return context.Cause(ctx) },
			patient: time.Minute, took: time.Minute,
			left:  "[2 failures 0 at 1m0s 1 failures 0 at 1m0s 0 failures 1 at 1h0m0s]",
			kinds: "retry release",
		},
		"succeeds though it was cancelled": {
			handler: func(ctx context.Context, _ Job) error { <-ctx.Done(); time.Sleep(time.Second); return nil }, // virtual
			patient: time.Minute, took: time.Minute + time.Second,
			left:  "[2 failures 0 at 1m1s 0 failures 1 at 1h0m0s]",
			kinds: "retry ack",
		},
		"fails": {
			handler: func(context.Context, Job) error {
				time.Sleep(time.Minute) // virtual
				return event.RetryAfter(2*time.Hour, errBoom)
			},
			patient: time.Hour, took: time.Minute,
			left:  "[2 failures 0 at 1m0s 0 failures 1 at 1h0m0s 1 failures 1 at 2h1m0s]",
			kinds: "retry retry",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w witness
				ch := memory.New()
				b := bus.New(bus.Config{Channel: ch, KeepChannel: true, Hooks: []any{&w}, CancelGrace: time.Minute})
				bus.Subscribe(b, "g", func(ctx context.Context, j Job) error {
					switch j.N {
					case 0:
						return event.RetryAfter(time.Hour, errBoom)
					case 1:
						return c.handler(ctx, j)
					}
					t.Error("an event was begun after the shutdown")
					return nil
				})
				start(t, b)
				began := time.Now()
				for n := range 3 {
					publish(t, b, Job{n})
					synctest.Wait()
				}
				ctx, cancel := context.WithTimeout(t.Context(), c.patient)
				defer cancel()
				if err := b.Shutdown(ctx); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took != c.took {
					t.Errorf("the shutdown took %v, want %v", took, c.took)
				}
				if got := fmt.Sprint(next(t, ch, began)); got != c.left {
					t.Errorf("left %s, want %s", got, c.left)
				}
				if got := w.kinds(); got != c.kinds {
					t.Errorf("settled %q, want %q", got, c.kinds)
				}
			})
		})
	}
}

// A handler that ignores its context is left behind: Shutdown returns within
// CancelGrace and says so, also to later calls, and what it held goes back.
func TestShutdownLeavesStuckHandlersBehind(t *testing.T) {
	for name, grace := range map[string]time.Duration{"default": 0, "said": 7 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate := make(chan struct{})
				ch := memory.New()
				b := bus.New(bus.Config{Channel: ch, KeepChannel: true, CancelGrace: grace})
				bus.Subscribe(b, "g", func(context.Context, Job) error { <-gate; return errBoom })
				start(t, b)
				began := time.Now()
				publish(t, b, Job{1})
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := b.Shutdown(ctx)
				if err == nil || !strings.Contains(err.Error(), `group "g": handlers still run: 1 handlers`) {
					t.Errorf("shutdown: %v", err)
				}
				if grace == 0 {
					grace = 2 * time.Second
				}
				if took := time.Since(began); took != time.Minute+grace {
					t.Errorf("shutdown took %v", took)
				}
				if again := b.Shutdown(t.Context()); again == nil || again.Error() != err.Error() {
					t.Errorf("second shutdown: %v", again)
				}
				if got := fmt.Sprint(next(t, ch, began)); got != fmt.Sprintf("[1 failures 0 at %v]", time.Minute+grace) {
					t.Errorf("left %s", got)
				}
				close(gate)
			})
		})
	}
}

// deaf doesn't end its Receive.
type deaf struct {
	event.Consumer

	gate chan struct{}
}

func (d deaf) Receive(context.Context, []event.Delivery) (int, error) {
	<-d.gate
	return 0, event.ErrClosed
}

// Nor does Shutdown wait for an engine that doesn't end.
func TestShutdownLeavesADeafEngineBehind(t *testing.T) {
	for _, patient := range []time.Duration{0, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			gate := make(chan struct{})
			a := &altered{Channel: memory.New(), consumer: func(_ event.Subscription, c event.Consumer) (event.Consumer, error) {
				return deaf{c, gate}, nil
			}}
			b := bus.New(bus.Config{Channel: a})
			bus.Subscribe(b, "g", handle[Job])
			start(t, b)
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), patient)
			defer cancel()
			began := time.Now()
			if err := b.Shutdown(ctx); err == nil || !strings.Contains(err.Error(), "handlers still run") {
				t.Errorf("shutdown: %v", err)
			}
			if took := time.Since(began); took != patient+2*time.Second {
				t.Errorf("shutdown took %v", took)
			}
			close(gate)
		})
	}
}

// Later calls wait for the first; who has the least patience ends it for all.
func TestShutdownTwiceAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		patience []time.Duration // of the calls; 0: endless
		takes    time.Duration
	}{
		"all are patient":   {[]time.Duration{0, 0, 0}, time.Minute},
		"long enough":       {[]time.Duration{0, 2 * time.Minute}, time.Minute},
		"the later is not":  {[]time.Duration{0, time.Second}, 2 * time.Second},
		"the first is not":  {[]time.Duration{time.Second, 0}, 2 * time.Second},
		"the third is done": {[]time.Duration{0, time.Second, -1}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, bus.Config{}, func(b *bus.Bus) {
				bus.Subscribe(b, "g", func(ctx context.Context, _ Job) error {
					select {
					case <-ctx.Done():
						time.Sleep(time.Second) // virtual
						return context.Cause(ctx)
					case <-time.After(time.Minute):
						return nil
					}
				})
			}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
				publish(t, b, Job{1})
				synctest.Wait()
				began := time.Now()
				var calls sync.WaitGroup
				for _, d := range c.patience {
					calls.Go(func() {
						ctx := t.Context()
						if d != 0 {
							var cancel context.CancelFunc
							ctx, cancel = context.WithTimeout(ctx, d)
							defer cancel()
						}
						if err := b.Shutdown(ctx); err != nil || time.Since(began) != c.takes {
							t.Errorf("shutdown with patience %v: %v after %v, want %v", d, err, time.Since(began), c.takes)
						}
					})
					synctest.Wait()
				}
				calls.Wait()
			})
		})
	}
}

// Who handles can't wait for its own end.
func TestShutdownInAHandler(t *testing.T) {
	var errs []error
	inBubble(t, bus.Config{}, func(b *bus.Bus) {
		bus.Subscribe(b, "g", func(ctx context.Context, _ Job) error {
			errs = append(errs, b.Shutdown(ctx), b.Drain(ctx))
			return nil
		})
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		publish(t, b, Job{1})
		quiet(t, ch)
		for _, err := range errs {
			if err == nil || !strings.Contains(err.Error(), "would wait for that handler") {
				t.Errorf("shutdown in a handler: %v", err)
			}
		}
		publish(t, b, Job{2}) // nothing is shut down
	})
}

// A handler publishes during a shutdown; others don't.
func TestPublishDuringShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w witness
		ch := memory.New()
		b := bus.New(bus.Config{Channel: ch, KeepChannel: true, Hooks: []any{&w}})
		bus.Subscribe(b, "g", func(ctx context.Context, _ Job) error {
			time.Sleep(time.Minute) // virtual
			return errors.Join(b.Publish(ctx, out{1}), b.Publish(ctx, out{2}, bus.Now()))
		})
		start(t, b)
		publish(t, b, Job{1})
		synctest.Wait()
		done := make(chan error, 1)
		go func() { done <- b.Shutdown(t.Context()) }()
		synctest.Wait()
		if err := b.Publish(t.Context(), out{3}); !errors.Is(err, event.ErrClosed) {
			t.Errorf("publish: %v", err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := len(ids(w.published, "out")); n != 2 {
			t.Errorf("%d went out, want 2", n)
		}
	})
}

// The channel is closed at the end, unless it is somebody else's; its error is
// returned.
func TestShutdownClosesTheChannel(t *testing.T) {
	for _, keep := range []bool{false, true} {
		c := &closer{Channel: memory.New()}
		b := bus.New(bus.Config{Channel: c, KeepChannel: keep})
		start(t, b)
		err := b.Shutdown(t.Context())
		if keep && (err != nil || c.closed != 0) || !keep && (!errors.Is(err, errBoom) || c.closed != 1) {
			t.Errorf("keep %v: %v, closed %d times", keep, err, c.closed)
		}
	}
	b := bus.New(bus.Config{Channel: &closer{Channel: memory.New()}})
	if err := b.Shutdown(t.Context()); !errors.Is(err, errBoom) {
		t.Errorf("shutdown without a start: %v", err)
	}
	if err := b.Publish(t.Context(), Job{}); !errors.Is(err, event.ErrClosed) {
		t.Errorf("publish: %v", err)
	}
	if err := bus.New(bus.Config{}).Shutdown(t.Context()); err != nil {
		t.Errorf("shutdown of nothing: %v", err)
	}
}

type closer struct {
	*memory.Channel

	closed int
}

func (c *closer) Close(ctx context.Context) error {
	c.closed++
	return errors.Join(c.Channel.Close(ctx), errBoom)
}

// Without Start, and after Shutdown, the Bus has no goroutine; in between it has a
// fetcher, a keeper and its workers for each group, however many events there are.
func TestGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		b := bus.New(bus.Config{Channel: ch})
		fail := true
		bus.Subscribe(b, "a", func(context.Context, Job) error {
			if fail {
				return event.RetryAfter(time.Hour, errBoom)
			}
			return nil
		}, bus.Workers(3))
		bus.Subscribe(b, "b", handle[Job], bus.Timeout(time.Hour))
		if n := goroutines(); n != 0 {
			t.Errorf("%d goroutines before the start", n)
		}
		start(t, b)
		for n := range 1000 {
			publish(t, b, Job{n})
		}
		synctest.Wait()
		if n := goroutines(); n != 2+3+2+1 {
			t.Errorf("%d goroutines, want 8", n)
		}
		fail = false
		drain(t, b)
		synctest.Wait()
		if n := goroutines(); n != 0 {
			t.Errorf("%d goroutines after the shutdown", n)
		}
	})
}

// goroutines counts those that a Bus started and that still run.
func goroutines() int {
	buf := make([]byte, 1<<20)
	n := 0
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(stack, "leat/bus.(*") && !strings.Contains(stack, "testing.tRunner") {
			n++
		}
	}
	return n
}

// Run serves until its context ends, and shuts down within ShutdownTimeout.
func TestRun(t *testing.T) {
	for name, c := range map[string]struct {
		works, timeout time.Duration
		took           time.Duration
		cause          error
	}{
		"at once":         {0, 0, 0, nil},
		"waits":           {29 * time.Second, 0, 29 * time.Second, nil},
		"default timeout": {time.Hour, 0, 30 * time.Second, event.ErrClosed},
		"said timeout":    {time.Hour, time.Minute, time.Minute, event.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var causes []error
				b := bus.New(bus.Config{Channel: memory.New(), ShutdownTimeout: c.timeout})
				bus.Subscribe(b, "g", func(ctx context.Context, _ Job) error {
					select {
					case <-time.After(c.works):
					case <-ctx.Done():
					}
					causes = append(causes, context.Cause(ctx))
					return context.Cause(ctx)
				})
				ctx, cancel := context.WithCancel(t.Context())
				ran := make(chan error, 1)
				go func() { ran <- b.Run(ctx) }()
				synctest.Wait()
				publish(t, b, Job{1})
				synctest.Wait()
				began := time.Now()
				cancel()
				if err := <-ran; err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took != c.took || !slices.Equal(causes, []error{c.cause}) {
					t.Errorf("run ended after %v; the handler's context with %v", took, causes)
				}
			})
		})
	}
}

func TestRunThatCantStart(t *testing.T) {
	b := bus.New(bus.Config{})
	if err := b.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "Config.Channel is nil") {
		t.Errorf("run: %v", err)
	}
}
