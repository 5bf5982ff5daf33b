package bus_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// Ping is handled on topic a and answered on topic b, Pong the other way round.
type Ping struct{ Chain, Left int }

type Pong struct{ Chain, Left int }

// Handlers that publish into each other's full topics never hang: every event is
// handled once.
func TestFullTopicsThatFeedEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const publishers, chains, hops = 16, 200, 10
		var runs tally
		ch := memory.New(memory.Capacity(64), memory.Reserve(32))
		b := bus.New(bus.Config{Channel: ch})
		bus.Subscribe(b, "a", func(ctx context.Context, p Ping) error {
			runs.add(fmt.Sprint("ping", p))
			if p.Left == 0 {
				return nil
			}
			return b.Publish(ctx, Pong{p.Chain, p.Left - 1})
		}, bus.Workers(4))
		bus.Subscribe(b, "b", func(ctx context.Context, p Pong) error {
			runs.add(fmt.Sprint("pong", p))
			if p.Left == 0 {
				return nil
			}
			return b.Publish(ctx, Ping{p.Chain, p.Left - 1})
		}, bus.Workers(4))
		start(t, b)
		errs := make(chan error, publishers)
		for p := range publishers {
			go func() {
				for c := range chains {
					if err := b.Publish(t.Context(), Ping{p*chains + c, hops}); err != nil {
						errs <- err
						return
					}
				}
				errs <- nil
			}()
		}
		for range publishers {
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
		}
		drain(t, b)
		want := publishers * chains * (hops + 1)
		if runs.total() != want || len(runs.count) != want {
			t.Errorf("%d runs of %d events, want %d of each", runs.total(), len(runs.count), want)
		}
		requireLittleOver(t, ch)
	})
}

type Branch struct {
	Path  string
	Depth int
}

// Each event publishes two more into its own full topic, eight levels deep.
func TestFullTopicThatFeedsItself(t *testing.T) {
	for _, workers := range []int{1, 4, 32} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const roots, depth = 20, 8
				var runs tally
				ch := memory.New(memory.Capacity(16), memory.Reserve(8))
				b := bus.New(bus.Config{Channel: ch})
				bus.Subscribe(b, "tree", func(ctx context.Context, n Branch) error {
					runs.add(n.Path)
					if n.Depth == depth {
						return nil
					}
					return b.PublishAll(ctx, Branch{n.Path + "l", n.Depth + 1}, Branch{n.Path + "r", n.Depth + 1})
				}, bus.Workers(workers))
				start(t, b)
				for i := range roots {
					publish(t, b, Branch{Path: fmt.Sprint(i)})
				}
				ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*24*time.Hour)
				defer cancel()
				if err := b.Drain(ctx); err != nil {
					t.Fatal(err)
				}
				want := roots * (1<<(depth+1) - 1)
				if runs.total() != want || len(runs.count) != want {
					t.Errorf("%d runs of %d events, want %d of each", runs.total(), len(runs.count), want)
				}
				requireLittleOver(t, ch)
			})
		})
	}
}

// A delivery that waits for room doesn't keep others out of the window: here the
// room can only come from the second one.
func TestWaitingForRoomLeavesTheWindowToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		var runs tally
		b := bus.New(bus.Config{Channel: memory.New(memory.Capacity(2), memory.Reserve(0))})
		bus.Subscribe(b, "slow", func(context.Context, Pong) error { <-gate; return nil })
		bus.Subscribe(b, "small", func(ctx context.Context, p Ping) error {
			runs.add(fmt.Sprint(p.Chain))
			if p.Chain == 2 {
				close(gate)
				return nil
			}
			return b.Publish(ctx, Pong{})
		}, bus.InFlight(1))
		start(t, b)
		publish(t, b, Pong{}) // with the next it fills the topic until the gate opens
		publish(t, b, Pong{})
		publish(t, b, Ping{Chain: 1})
		publish(t, b, Ping{Chain: 2})
		drain(t, b)
		if got := fmt.Sprint(runs.names()); got != "[1 2]" {
			t.Errorf("runs %v, want each event once", got)
		}
	})
}

// requireLittleOver checks that what went over bound and reserve is little.
func requireLittleOver(t *testing.T, ch *memory.Channel) {
	t.Helper()
	if over := ch.HighestOverBound(); over > memory.MaxOverBound {
		t.Errorf("%d events over bound and reserve, at most %d are allowed", over, memory.MaxOverBound)
	}
}

// Root and Leaf are on one topic.
type Root struct{ N int }

type Leaf struct{ Root, N int }

func (Root) EventTopic() string { return "trees" }
func (Leaf) EventTopic() string { return "trees" }

