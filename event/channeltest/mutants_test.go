package channeltest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// onProduce is a fault of Produce.
func onProduce(f func(ctx context.Context, next func(context.Context, ...event.Event) error, events []event.Event) error) fault {
	return fault{producer: func(_ *faulty, _ string, p *faultyProducer) {
		next := p.produce
		p.produce = func(ctx context.Context, events ...event.Event) error { return f(ctx, next, events) }
	}}
}

// onDelivery is a fault of what Receive returns.
func onDelivery(f func(d *event.Delivery)) fault {
	return fault{consumer: func(_ *faulty, c *faultyConsumer) {
		c.receive = func(ctx context.Context, buf []event.Delivery) (int, error) {
			n, err := c.Consumer.Receive(ctx, buf)
			for i := range buf[:n] {
				f(&buf[i])
			}
			return n, err
		}
	}}
}

// onSettlement is a fault of single settlements; false drops one in silence.
func onSettlement(f func(s *event.Settlement) bool) fault {
	return fault{consumer: func(_ *faulty, c *faultyConsumer) {
		c.settle = func(ctx context.Context, ss []event.Settlement) error {
			var kept []event.Settlement
			for _, s := range ss {
				if f(&s) {
					kept = append(kept, s)
				}
			}
			return c.Consumer.Settle(ctx, kept)
		}
	}}
}

// onClose is a fault of Consumer.Close.
func onClose(f func(f *faulty, c *faultyConsumer, ctx context.Context) error) fault {
	return fault{consumer: func(ch *faulty, c *faultyConsumer) {
		c.close = func(ctx context.Context) error { return f(ch, c, ctx) }
	}}
}

func mutants() []mutant {
	return slices.Concat(producing(), delivering(), settlings(), closings(), extras(), parkings(), schedulings())
}

const doubles = "doubles the last event of each call"

