package bus_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// ByTwo shares topic and keys with Row, and has a handler for single events.
type ByTwo struct {
	K string
	N int
}

func (ByTwo) EventTopic() string { return "row" }
func (b ByTwo) EventKey() string { return b.K }

// beginner lets a consumer begin and receive otherwise.
type beginner struct {
	event.Consumer

	begin   func(t event.Token) (context.Context, bool)
	receive func(ctx context.Context, buf []event.Delivery) (int, error)
}

func (b beginner) Begin(t event.Token) (context.Context, bool) {
	if b.begin == nil {
		return b.Consumer.Begin(t)
	}
	return b.begin(t)
}

func (b beginner) Receive(ctx context.Context, buf []event.Delivery) (int, error) {
	if b.receive == nil {
		return b.Consumer.Receive(ctx, buf)
	}
	return b.receive(ctx, buf)
}

// batching runs f in virtual time with a batch handler for Rows on a channel.
func batching(t *testing.T, ch *altered, c bus.Config, h func(ctx context.Context, rows []Row) error, f func(t *testing.T, b *bus.Bus), opts ...bus.SubscribeOption) {
	t.Helper()
	ch.Channel = memory.New()
	c.Channel = ch
	b := bus.New(c)
	bus.SubscribeBatch(b, "g", h, opts...)
	start(t, b)
	f(t, b)
	if left := bus.LeftInHand(b); left != "" {
		t.Errorf("left in hand: %s", left)
	}
}

var retryInAMinute = bus.Retry(bus.Backoff{First: time.Minute, Max: time.Minute})

// The first of a key is handled, but the settlement doesn't get through for an hour;
// the second, which failed, doesn't run again before.
func TestBatchRetryWaitsForTheSettlementAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var seen batches
		var at []time.Duration
		ch := &altered{consumer: func(_ event.Subscription, c event.Consumer) (event.Consumer, error) {
			return settler{c, func(ctx context.Context, s []event.Settlement) error {
				if time.Since(began) < time.Hour {
					return errBoom
				}
				return c.Settle(ctx, s)
			}}, nil
		}}
		batching(t, ch, bus.Config{}, func(_ context.Context, rows []Row) error {
			at = append(at, time.Since(began))
			if seen.add(rows) == 1 {
				return bus.BatchError{1: errBoom}
			}
			return nil
		}, func(t *testing.T, b *bus.Bus) {
			for n := range 4 {
				publish(t, b, Row{"a", n})
			}
			drain(t, b)
			if got, want := fmt.Sprint(seen.got), "[[{a 0} {a 1} {a 2} {a 3}] [{a 1} {a 2} {a 3}]]"; got != want {
				t.Fatalf("batches %s, want %s", got, want)
			}
			if at[1] < time.Hour {
				t.Errorf("the second ran again after %v, before the first was settled", at[1])
			}
		}, bus.Batch(4, time.Second), retryInAMinute)
	})
}

// The second of a key goes to another member between its receipt and the run: the
// others are not lost with it.
func TestBatchWithoutTheOneThatWasLost(t *testing.T) {
	for _, lost := range []int{1, 2, 4} {
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen batches
				n := 0
				ch := &altered{consumer: func(_ event.Subscription, c event.Consumer) (event.Consumer, error) {
					return beginner{Consumer: c, begin: func(token event.Token) (context.Context, bool) {
						if n++; n == lost {
							_ = c.Settle(t.Context(), []event.Settlement{event.Release(token)})
							return nil, false
						}
						return c.Begin(token)
					}}, nil
				}}
				batching(t, ch, bus.Config{}, func(_ context.Context, rows []Row) error {
					seen.add(rows)
					return nil
				}, func(t *testing.T, b *bus.Bus) {
					for n := range 4 {
						publish(t, b, Row{"a", n})
					}
					drain(t, b)
					count := make(map[int]int)
					for _, rows := range seen.got {
						for _, r := range rows {
							count[r.N]++
						}
					}
					if len(count) != 4 || count[0]+count[1]+count[2]+count[3] != 4 {
						t.Errorf("batches %v, want each once", seen.got)
					}
				}, bus.Batch(4, time.Second))
			})
		})
	}
}

