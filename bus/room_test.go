package bus_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
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