func producing() []mutant {
	return []mutant{
		{name: "loses every 7th event", byCase: []string{"Delivery/EveryGroup", "Many/OneMember"}, fault: func() fault {
			var n atomic.Int64
			return onProduce(func(ctx context.Context, next func(context.Context, ...event.Event) error, events []event.Event) error {
				var kept []event.Event
				for _, e := range events {
					if n.Add(1)%7 != 0 {
						kept = append(kept, e)
					}
				}
				return next(ctx, kept...)
			})
		}()},
		{name: doubles, byCase: []string{"Delivery/EveryGroup", "Settle/AckIsTheEnd", "Many/Members"}, fault: onProduce(
			func(ctx context.Context, next func(context.Context, ...event.Event) error, events []event.Event) error {
				if err := next(ctx, events...); err != nil || len(events) == 0 {
					return err
				}
				return next(ctx, events[len(events)-1])
			})},
		{name: "reorders a key within a call", byCase: []string{"Order/WithinCall", "Many/OneMember"}, fault: onProduce(
			func(ctx context.Context, next func(context.Context, ...event.Event) error, events []event.Event) error {
				events = slices.Clone(events)
				slices.Reverse(events)
				return next(ctx, events...)
			})},
		{name: "reorders a key across calls", byCase: []string{"Order/AcrossCalls"}, fault: func() fault {
			var late []event.Event
			return onProduce(func(ctx context.Context, next func(context.Context, ...event.Event) error, events []event.Event) error {
				if late == nil && len(events) == 1 && strings.HasSuffix(events[0].ID(), "-4") {
					late = slices.Clone(events)
					return nil
				}
				events = append(slices.Clone(events), late...)
				late = nil
				return next(ctx, events...)
			})
		}()},
		{name: "delivers early", byCase: []string{"Delay/NotBefore", "Delay/OfAll", "Delay/EachGroup"}, fault: func() fault {
			f := onDelivery(func(d *event.Delivery) {
				if x := d.Event.Extension("hidden"); x != "" {
					d.Event = d.Event.WithExtension("hidden", "").WithExtension(event.ExtNotBefore, x)
				}
			})
			f.producer = onProduce(func(ctx context.Context, next func(context.Context, ...event.Event) error, events []event.Event) error {
				events = slices.Clone(events)
				for i, e := range events {
					if x := e.Extension(event.ExtNotBefore); x != "" {
						events[i] = e.WithNotBefore(time.Time{}).WithExtension("hidden", x)
					}
				}
				return next(ctx, events...)
			}).producer
			return f
		}()},
		{name: "keeps order by a prefix of the key", byCase: []string{"Order/KeyStays", "Order/SeveralMembers"}, fault: withoutKeys()},
		{name: "replaces what is not UTF-8", byCase: []string{"Bytes/Data"}, fault: onDelivery(func(d *event.Delivery) {
			d.Event = d.Event.WithData(d.Event.ContentType(), []byte(strings.ToValidUTF8(string(d.Event.Data()), "\uFFFD")))
		})},
		{name: "drops the subject", byCase: []string{"Bytes/Attributes"}, fault: onDelivery(func(d *event.Delivery) { d.Event = d.Event.WithSubject("") })},
		{name: "rounds times", byCase: []string{"Bytes/Attributes"}, fault: onDelivery(func(d *event.Delivery) {
			d.Event = d.Event.WithTime(d.Event.Time().Truncate(time.Microsecond))
		})},
		{name: "trims values", byCase: []string{"Bytes/Attributes"}, fault: onDelivery(func(d *event.Delivery) {
			d.Event = d.Event.WithExtension("x1", strings.TrimSpace(d.Event.Extension("x1")))
		})},
		{name: "adds an extension", byCase: []string{"Bytes/Attributes"}, fault: onDelivery(func(d *event.Delivery) { d.Event = d.Event.WithExtension("added", "1") })},
		{name: "cuts large data", byCase: []string{"Bytes/Large"}, fault: onDelivery(func(d *event.Delivery) {
			d.Event = d.Event.WithData(d.Event.ContentType(), d.Event.Data()[:min(len(d.Event.Data()), 100<<10)])
		})},
		{name: "refuses a whole call after accepting the good of it", byCase: []string{"Produce/RefusesInvalid"}, fault: onProduce(
			func(ctx context.Context, next func(context.Context, ...event.Event) error, events []event.Event) error {
				err := next(ctx, events...)
				if p, ok := errors.AsType[*event.ProduceError](err); ok {
					return p.Failed[0].Err
				}
				return err
			})},
		{name: "names the wrong index", byCase: []string{"Produce/RefusesInvalid"}, fault: onProduce(
			func(ctx context.Context, next func(context.Context, ...event.Event) error, events []event.Event) error {
				err := next(ctx, events...)
				if p, ok := errors.AsType[*event.ProduceError](err); ok {
					p.Failed[0].Index = (p.Failed[0].Index + 1) % len(events)
				}
				return err
			})},
		{name: "accepts invalid events in silence", byCase: []string{"Produce/RefusesInvalid"}, fault: onProduce(
			func(ctx context.Context, next func(context.Context, ...event.Event) error, events []event.Event) error {
				err := next(ctx, events...)
				if _, ok := errors.AsType[*event.ProduceError](err); ok {
					return nil
				}
				return err
			})},
		{name: "says refused and writes", byCase: []string{"Produce/EndedContext"}, fault: onProduce(
			func(ctx context.Context, next func(context.Context, ...event.Event) error, events []event.Event) error {
				if err := next(context.WithoutCancel(ctx), events...); err != nil {
					return err
				}
				return ctx.Err()
			})},
		{name: "produces after Close", byCase: []string{"Produce/AfterClose"}, fault: onProduce(
			func(ctx context.Context, next func(context.Context, ...event.Event) error, events []event.Event) error {
				if err := next(ctx, events...); !errors.Is(err, event.ErrClosed) {
					return err
				}
				return nil
			})},
		{name: "a shared producer mixes calls up", byCase: []string{"Produce/ConcurrentCalls"}, fault: func() fault {
			return fault{producer: func(_ *faulty, _ string, p *faultyProducer) {
				next := p.produce
				var last atomic.Pointer[[]event.Event]
				p.produce = func(ctx context.Context, events ...event.Event) error {
					var before []event.Event
					if l := last.Swap(&events); l != nil {
						before = *l
					}
					if len(before) > 1 && len(events) > 1 {
						return next(ctx, before...)
					}
					return next(ctx, events...)
				}
			}}
		}()},
		{name: "handlers wait for room", byCase: []string{"Room/HandlersNeverWait"}, fault: onProduce(
			func(ctx context.Context, next func(context.Context, ...event.Event) error, events []event.Event) error {
				if !event.Handling(ctx) {
					return next(ctx, events...)
				}
				outside, cancel := context.WithCancel(context.Background())
				defer cancel()
				defer context.AfterFunc(ctx, cancel)()
				return next(outside, events...)
			})},
		{name: "accepts a part without room", byCase: []string{"Room/HandlersNeverWait"}, fault: onProduce(
			func(ctx context.Context, next func(context.Context, ...event.Event) error, events []event.Event) error {
				if !event.Handling(ctx) {
					return next(ctx, events...)
				}
				for _, e := range events {
					if err := next(ctx, e); err != nil {
						return err
					}
				}
				return nil
			})},
		{name: "ErrFull without names", byCase: []string{"Room/PublisherWaits", "Room/TheOneBehind"}, fault: onProduce(
			func(ctx context.Context, next func(context.Context, ...event.Event) error, events []event.Event) error {
				if err := next(ctx, events...); errors.Is(err, event.ErrFull) {
					return event.ErrFull
				}
				return next(ctx)
			})},
		{name: "the bound is final", byCase: []string{"Room/AmplifyTight"}, fault: onProduce(
			func(ctx context.Context, next func(context.Context, ...event.Event) error, events []event.Event) error {
				return next(withoutLease{ctx}, events...)
			})},
		{name: "no bound", opts: []memory.Option{memory.Capacity(1 << 20)}, byCase: []string{"Room/PublisherWaits"}},
		{name: "positions of ProduceAt are others", byCase: []string{"Positions/ProduceAt"}, fault: fault{producer: func(_ *faulty, _ string, p *faultyProducer) {
			next := p.at
			p.at = func(ctx context.Context, events ...event.Event) ([]event.Position, error) {
				ps, err := next(ctx, events...)
				for i := range ps {
					ps[i].Offset++
				}
				return ps, err
			}
		}}},
	}
}