// The lease of one ends while the batch runs: the context ends with its cause, the
// others come again at once, and that is no failure of theirs.
func TestBatchEndsWithTheLeaseOfOne(t *testing.T) {
	for name, look := range map[string]func(ctx context.Context) error{
		"done": func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) },
		"err":  func(ctx context.Context) error { time.Sleep(2 * time.Second); return ctx.Err() }, // virtual
		"child": func(ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			<-ctx.Done()
			return context.Cause(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen batches
				var ends []error
				var failures []int
				lease := new(event.Lease)
				w := &witness{}
				n := 0
				ch := &altered{}
				ch.consumer = func(_ event.Subscription, c event.Consumer) (event.Consumer, error) {
					return beginner{Consumer: c, begin: func(token event.Token) (context.Context, bool) {
						ctx, ok := c.Begin(token)
						if n++; n == 2 { // that of {b 1}
							time.AfterFunc(time.Second, func() {
								_ = c.Settle(t.Context(), []event.Settlement{event.Release(token)})
								lease.End(event.ErrLeaseLost)
							})
							return lease, ok
						}
						return ctx, ok
					}}, nil
				}
				batching(t, ch, bus.Config{Hooks: []any{w}}, func(ctx context.Context, rows []Row) error {
					for i := range rows {
						info, _ := event.FromContext(event.Element(ctx, i))
						failures = append(failures, info.Failures)
					}
					if seen.add(rows) > 1 {
						return nil
					}
					err := look(ctx)
					ends = append(ends, err)
					return err
				}, func(t *testing.T, b *bus.Bus) {
					for _, r := range []Row{{"a", 1}, {"b", 1}, {"c", 1}} {
						publish(t, b, r)
					}
					drain(t, b)
					if len(ends) != 1 || ends[0] == nil || name != "err" && !errors.Is(ends[0], event.ErrLeaseLost) {
						t.Errorf("the context ended with %v", ends)
					}
					for _, f := range failures {
						if f != 0 {
							t.Errorf("failures %v, want none", failures)
						}
					}
					if got := w.kinds(); got != "ack ack ack" {
						t.Errorf("settled %s", got)
					}
					for _, a := range w.attempts {
						if a.Err != nil && a.Info.Event.Key() == "b" {
							t.Error("the attempt of the lost one was told")
						}
					}
				}, bus.Batch(3, time.Second), bus.Retry(bus.Backoff{Attempts: 1}))
			})
		})
	}
}

// One that can't be decoded holds up its key on its topic only, and nothing where the
// group is unordered; what comes again for it has not failed.
func TestBatchBehindWhatCantBeDecoded(t *testing.T) {
	bad := func(topic string) event.Event {
		return event.Attributes{ID: "bad", Source: "/x", Type: "row", Key: "a", ContentType: "application/json", Data: []byte("{")}.Event()
	}
	for _, c := range []struct {
		want string
		opts []bus.SubscribeOption
	}{
		{"[[{a 1}] [{a 2}]] [0 0]", nil},
		{"[[{a 1} {a 2}]] [0 0]", []bus.SubscribeOption{bus.Unordered()}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var seen batches
			var failures []int
			batching(t, &altered{}, bus.Config{}, func(ctx context.Context, rows []Row) error {
				for i := range rows {
					info, _ := event.FromContext(event.Element(ctx, i))
					failures = append(failures, info.Failures)
				}
				seen.add(rows)
				return nil
			}, func(t *testing.T, b *bus.Bus) {
				publish(t, b, bad("row"), bus.Topic("row"))
				publish(t, b, Row{"a", 1}, bus.Topic("other"))
				publish(t, b, Row{"a", 2}, bus.Topic("row"))
				drain(t, b)
				if got := fmt.Sprint(seen.got, " ", failures); got != c.want {
					t.Errorf("batches and failures %s, want %s", got, c.want)
				}
			}, append(c.opts, bus.Batch(3, time.Second), bus.Topic("row"), bus.Topic("other"), bus.Retry(bus.Backoff{Attempts: 1}))...)
		})
	}
}

