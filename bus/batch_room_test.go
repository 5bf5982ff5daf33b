package bus_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// Each event of a batch publishes two more into its own full topic, with and without a
// key: nothing hangs, and every event is handled once.
func TestBatchesThatFeedTheirOwnFullTopic(t *testing.T) {
	for _, c := range []struct {
		max, workers, inFlight, keys int
		wait                         time.Duration
	}{
		{max: 1, workers: 1},
		{max: 4, workers: 1, wait: time.Second},
		{max: 100, workers: 1, wait: 10 * time.Millisecond},
		{max: 100, workers: 4},
		{max: 8, workers: 1, inFlight: 8, wait: time.Second},
		{max: 1, workers: 1, keys: 1},
		{max: 4, workers: 1, keys: 1, wait: time.Second},
		{max: 100, workers: 1, keys: 3, wait: 10 * time.Millisecond},
		{max: 100, workers: 4, keys: 7},
		{max: 8, workers: 1, inFlight: 8, keys: 1, wait: time.Second},
		{max: 8, workers: 4, inFlight: 8, keys: 64, wait: time.Second},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const roots, depth = 20, 5
				var runs tally
				ch := memory.New(memory.Capacity(16), memory.Reserve(8))
				b := bus.New(bus.Config{Channel: ch})
				opts := []bus.SubscribeOption{bus.Batch(c.max, c.wait), bus.Workers(c.workers)}
				if c.inFlight > 0 {
					opts = append(opts, bus.InFlight(c.inFlight))
				}
				bus.SubscribeBatch(b, "tree", func(ctx context.Context, all []Branch) error {
					failed := make(bus.BatchError)
					for i, n := range all {
						ctx := event.Element(ctx, i)
						info, _ := event.FromContext(ctx)
						runs.add(n.Path)
						if n.Depth == depth {
							continue
						}
						for _, side := range []string{"l", "r"} {
							if err := b.Publish(ctx, Branch{n.Path + side, n.Depth + 1}, bus.Key(info.Event.Key())); err != nil {
								failed[i] = err
							}
						}
					}
					if len(failed) > 0 {
						return failed
					}
					return nil
				}, opts...)
				start(t, b)
				for i := range roots {
					key := ""
					if c.keys > 0 {
						key = fmt.Sprint(i % c.keys)
					}
					publish(t, b, Branch{Path: fmt.Sprint(i)}, bus.Key(key))
				}
				drainInAMonth(t, b)
				requireEachOnce(t, &runs, roots*(1<<(depth+1)-1), c.keys > 0)
			})
		})
	}
}

// The handler of roots publishes at once, and finds no room: a failure of none of
// them, and what waits for it leaves the window to the leaves, lines of keys included.
func TestBatchesThatWaitForRoomLeaveTheWindowToOthers(t *testing.T) {
	for _, inFlight := range []int{1, 8, 200} {
		for _, keys := range []int{0, 1, 3, 64} {
			t.Run(fmt.Sprintf("%d in flight, %d keys", inFlight, keys), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					const roots = 128
					var runs tally
					ch := memory.New(memory.Capacity(64))
					b := bus.New(bus.Config{Channel: ch})
					bus.SubscribeBatch(b, "tree", func(ctx context.Context, all []Root) error {
						for i, r := range all {
							runs.add(fmt.Sprintf("root %d", r.N))
							ctx := event.Element(ctx, i)
							if err := b.PublishAll(ctx, Leaf{r.N, 1}, Leaf{r.N, 2}); err != nil {
								return err
							}
						}
						return nil
					}, bus.InFlight(inFlight), bus.Batch(min(inFlight, 20), time.Second))
					bus.Subscribe(b, "tree", func(_ context.Context, l Leaf) error {
						runs.add(fmt.Sprint(l))
						return nil
					})
					start(t, b)
					for n := range roots {
						key := ""
						if keys > 0 {
							key = fmt.Sprint(n % keys)
						}
						publish(t, b, Root{n + 1}, bus.Key(key))
					}
					drainInAMonth(t, b)
					requireEachOnce(t, &runs, 3*roots, keys > 0)
					requireLittleOver(t, ch)
				})
			})
		}
	}
}

// The room comes from an event that is received only after all that wait for it: they
// leave the window, whose bound they are beyond, and those behind them do, whether they
// came with them or later.
func TestWaitingBatchesLetTheEventInThatMakesRoom(t *testing.T) {
	for _, key := range []string{"", "a"} {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("key=%q late=%t", key, late), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					const last = 13
					var runs tally
					gate := make(chan struct{})
					b := bus.New(bus.Config{Channel: memory.New(memory.Capacity(16), memory.Reserve(0))})
					bus.Subscribe(b, "slow", func(ctx context.Context, _ Pong) error {
						select {
						case <-gate:
						case <-ctx.Done():
						}
						return nil
					})
					bus.SubscribeBatch(b, "small", func(ctx context.Context, all []Ping) error {
						for i, p := range all {
							runs.add(fmt.Sprint(p.Chain))
							if p.Chain == last {
								close(gate)
							} else if err := b.Publish(event.Element(ctx, i), Pong{}); err != nil {
								return err
							}
						}
						return nil
					}, bus.Batch(4, 0), bus.InFlight(4))
					start(t, b)
					for range 16 { // they fill the topic until the gate opens
						publish(t, b, Pong{})
					}
					for n := range last - 1 {
						publish(t, b, Ping{Chain: n}, bus.Key(key))
						if late {
							pass(time.Second)
						}
					}
					publish(t, b, Ping{Chain: last}, bus.Key("b"))
					drainInAMonth(t, b)
					requireEachOnce(t, &runs, last, key != "")
				})
			})
		}
	}
}

// drainInAMonth drains, and fails when that doesn't come to an end.
func drainInAMonth(t *testing.T, b *bus.Bus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*24*time.Hour)
	defer cancel()
	if err := b.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if left := bus.LeftInHand(b); left != "" {
		t.Errorf("left in hand: %s", left)
	}
}

// requireEachOnce checks that n events were handled, each once; where there are keys
// an event comes again behind one that waits.
func requireEachOnce(t *testing.T, runs *tally, n int, again bool) {
	t.Helper()
	if len(runs.count) != n || runs.total() != n && !again {
		t.Errorf("%d runs of %d events, want %d of each", runs.total(), len(runs.count), n)
	}
}
