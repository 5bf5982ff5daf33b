package channeltest

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

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
		{name: "who is told gets it delivered as well", byCase: []string{"Ephemeral/OnEvent"}, fault: fault{
			subscribe: func(f *faulty, s *event.Subscription) {
				if s.OnEvent != nil {
					f.topics.Store(s.Topics[0], s.OnEvent)
					s.OnEvent = nil
				}
			},
			producer: func(f *faulty, topic string, p *faultyProducer) {
				p.produce = func(ctx context.Context, events ...event.Event) error {
					if tell, ok := f.topics.Load(topic); ok {
						for _, e := range events {
							tell.(func(event.Event))(e)
						}
					}
					return p.Producer.Produce(ctx, events...)
				}
			},
		}},
		{name: "who is told is told later", byCase: []string{"Ephemeral/OnEvent"}, fault: fault{subscribe: func(_ *faulty, s *event.Subscription) {
			if tell := s.OnEvent; tell != nil {
				s.OnEvent = func(e event.Event) { go tell(e) }
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