// A dead letter finds no room, or a settlement of the first of a key is refused in
// whatever way: those behind it wait, and none is lost.
func TestBatchSettlementRefusedForOne(t *testing.T) {
	for _, dead := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var seen batches
			refusals := 3
			ch := &altered{consumer: func(_ event.Subscription, c event.Consumer) (event.Consumer, error) {
				return settler{c, func(ctx context.Context, s []event.Settlement) error {
					if refusals == 0 {
						return c.Settle(ctx, s)
					}
					refusals--
					c.Hold(s[0].Token, 1)
					if err := c.Settle(ctx, s[1:]); err != nil {
						return err
					}
					return &event.SettleError{Failed: map[int]error{0: event.ErrFull}}
				}}, nil
			}}
			batching(t, ch, bus.Config{}, func(_ context.Context, rows []Row) error {
				if seen.add(rows) == 1 && dead {
					return bus.BatchError{0: event.Permanent(errBoom)}
				}
				return nil
			}, func(t *testing.T, b *bus.Bus) {
				for n := range 3 {
					publish(t, b, Row{"a", n})
				}
				synctest.Wait()
				if got := len(seen.got); got != 1 {
					t.Errorf("%d batches while the first has no room", got)
				}
				drain(t, b)
				want := "[[{a 0} {a 1} {a 2}]]"
				if dead {
					want = "[[{a 0} {a 1} {a 2}] [{a 1} {a 2}]]"
				}
				if got := fmt.Sprint(seen.got); got != want || refusals > 0 {
					t.Errorf("batches %s, want %s", got, want)
				}
			}, bus.Batch(3, time.Second))
		})
	}
}

// Between two events of one batch handler is one of another handler: a batch ends
// there, and what is behind doesn't count for its size.
func TestBatchEndsAtAnEventOfAnotherHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var mu sync.Mutex
		var got []string
		add := func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, fmt.Sprintf(format, args...)+" "+time.Since(began).String())
		}
		ch := memory.New()
		b := bus.New(bus.Config{Channel: ch})
		bus.SubscribeBatch(b, "g", func(_ context.Context, rows []Row) error { add("%v", rows); return nil }, bus.Batch(3, time.Second))
		bus.Subscribe(b, "g", func(_ context.Context, v ByTwo) error { add("%v", v); return nil })
		start(t, b)
		for _, v := range []any{Row{"a", 1}, ByTwo{"a", 2}, Row{"a", 3}, Row{"a", 4}, Row{"a", 5}, Row{"b", 1}} {
			publish(t, b, v)
		}
		quiet(t, ch)
		if got, want := fmt.Sprint(got), "[[{a 1} {b 1}] 1s {a 2} 1s [{a 3} {a 4} {a 5}] 1s]"; got != want {
			t.Errorf("handled %s, want %s", got, want)
		}
	})
}

// Two handlers of a group fill its window with events that wait for others: none can
// come, so they wait no longer.
func TestBatchDoesntWaitForWhatCantCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var seen batches
		b := bus.New(bus.Config{Channel: memory.New()})
		bus.SubscribeBatch(b, "g", func(_ context.Context, rows []Row) error { seen.add(rows); return nil }, bus.Batch(10, time.Hour), bus.InFlight(10))
		bus.SubscribeBatch(b, "g", func(_ context.Context, rows []ByTwo) error { seen.add(make([]Row, len(rows))); return nil }, bus.Batch(10, time.Hour))
		start(t, b)
		for n := range 5 {
			publish(t, b, Row{"", n})
			publish(t, b, ByTwo{"", n})
		}
		drain(t, b)
		if seen.sizes() != "[5 5]" || time.Since(began) != 0 {
			t.Errorf("batches of %s after %v, want 5 and 5 at once", seen.sizes(), time.Since(began))
		}
	})
}

// What comes at once is in one batch, also when a worker was free all the time.
func TestBatchWithoutWaitingTakesAllOfAReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen batches
		batching(t, &altered{}, bus.Config{}, func(_ context.Context, rows []Row) error { seen.add(rows); return nil }, func(t *testing.T, b *bus.Bus) {
			all := make([]any, 30)
			for n := range all {
				all[n] = Row{"", n}
			}
			synctest.Wait()
			if err := b.PublishAll(t.Context(), all...); err != nil {
				t.Error(err)
			}
			drain(t, b)
			if seen.sizes() != "[30]" {
				t.Errorf("batches of %s, want all at once", seen.sizes())
			}
		}, bus.Batch(100, 0), bus.Workers(4))
	})
}