// withoutLease hides from the engine which delivery a publish belongs to.
type withoutLease struct{ context.Context }

func (c withoutLease) Value(key any) any {
	v := c.Context.Value(key)
	if _, ok := v.(*event.Attempt); ok {
		return v
	}
	return nil
}

// withoutKeys hides the key from the engine.
func withoutKeys() fault {
	f := onDelivery(func(d *event.Delivery) {
		if k := d.Event.Extension("hidden"); k != "" {
			d.Event = d.Event.WithExtension("hidden", "").WithKey(k)
		}
	})
	f.producer = onProduce(func(ctx context.Context, next func(context.Context, ...event.Event) error, events []event.Event) error {
		events = slices.Clone(events)
		for i, e := range events {
			if k := e.Key(); k != "" {
				events[i] = e.WithKey("").WithExtension("hidden", k)
			}
		}
		return next(ctx, events...)
	}).producer
	return f
}

func delivering() []mutant {
	return []mutant{
		{name: "names the wrong topic", byCase: []string{"Delivery/SeveralTopics"}, fault: onDelivery(func(d *event.Delivery) { d.Topic += "x" })},
		{name: "believes publishers", byCase: []string{"Delivery/ForgedMarks"}, fault: onDelivery(func(d *event.Delivery) { d.Redriven = d.Event.Extension("redriven") != "" })},
		{name: "no position", byCase: []string{"Delivery/WhatComesAlong"}, fault: onDelivery(func(d *event.Delivery) { d.Position = event.Position{} })},
		{name: "positions by delivery", byCase: []string{"Positions/Deliveries"}, fault: func() fault {
			var n atomic.Int64
			return onDelivery(func(d *event.Delivery) { d.Position.Offset = n.Add(1) })
		}()},
		{name: "no time of acceptance", byCase: []string{"Delivery/WhatComesAlong"}, fault: onDelivery(func(d *event.Delivery) { d.EnqueuedAt = time.Time{} })},
		{name: "attempts are always 1", byCase: []string{"Attempts/RetriesCount"}, fault: onDelivery(func(d *event.Delivery) { d.Attempt = 1 })},
		{name: "attempts begin at 0", byCase: []string{"Attempts/RetriesCount"}, fault: onDelivery(func(d *event.Delivery) { d.Attempt-- })},
		{name: "failures are forgotten", byCase: []string{"Attempts/FailuresKept", "Attempts/FailuresOfHeld"}, fault: onDelivery(func(d *event.Delivery) { d.Failures = 0 })},
		{name: "marks are forgotten", byCase: []string{"GroupProducer/OneGroup", "GroupProducer/MarkSurvives", "Redrive/OneGroup"}, fault: onDelivery(func(d *event.Delivery) { d.Redriven, d.Replayed = false, false })},
		{name: "members of a group all get all", byCase: []string{"Delivery/GroupShares", "Delivery/GroupOutlivesMembers"}, fault: func() fault {
			var n atomic.Int64
			return fault{subscribe: func(_ *faulty, s *event.Subscription) { s.Group += string(rune('a' + n.Add(1)%26)) }}
		}()},
		{name: "groups share", byCase: []string{"Delivery/EveryGroup"}, fault: fault{subscribe: func(_ *faulty, s *event.Subscription) { s.Group = "one" }}},
		{name: "groups die with their last member", byCase: []string{"Delivery/GroupOutlivesMembers", "Settle/UnsettledComesAgain"}, fault: onClose(func(f *faulty, c *faultyConsumer, ctx context.Context) error {
			err := c.Consumer.Close(ctx)
			_ = f.Channel.RemoveGroup(ctx, c.sub.Group, c.sub.Topics...)
			return err
		})},
		{name: "ephemeral ones are like others", byCase: []string{"Ephemeral/Private", "Ephemeral/GoneAtClose", "Ephemeral/NoDeadLetters", "Ephemeral/NotInCensus"}, fault: fault{subscribe: func(_ *faulty, s *event.Subscription) {
			if s.Ephemeral {
				s.Ephemeral, s.From = false, event.Newest()
			}
		}}},
		{name: "every group starts at the oldest", opts: []memory.Option{memory.Retain(1000)}, byCase: []string{"Start/NewestSkips", "Start/Since"}, fault: fault{subscribe: func(_ *faulty, s *event.Subscription) { s.From = event.Oldest() }}},
		{name: "every group starts at the newest", opts: []memory.Option{memory.Retain(1000)}, byCase: []string{"Start/Oldest", "Start/HistoryByDefault", "Start/Since"}, fault: fault{subscribe: func(_ *faulty, s *event.Subscription) { s.From = event.Newest() }}},
		{name: "the oldest is never refused", byCase: []string{"Start/OldestRefused"}, fault: fault{subscribe: func(_ *faulty, s *event.Subscription) { s.From = event.Start{} }}},
		{name: "existing groups are moved", byCase: []string{"Start/OnlyForNewGroups"}, fault: fault{subscribe: func(f *faulty, s *event.Subscription) {
			if s.From.Kind == event.StartNewest {
				_ = f.Channel.Seek(context.Background(), s.Topics[0], s.Group, s.From)
			}
		}}},
		{name: "one topic only", byCase: []string{"Delivery/SeveralTopics"}, fault: fault{subscribe: func(_ *faulty, s *event.Subscription) { s.Topics = s.Topics[:1] }}},
		{name: "InFlight is ignored", byCase: []string{"Delivery/InFlight"}, fault: fault{subscribe: func(_ *faulty, s *event.Subscription) { s.InFlight = 0 }}},
		{name: "InFlight is never refilled", byCase: []string{"Delivery/InFlight"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			left := c.sub.InFlight
			c.receive = func(ctx context.Context, buf []event.Delivery) (int, error) {
				if left == 0 {
					<-ctx.Done()
					return 0, ctx.Err()
				}
				n, err := c.Consumer.Receive(ctx, buf[:min(len(buf), left)])
				left -= n
				return n, err
			}
		}}},
		{name: "deliveries that wait for room count for InFlight", byCase: []string{"Room/HeldForRoom"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			var inHand atomic.Int64
			c.receive = func(ctx context.Context, buf []event.Delivery) (int, error) {
				room := len(buf)
				if c.sub.InFlight > 0 {
					room = min(room, c.sub.InFlight-int(inHand.Load()))
				}
				if room <= 0 {
					<-ctx.Done()
					return 0, ctx.Err()
				}
				n, err := c.Consumer.Receive(ctx, buf[:room])
				inHand.Add(int64(n))
				return n, err
			}
			settle := c.settle
			c.settle = func(ctx context.Context, settlements []event.Settlement) error {
				inHand.Add(-int64(len(settlements)))
				return settle(ctx, settlements)
			}
		}}},
		{name: "Receive takes in spite of its error", byCase: []string{"Delivery/ReceiveUntilContextEnds"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			c.receive = func(ctx context.Context, buf []event.Delivery) (int, error) {
				n, err := c.Consumer.Receive(context.WithoutCancel(ctx), buf)
				if err == nil && ctx.Err() != nil {
					return 0, ctx.Err()
				}
				return n, err
			}
		}}},
		{name: "Receive ignores its context", byCase: []string{"Delivery/ReceiveUntilContextEnds"}, fault: fault{consumer: func(f *faulty, c *faultyConsumer) {
			c.receive = func(_ context.Context, buf []event.Delivery) (int, error) {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				go func() {
					select {
					case <-f.released:
						cancel()
					case <-ctx.Done():
					}
				}()
				return c.Consumer.Receive(ctx, buf)
			}
		}}},
		{name: "Receive returns the wrong error after Close", byCase: []string{"Close/WakesReceive"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			c.receive = func(ctx context.Context, buf []event.Delivery) (int, error) {
				n, err := c.Consumer.Receive(ctx, buf)
				if errors.Is(err, event.ErrClosed) {
					err = context.Canceled
				}
				return n, err
			}
		}}},
		{name: "Receive overlooks what comes while it waits", byCase: []string{"Delivery/WakesReceive"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			c.receive = func(ctx context.Context, buf []event.Delivery) (int, error) {
				short, cancel := context.WithTimeout(ctx, time.Millisecond)
				defer cancel()
				n, err := c.Consumer.Receive(short, buf)
				if err != nil && short.Err() != nil {
					<-ctx.Done()
					err = ctx.Err()
				}
				return n, err
			}
		}}},
		{name: "tells of losses that aren't", byCase: []string{"Delivery/EveryGroup"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			c.receive = func(ctx context.Context, buf []event.Delivery) (int, error) {
				n, err := c.Consumer.Receive(ctx, buf)
				if n > 0 {
					c.sub.OnLost([]event.Token{buf[0].Token})
				}
				return n, err
			}
		}}},
		{name: "leases aren't renewed", byCase: []string{"Lease/LiveKeeps", "Lease/LiveKeepsAmongOthers", "Hold/LongerThanLease"}, fault: fault{consumer: func(f *faulty, c *faultyConsumer) {
			c.receive = func(ctx context.Context, buf []event.Delivery) (int, error) {
				n, err := c.Consumer.Receive(ctx, buf)
				for _, d := range buf[:n] {
					time.AfterFunc(memory.DefaultLease, func() {
						_ = c.Consumer.Settle(context.Background(), []event.Settlement{event.Release(d.Token)})
					})
				}
				return n, err
			}
		}}},
	}
}

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