// What is behind a delivery that waits for room, in its key, keeps others out of the
// window no more than that delivery does: the room comes from the leaves, which are
// received after every root of the one key.
func TestLinesThatWaitForRoomLeaveTheWindowToOthers(t *testing.T) {
	for _, inFlight := range []int{1, 8, 200} {
		for _, keys := range []int{1, 3, 64} {
			t.Run(fmt.Sprintf("%d in flight, %d keys", inFlight, keys), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					const roots = 128
					var runs tally
					last := make(map[int]int)
					ch := memory.New(memory.Capacity(64))
					b := bus.New(bus.Config{Channel: ch})
					bus.Subscribe(b, "tree", func(ctx context.Context, r Root) error {
						runs.add(fmt.Sprintf("root %d", r.N))
						return b.PublishAll(ctx, Leaf{r.N, 1}, Leaf{r.N, 2})
					}, bus.InFlight(inFlight), bus.Workers(1))
					bus.Subscribe(b, "tree", func(_ context.Context, l Leaf) error {
						runs.add(fmt.Sprint(l))
						return nil
					})
					start(t, b)
					for n := range roots {
						publish(t, b, Root{n + 1}, bus.Key(fmt.Sprint(n%keys)))
					}
					drain(t, b)
					if runs.total() != 3*roots || len(runs.count) != 3*roots {
						t.Errorf("%d runs of %d events, want %d of each", runs.total(), len(runs.count), 3*roots)
					}
					for _, name := range runs.names() {
						var n int
						if _, err := fmt.Sscanf(name, "root %d", &n); err != nil {
							continue
						}
						if n < last[n%keys] {
							t.Fatalf("root %d after root %d of the same key", n, last[n%keys])
						}
						last[n%keys] = n
					}
					requireLittleOver(t, ch)
				})
			})
		}
	}
}

// Trees that can't come to their end within the bounds, since those of one key have
// to be handled in order or a handler publishes much at once, go over them rather
// than hang, and that is told.
func TestTreesThatNeedMoreThanTheBounds(t *testing.T) {
	for name, c := range map[string]struct {
		capacity, roots, keys, fan, depth, workers int
	}{
		"a key":           {64, 100, 1, 2, 6, 4},
		"keys":            {16, 40, 7, 2, 5, 4},
		"keys, 1 worker":  {16, 40, 7, 2, 5, 1},
		"much at once":    {4, 5, 0, 16, 2, 4},
		"much, in a key":  {4, 5, 1, 16, 2, 4},
		"more than a few": {20, 40, 0, 20, 2, 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var runs tally
				told := 0
				ch := memory.New(memory.Capacity(c.capacity), memory.OnOverBound(func(_ string, over int) { told = max(told, over) }))
				b := bus.New(bus.Config{Channel: ch})
				bus.Subscribe(b, "tree", func(ctx context.Context, n Branch) error {
					runs.add(n.Path)
					if n.Depth == c.depth {
						return nil
					}
					cause, _ := event.FromContext(ctx)
					var err error
					for i := range c.fan {
						child := Branch{fmt.Sprint(n.Path, ".", i), n.Depth + 1}
						err = errors.Join(err, b.Publish(ctx, child, bus.Key(cause.Event.Key())))
					}
					return err
				}, bus.Workers(c.workers))
				start(t, b)
				for i := range c.roots {
					key := ""
					if c.keys > 0 {
						key = fmt.Sprint(i % c.keys)
					}
					publish(t, b, Branch{Path: fmt.Sprint(i)}, bus.Key(key))
				}
				drain(t, b)
				want, level := 0, c.roots
				for range c.depth + 1 {
					want += level
					level *= c.fan
				}
				if runs.total() != want || len(runs.count) != want {
					t.Errorf("%d runs of %d events, want %d of each", runs.total(), len(runs.count), want)
				}
				if over := ch.HighestOverBound(); over <= memory.MaxOverBound || over != told {
					t.Errorf("%d events over bound and reserve, told %d", over, told)
				}
			})
		})
	}
}

// Trees of many keys that need more than the bounds come to their end soon: what was
// found out for one delivery that waits holds for the others.
func TestTreesOfManyKeysAreSoonDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const roots, depth, keys = 10, 8, 50
		var runs tally
		b := bus.New(bus.Config{Channel: memory.New(memory.Capacity(16), memory.Reserve(4))})
		grow := func(topic string) func(context.Context, Branch) error {
			return func(ctx context.Context, n Branch) error {
				runs.add(n.Path)
				if n.Depth == depth {
					return nil
				}
				var err error
				for i := range 2 {
					child := Branch{fmt.Sprint(n.Path, ".", i), n.Depth + 1}
					key := fmt.Sprint(crc32.ChecksumIEEE([]byte(child.Path)) % keys)
					err = errors.Join(err, b.Publish(ctx, child, bus.Topic(topic), bus.Key(key)))
				}
				return err
			}
		}
		bus.Subscribe(b, "a", grow("b"), bus.Topic("a"), bus.Workers(4))
		bus.Subscribe(b, "b", grow("a"), bus.Topic("b"), bus.Workers(4))
		start(t, b)
		began := time.Now()
		for i := range roots {
			publish(t, b, Branch{Path: fmt.Sprint(i)}, bus.Topic("a"))
		}
		drain(t, b)
		if want := roots * (1<<(depth+1) - 1); runs.total() != want || len(runs.count) != want {
			t.Errorf("%d runs of %d events, want %d of each", runs.total(), len(runs.count), want)
		}
		if took := time.Since(began); took > 3*time.Minute {
			t.Errorf("they took %v", took)
		}
	})
}
