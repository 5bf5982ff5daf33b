package channeltest

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/leat-go/leat/event"
)

func settlings() []mutant {
	return []mutant{
		{name: "forgets acks", byCase: []string{"Settle/AckIsTheEnd", "Settle/Many", "Close/AcksAreFlushed"}, fault: func() fault {
			var n atomic.Int64
			return onSettlement(func(s *event.Settlement) bool { return s.Kind != event.SettleAck || n.Add(1)%5 != 0 })
		}()},
		{name: "acks only the first of a batch", byCase: []string{"Settle/Many", "Settle/UnsettledComesAgain"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			n := 0
			c.settle = func(ctx context.Context, ss []event.Settlement) error {
				c.mu.Lock()
				defer c.mu.Unlock()
				if n++; n%2 == 0 && len(ss) == 1 && ss[0].Kind == event.SettleAck {
					return nil
				}
				return c.Consumer.Settle(ctx, ss[:min(len(ss), 1)])
			}
		}}},
		{name: "acks commit all before them", byCase: []string{"Settle/OutOfOrder"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			var order []event.Token
			c.receive = func(ctx context.Context, buf []event.Delivery) (int, error) {
				n, err := c.Consumer.Receive(ctx, buf)
				for _, d := range buf[:n] {
					order = append(order, d.Token)
				}
				return n, err
			}
			c.settle = func(ctx context.Context, ss []event.Settlement) error {
				err := c.Consumer.Settle(ctx, ss)
				for i := 0; len(ss) > 0 && ss[0].Kind == event.SettleAck && i < len(order) && order[i] != ss[0].Token; i++ {
					_ = c.Consumer.Settle(ctx, []event.Settlement{event.Ack(order[i])})
				}
				return err
			}
		}}},
		{name: "accepts stale tokens in silence", byCase: []string{"Settle/Twice", "Settle/PartlyRefused", "Settle/Overtaken"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			c.settle = func(ctx context.Context, ss []event.Settlement) error {
				if err := c.Consumer.Settle(ctx, ss); !errors.Is(err, event.ErrLeaseLost) {
					return err
				}
				return nil
			}
		}}},
		{name: "refuses a whole batch for one", byCase: []string{"Settle/PartlyRefused"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			c.settle = func(ctx context.Context, ss []event.Settlement) error {
				err := c.Consumer.Settle(ctx, ss)
				if _, ok := errors.AsType[*event.SettleError](err); ok && len(ss) > 1 {
					return event.ErrLeaseLost
				}
				return err
			}
		}}},
		{name: "old tokens settle new deliveries", byCase: []string{"Settle/Overtaken"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			event1, current := map[event.Token]string{}, map[string]event.Token{}
			c.receive = func(ctx context.Context, buf []event.Delivery) (int, error) {
				n, err := c.Consumer.Receive(ctx, buf)
				for _, d := range buf[:n] {
					event1[d.Token], current[d.Event.ID()] = d.Event.ID(), d.Token
				}
				return n, err
			}
			c.settle = func(ctx context.Context, ss []event.Settlement) error {
				ss = slices.Clone(ss)
				for i := range ss {
					ss[i].Token = current[event1[ss[i].Token]]
				}
				return c.Consumer.Settle(ctx, ss)
			}
		}}},
		{name: "begins stale deliveries", byCase: []string{"Settle/Twice", "Settle/Overtaken", "Lease/CrashedIsFenced"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			c.begin = func(t event.Token) (context.Context, bool) {
				ctx, ok := c.Consumer.Begin(t)
				if !ok {
					ctx = context.Background()
				}
				return ctx, true
			}
		}}},
		{name: "contexts lose their cause", byCase: []string{"Context/CauseReachesChildren", "Close/CancelsAfterContext"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			c.begin = func(t event.Token) (context.Context, bool) {
				lease, ok := c.Consumer.Begin(t)
				if !ok {
					return nil, false
				}
				ctx, cancel := context.WithCancel(context.Background())
				context.AfterFunc(lease, cancel)
				return ctx, true
			}
		}}},
		{name: "contexts never end", byCase: []string{"Context/ManyAtOnce", "Close/CancelsAfterContext"}, fault: fault{consumer: func(f *faulty, c *faultyConsumer) {
			c.begin = func(t event.Token) (context.Context, bool) {
				_, ok := c.Consumer.Begin(t)
				ctx, cancel := context.WithCancel(context.Background())
				go func() { <-f.released; cancel() }()
				return ctx, ok
			}
		}}},
		{name: "contexts have a deadline", byCase: []string{"Context/CauseReachesChildren"}, fault: fault{consumer: func(f *faulty, c *faultyConsumer) {
			c.begin = func(t event.Token) (context.Context, bool) {
				lease, ok := c.Consumer.Begin(t)
				if !ok {
					return nil, false
				}
				ctx, cancel := context.WithTimeout(lease, 2*hour)
				go func() { <-f.released; cancel() }()
				return ctx, true
			}
		}}},
		{name: "held ones can't be begun again", byCase: []string{"Hold/BeginAgain"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			held := map[event.Token]bool{}
			c.hold = func(t event.Token, n int) {
				c.mu.Lock()
				defer c.mu.Unlock()
				held[t] = true
				c.Consumer.Hold(t, n)
			}
			c.begin = func(t event.Token) (context.Context, bool) {
				c.mu.Lock()
				defer c.mu.Unlock()
				if held[t] {
					return nil, false
				}
				return c.Consumer.Begin(t)
			}
		}}},
		{name: "holding gives back", byCase: []string{"Hold/BeginAgain", "Hold/SettledWhileHeld"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			c.hold = func(t event.Token, n int) {
				_ = c.Consumer.Settle(context.Background(), []event.Settlement{event.Retry(t, 0, n)})
			}
		}}},
		{name: "Hold's failures are dropped", byCase: []string{"Attempts/FailuresOfHeld"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			c.hold = func(t event.Token, _ int) { c.Consumer.Hold(t, 0) }
		}}},
		{name: "Hold of a stale token counts", byCase: []string{"Settle/Overtaken"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			last := event.Token{}
			c.begin = func(t event.Token) (context.Context, bool) {
				ctx, ok := c.Consumer.Begin(t)
				if ok {
					last = t
				}
				return ctx, ok
			}
			c.hold = func(_ event.Token, n int) { c.Consumer.Hold(last, n) }
		}}},
		{name: "retries are not delayed", byCase: []string{"Delay/Retry", "Delay/RetryOutlivesMember", "Delay/RetryHoldsUpNothing"}, fault: onSettlement(func(s *event.Settlement) bool { s.After = 0; return true })},
		{name: "retries are acks", byCase: []string{"Settle/RetryAtOnce"}, fault: onSettlement(func(s *event.Settlement) bool {
			if s.Kind == event.SettleRetry {
				s.Kind = event.SettleAck
			}
			return true
		})},
		{name: "releases count", byCase: []string{"Attempts/ReleasesDont"}, fault: onSettlement(func(s *event.Settlement) bool {
			if s.Kind == event.SettleRelease {
				s.Kind = event.SettleRetry
			}
			return true
		})},
		{name: "successors pass a retry", byCase: []string{"Order/RetryHoldsSuccessors"}, fault: withoutKeys()},
		{name: "given back to the end", byCase: []string{"Order/ReleaseKeepsOrder", "Order/RandomGiveBacks"}, fault: withoutKeys()},
		{name: "dead is dropped", byCase: []string{"DeadLetters/Listed", "DeadLetters/SurvivesClose"}, fault: onSettlement(func(s *event.Settlement) bool {
			if s.Kind == event.SettleDead {
				s.Kind = event.SettleAck
			}
			return true
		})},
		{name: "dead comes again", byCase: []string{"DeadLetters/SettlesTheOrigin"}, fault: onSettlement(func(s *event.Settlement) bool {
			if s.Kind == event.SettleDead {
				s.Kind = event.SettleRetry
			}
			return true
		})},
		{name: "causes lose their stack", byCase: []string{"DeadLetters/Listed", "DeadLetters/Bounded"}, fault: fault{letter: func(d *event.DeadLetter) bool { d.Cause.Stack = ""; return true }}},
		{name: "causes are cut too short", byCase: []string{"DeadLetters/Bounded"}, fault: fault{letter: func(d *event.DeadLetter) bool { d.Cause.Text = d.Cause.Text[:min(len(d.Cause.Text), 100)]; return true }}},
	}
}