func extras() []mutant {
	return []mutant{
		{name: "dead letters of all groups", byCase: []string{"DeadLetters/OfOneGroup"}, fault: fault{subscribe: func(_ *faulty, s *event.Subscription) {
			s.Group = strings.ReplaceAll(s.Group, "b-", "a-")
		}}},
		{name: "dead letters change the event", byCase: []string{"DeadLetters/Listed"}, fault: fault{letter: func(d *event.DeadLetter) bool {
			d.Event = d.Event.WithExtension("cause", d.Cause.Code)
			return true
		}}},
		{name: "lists every other dead letter", byCase: []string{"DeadLetters/OldestFirst"}, fault: func() fault {
			var n atomic.Int64
			return fault{letter: func(*event.DeadLetter) bool { return n.Add(1)%2 == 0 }}
		}()},
		{name: "discards nothing", byCase: []string{"DeadLetters/Discard"}, fault: fault{discard: func(*faulty, context.Context, event.DeadLetter) error { return nil }}},
		{name: "discards twice", byCase: []string{"DeadLetters/Discard"}, fault: fault{discard: func(f *faulty, ctx context.Context, d event.DeadLetter) error {
			_ = f.Channel.Discard(ctx, d)
			return nil
		}}},
		{name: "redrives to all groups", byCase: []string{"Redrive/OneGroup"}, fault: fault{redrive: func(f *faulty, ctx context.Context, d event.DeadLetter, _ ...event.Event) error {
			if err := f.Channel.Discard(ctx, d); err != nil {
				return err
			}
			p, err := f.Producer(ctx, d.Topic)
			if err != nil {
				return err
			}
			return p.Produce(ctx, d.Event)
		}}},
		{name: "redrives and keeps the letter", byCase: []string{"Redrive/OneGroup"}, fault: fault{redrive: func(f *faulty, ctx context.Context, d event.DeadLetter, _ ...event.Event) error {
			return f.Channel.ProduceTo(ctx, d.Group, d.Topic, event.MarkRedriven, d.Event)
		}}},
		{name: "redrives without the repair", byCase: []string{"Redrive/Repaired"}, fault: fault{redrive: func(f *faulty, ctx context.Context, d event.DeadLetter, _ ...event.Event) error {
			return f.Channel.Redrive(ctx, d)
		}}},
		{name: "repairs without a cause", byCase: []string{"Redrive/RepairedNamesItsCause"}, fault: fault{redrive: func(f *faulty, ctx context.Context, d event.DeadLetter, repaired ...event.Event) error {
			if err := f.Channel.Discard(ctx, d); err != nil {
				return err
			}
			return f.Channel.ProduceTo(ctx, d.Group, d.Topic, event.MarkRedriven, repaired...)
		}}},
		{name: "redrives a key backwards", byCase: []string{"Redrive/Key", "Redrive/KeyBeforeNewer"}, fault: fault{redriveKey: func(f *faulty, ctx context.Context, topic, group, key string) (int, error) {
			var ls []event.DeadLetter
			for d, err := range f.Channel.DeadLetters(ctx, topic, group) {
				if err == nil && d.Event.Key() == key {
					ls = append(ls, d)
				}
			}
			for _, d := range slices.Backward(ls) {
				if err := f.Channel.Discard(ctx, d); err != nil {
					return 0, err
				}
				if err := f.Channel.ProduceTo(ctx, group, topic, event.MarkRedriven, d.Event); err != nil {
					return 0, err
				}
			}
			return len(ls), nil
		}}},
		{name: "redrives a key behind what is newer", byCase: []string{"Redrive/KeyBeforeNewer"}, fault: fault{redriveKey: func(f *faulty, ctx context.Context, topic, group, key string) (int, error) {
			n := 0
			for d, err := range f.Channel.DeadLetters(ctx, topic, group) {
				if err != nil || d.Event.Key() != key {
					continue
				}
				n++
				if err := f.Channel.Discard(ctx, d); err != nil {
					return 0, err
				}
				if err := f.Channel.ProduceTo(ctx, group, topic, event.MarkRedriven, d.Event); err != nil {
					return 0, err
				}
			}
			return n, nil
		}}},
		{name: "produces to all groups", byCase: []string{"GroupProducer/OneGroup"}, fault: fault{produceTo: func(f *faulty, ctx context.Context, _, topic string, _ event.Mark, events ...event.Event) error {
			p, err := f.Producer(ctx, topic)
			if err != nil {
				return err
			}
			return p.Produce(ctx, events...)
		}}},
		{name: "census without lonely groups", byCase: []string{"Census/GroupsAndMembers", "Census/SeveralMembers"}, fault: fault{groups: func(gs []event.GroupInfo) []event.GroupInfo {
			return slices.DeleteFunc(gs, func(g event.GroupInfo) bool { return g.Members == 0 })
		}}},
		{name: "census unsorted", byCase: []string{"Census/GroupsAndMembers"}, fault: fault{groups: func(gs []event.GroupInfo) []event.GroupInfo {
			slices.Reverse(gs)
			return gs
		}}},
		{name: "lag without what is delayed", byCase: []string{"Lag/Delayed", "Lag/Retried"}, fault: fault{lag: func(l *event.Lag) { l.Delayed = 0 }}},
		{name: "lag without what is in hand", byCase: []string{"Lag/WaitingAndInHand"}, fault: fault{lag: func(l *event.Lag) { l.InHand = 0 }}},
		{name: "lag without dead letters", byCase: []string{"Lag/Dead"}, fault: fault{lag: func(l *event.Lag) { l.Dead = 0 }}},
		{name: "lag with dead letters as waiting", byCase: []string{"Lag/Dead", "Park/CountsAsDead"}, fault: fault{lag: func(l *event.Lag) { l.Waiting += l.Dead }}},
		{name: "lag without an age", byCase: []string{"Lag/OldestAge"}, fault: fault{lag: func(l *event.Lag) { l.OldestAge = 0 }}},
		{name: "quiet at once", byCase: []string{"Quiet/WaitsForAll", "Quiet/Delayed", "Quiet/OfGroups", "Quiet/ContextEnds", "Quiet/AfterCrash"}, fault: fault{quiet: func(*faulty, context.Context, ...string) error { return nil }}},
		{name: "quiet for all groups only", byCase: []string{"Quiet/OfGroups"}, fault: fault{quiet: func(f *faulty, ctx context.Context, _ ...string) error { return f.Channel.Quiet(ctx) }}},
		{name: "quiet never", byCase: []string{"Quiet/AtOnce", "Quiet/WaitsForAll"}, fault: fault{quiet: func(_ *faulty, ctx context.Context, _ ...string) error {
			<-ctx.Done()
			return ctx.Err()
		}}},
		{name: "seeks nowhere", byCase: []string{"Seeker/ToNewest", "Seeker/NoHistory"}, fault: fault{seek: func(*faulty, context.Context, string, string, event.Start) error { return nil }}},
		{name: "removes nothing", byCase: []string{"Provisioner/RemoveGroup", "Census/AfterRemoval", "Provisioner/RemoveFromOneTopic"}, fault: fault{removeGroup: func(*faulty, context.Context, string, ...string) error { return nil }}},
		{name: "removes groups with members", byCase: []string{"Provisioner/RemoveGroupWithMembers"}, fault: fault{removeGroup: func(f *faulty, ctx context.Context, group string, topics ...string) error {
			_ = f.Channel.RemoveGroup(ctx, group, topics...)
			return nil
		}}},
		{name: "ensures nothing", byCase: []string{"Provisioner/EnsureGroup", "Provisioner/EnsureGroupNewest"}, fault: fault{ensureGroup: func(*faulty, context.Context, string, event.Start, ...string) error { return nil }}},
		{name: "ensuring starts anew", byCase: []string{"Provisioner/EnsureGroup"}, fault: fault{ensureGroup: func(f *faulty, ctx context.Context, group string, from event.Start, topics ...string) error {
			_ = f.Channel.RemoveGroup(ctx, group, topics...)
			return f.Channel.EnsureGroup(ctx, group, from, topics...)
		}}},
	}
}
