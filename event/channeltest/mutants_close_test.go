package channeltest

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

func closings() []mutant {
	return []mutant{
		{name: "Close hangs", byCase: []string{"Settle/AckIsTheEnd", "Close/NobodyReads", "Delivery/GroupOutlivesMembers"}, fault: onClose(func(f *faulty, c *faultyConsumer, ctx context.Context) error {
			err := c.Consumer.Close(ctx)
			<-f.released
			return err
		})},
		{name: "Close doesn't wait", byCase: []string{"Close/WaitsForBegun", "Close/UnbegunGoBackAtOnce", "Close/CancelsAfterContext"}, fault: onClose(func(_ *faulty, c *faultyConsumer, ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return c.Consumer.Close(ctx)
		})},
		{name: "Close waits for everything in hand", byCase: []string{"Close/UnbegunGoBackInOrder", "Hold/GoesBackAtClose"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			hand := map[event.Token]bool{}
			c.receive = func(ctx context.Context, buf []event.Delivery) (int, error) {
				n, err := c.Consumer.Receive(ctx, buf)
				for _, d := range buf[:n] {
					hand[d.Token] = true
				}
				return n, err
			}
			c.settle = func(ctx context.Context, ss []event.Settlement) error {
				for _, s := range ss {
					delete(hand, s.Token)
				}
				return c.Consumer.Settle(ctx, ss)
			}
			c.close = func(ctx context.Context) error {
				if len(hand) > 0 {
					<-ctx.Done()
				}
				return c.Consumer.Close(ctx)
			}
		}}},
		{name: "Close gives back late", byCase: []string{"Close/UnbegunGoBackAtOnce"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			var begun atomic.Int64
			c.begin = func(t event.Token) (context.Context, bool) {
				begun.Add(1)
				return c.Consumer.Begin(t)
			}
			idle := make(chan struct{}, 100)
			c.settle = func(ctx context.Context, ss []event.Settlement) error {
				idle <- struct{}{}
				return c.Consumer.Settle(ctx, ss)
			}
			c.close = func(ctx context.Context) error {
				if begun.Load() > 0 {
					select {
					case <-idle:
					case <-ctx.Done():
					}
				}
				return c.Consumer.Close(ctx)
			}
		}}},
		{name: "Close drops what is in hand", byCase: []string{"Settle/UnsettledComesAgain", "Close/UnbegunGoBackInOrder", "Close/CancelsAfterContext"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			var hand []event.Token
			c.receive = func(ctx context.Context, buf []event.Delivery) (int, error) {
				n, err := c.Consumer.Receive(ctx, buf)
				for _, d := range buf[:n] {
					hand = append(hand, d.Token)
				}
				return n, err
			}
			c.close = func(ctx context.Context) error {
				for _, t := range hand {
					_ = c.Consumer.Settle(ctx, []event.Settlement{event.Ack(t)})
				}
				return c.Consumer.Close(ctx)
			}
		}}},
		{name: "Close loses the order", byCase: []string{"Close/UnbegunGoBackInOrder"}, fault: swapsReturned()},
		{name: "held while closing is waited for", byCase: []string{"Close/HoldWhileCloseWaits"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			var closing atomic.Bool
			c.close = func(ctx context.Context) error {
				closing.Store(true)
				return c.Consumer.Close(ctx)
			}
			c.hold = func(t event.Token, n int) {
				if !closing.Load() {
					c.Consumer.Hold(t, n)
				}
			}
		}}},
		{name: "settlements are refused while Close waits", byCase: []string{"Close/WaitsForBegun", "Close/RetryWhileCloseWaits"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			var closing atomic.Bool
			c.close = func(ctx context.Context) error {
				closing.Store(true)
				return c.Consumer.Close(ctx)
			}
			c.settle = func(ctx context.Context, ss []event.Settlement) error {
				if closing.Load() {
					return event.ErrClosed
				}
				return c.Consumer.Settle(ctx, ss)
			}
		}}},
		{name: "acks while Close waits are dropped", byCase: []string{"Close/WaitsForBegun"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			var closing atomic.Bool
			c.close = func(ctx context.Context) error {
				closing.Store(true)
				return c.Consumer.Close(ctx)
			}
			c.settle = func(ctx context.Context, ss []event.Settlement) error {
				ss = slices.Clone(ss)
				for i := range ss {
					if closing.Load() && ss[i].Kind == event.SettleAck {
						ss[i].Kind = event.SettleRelease
					}
				}
				return c.Consumer.Settle(ctx, ss)
			}
		}}},
		{name: "no CancelGrace", byCase: []string{"Close/CancelGrace", "Close/CancelGraceEnds"}, fault: fault{subscribe: func(_ *faulty, s *event.Subscription) { s.CancelGrace = 0 }}},
		{name: "CancelGrace is for ever", byCase: []string{"Close/EndedContext", "Close/CancelGraceEnds", "Close/CancelsAfterContext"}, fault: fault{subscribe: func(_ *faulty, s *event.Subscription) { s.CancelGrace = 1000 * hour }}},
		{name: "Close doesn't wake Receive", byCase: []string{"Close/WakesReceive"}, fault: fault{consumer: func(f *faulty, c *faultyConsumer) {
			c.receive = func(ctx context.Context, buf []event.Delivery) (int, error) {
				n, err := c.Consumer.Receive(ctx, buf)
				if errors.Is(err, event.ErrClosed) {
					select {
					case <-ctx.Done():
					case <-f.released:
					}
				}
				return n, err
			}
		}}},
		{name: "closed consumers settle", byCase: []string{"Close/SettleAfterwards"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			c.settle = func(ctx context.Context, ss []event.Settlement) error {
				if err := c.Consumer.Settle(ctx, ss); !errors.Is(err, event.ErrClosed) {
					return err
				}
				return nil
			}
		}}},
		{name: "Channel.Close hangs while a consumer is open", byCase: []string{"Close/ChannelWithOpenConsumer"}, fault: func() fault {
			var open atomic.Int64
			f := onClose(func(_ *faulty, c *faultyConsumer, ctx context.Context) error {
				open.Add(-1)
				return c.Consumer.Close(ctx)
			})
			f.subscribe = func(*faulty, *event.Subscription) { open.Add(1) }
			f.closeChannel = func(f *faulty, ctx context.Context) error {
				if open.Swap(0) > 0 {
					<-f.released
				}
				return f.Channel.Close(ctx)
			}
			return f
		}()},
		{name: "crashed ones are never replaced", byCase: []string{"Lease/CrashHandsOver", "Lease/CrashAmongOthers", "Lease/AckBeforeCrash"}, fault: fault{lease: time.Second}, opts: []memory.Option{memory.Lease(10000 * hour)}},
	}
}

// swapsReturned delivers two that were delivered before in the wrong order.
func swapsReturned() fault {
	seen := map[string]bool{}
	return fault{consumer: func(_ *faulty, c *faultyConsumer) {
		var stash []event.Delivery
		c.receive = func(ctx context.Context, buf []event.Delivery) (int, error) {
			if len(stash) == 0 {
				two := make([]event.Delivery, 2)
				n, err := c.Consumer.Receive(ctx, two)
				if err != nil {
					return 0, err
				}
				stash = two[:n]
				if n == 2 && seen[two[1].Event.ID()] {
					slices.Reverse(stash)
				}
			}
			n := copy(buf, stash)
			stash = stash[n:]
			for _, d := range buf[:n] {
				seen[d.Event.ID()] = true
			}
			return n, nil
		}
	}}
}
