package channeltest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/leat-go/leat/event"
)

// parkedAs replaces what a Park does. later is asked about what is delivered of the
// key afterwards: false takes it out of the delivery.
func parkedAs(kind event.SettleKind, later func(c *faultyConsumer, d event.Delivery) bool) fault {
	return fault{consumer: func(_ *faulty, c *faultyConsumer) {
		keys := map[event.Token]string{}
		parked := map[string]bool{}
		c.receive = func(ctx context.Context, buf []event.Delivery) (int, error) {
			for {
				n, err := c.Consumer.Receive(ctx, buf)
				kept := buf[:0]
				for _, d := range buf[:n] {
					keys[d.Token] = d.Event.Key()
					if !parked[d.Event.Key()] || later == nil || later(c, d) {
						kept = append(kept, d)
					}
				}
				if err != nil || len(kept) > 0 {
					return len(kept), err
				}
			}
		}
		c.settle = func(ctx context.Context, ss []event.Settlement) error {
			ss = slices.Clone(ss)
			for i, s := range ss {
				if s.Kind == event.SettlePark {
					parked[keys[s.Token]] = true
					ss[i].Kind = kind
				}
			}
			return c.Consumer.Settle(ctx, ss)
		}
	}}
}

// redrivesKey replaces RedriveKey by taking the dead letters out and producing them
// as f does.
func redrivesKey(f func(f *faulty, ctx context.Context, topic, group string, events []event.Event) error) fault {
	return fault{redriveKey: func(fy *faulty, ctx context.Context, topic, group, key string) (int, error) {
		var events []event.Event
		for d, err := range fy.Channel.DeadLetters(ctx, topic, group) {
			if err != nil {
				return 0, err
			}
			if d.Event.Key() != key {
				continue
			}
			events = append(events, d.Event)
			if err := fy.Channel.Discard(ctx, d); err != nil {
				return 0, err
			}
		}
		return len(events), f(fy, ctx, topic, group, events)
	}}
}

func schedulings() []mutant {
	type cancel = func(f *faulty, ctx context.Context, topic, id string) (bool, error)
	return []mutant{
		{name: "cancels nothing", byCase: []string{"Scheduler/Cancel", "Scheduler/SameID", "Scheduler/Quiet", "Scheduler/OneGroup"}, fault: fault{cancel: func() cancel {
			done := map[string]bool{}
			return func(_ *faulty, _ context.Context, topic, id string) (bool, error) {
				first := !done[topic+id]
				done[topic+id] = true
				return first, nil
			}
		}()}},
		{name: "never tells what it cancelled", byCase: []string{"Scheduler/Cancel"}, fault: fault{cancel: func(f *faulty, ctx context.Context, topic, id string) (bool, error) {
			_, err := f.Channel.Cancel(ctx, topic, id)
			return false, err
		}}},
		{name: "says that it cancelled what is due", byCase: []string{"Scheduler/Cancel", "Scheduler/Due"}, fault: fault{cancel: func(f *faulty, ctx context.Context, topic, id string) (bool, error) {
			_, err := f.Channel.Cancel(ctx, topic, id)
			return true, err
		}}},
		{name: "one group keeps what is nearly due", byCase: []string{"Scheduler/AtItsTime"}, fault: func() fault {
			var produced sync.Map
			f := onProduce(func(ctx context.Context, next func(context.Context, ...event.Event) error, events []event.Event) error {
				for _, e := range events {
					produced.Store(e.ID(), e)
				}
				return next(ctx, events...)
			})
			f.cancel = func(f *faulty, ctx context.Context, topic, id string) (bool, error) {
				found, err := f.Channel.Cancel(ctx, topic, id)
				if e, ok := produced.Load(id); ok && found && time.Until(e.(event.Event).NotBefore()) < time.Second {
					gs, _ := f.Channel.Groups(ctx, topic)
					err = f.Channel.ProduceTo(ctx, gs[0].Group, topic, event.MarkNone, e.(event.Event))
				}
				return found, err
			}
			return f
		}()},
		{name: "cancels on every topic", byCase: []string{"Scheduler/OneTopic"}, fault: func() fault {
			f := fault{producer: func(f *faulty, topic string, p *faultyProducer) {
				f.topics.Store(topic, true)
			}}
			f.cancel = func(f *faulty, ctx context.Context, topic, id string) (bool, error) {
				found, err := f.Channel.Cancel(ctx, topic, id)
				f.topics.Range(func(other, _ any) bool {
					_, _ = f.Channel.Cancel(ctx, other.(string), id)
					return true
				})
				return found, err
			}
			return f
		}()},
		{name: "a cancelled one is waited for", byCase: []string{"Scheduler/Quiet"}, fault: fault{quiet: func(f *faulty, ctx context.Context, groups ...string) error {
			select {
			case <-time.After(100 * hour):
				return f.Channel.Quiet(ctx, groups...)
			case <-ctx.Done():
				return ctx.Err()
			}
		}}},
	}
}

func parkings() []mutant {
	likeDead := parkedAs(event.SettleDead, nil)
	likeDead.parksNot = true
	return []mutant{
		{name: "parks though it can't", byCase: []string{"Settle/ParkRefused"}, fault: likeDead},
		{name: "parks nothing", fault: parkedAs(event.SettleDead, nil), byCase: []string{
			"Park/LaterOnesFollow", "Park/WhatIsThere", "Park/InHand", "Park/KnownToNextOwner", "Park/Delayed", "Park/SurvivesCrash", "Park/Front", "Park/Discarded",
		}},
		{
			name: "a Park forgets later events", byCase: []string{"Park/LaterOnesFollow", "Park/WhatIsThere", "Park/SeveralMembers"},
			fault: parkedAs(event.SettleDead, func(c *faultyConsumer, d event.Delivery) bool {
				_ = c.Consumer.Settle(context.Background(), []event.Settlement{event.Ack(d.Token)})
				return false
			}),
		},
		{
			name: "a Park keeps later events back", byCase: []string{"Park/LaterOnesFollow", "Park/CountsAsDead"},
			fault: parkedAs(event.SettleDead, func(*faultyConsumer, event.Delivery) bool { return false }),
		},
		{
			name: "parks a key on every topic", byCase: []string{"Park/OfOneTopic"},
			fault: parkedAs(event.SettlePark, func(c *faultyConsumer, d event.Delivery) bool {
				_ = c.Consumer.Settle(context.Background(), []event.Settlement{event.Park(d.Token, event.Cause{})})
				return false
			}),
		},
		{name: "parks what has no key", byCase: []string{"Park/WithoutKey"}, fault: func() fault {
			return parkedAs(event.SettlePark, func(c *faultyConsumer, d event.Delivery) bool {
				if d.Event.Key() != "" {
					return true
				}
				_ = c.Consumer.Settle(context.Background(), []event.Settlement{event.Park(d.Token, event.Cause{})})
				return false
			})
		}()},
		{name: "parks a key once", byCase: []string{"Park/FailsAgain"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			parked := 0
			c.settle = func(ctx context.Context, ss []event.Settlement) error {
				ss = slices.Clone(ss)
				for i := range ss {
					if ss[i].Kind != event.SettlePark {
						continue
					}
					if parked++; parked > 1 {
						ss[i].Kind = event.SettleDead
					}
				}
				return c.Consumer.Settle(ctx, ss)
			}
		}}},
		{name: "what was in hand of a parked key may begin", byCase: []string{"Park/InHand"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			c.begin = func(t event.Token) (context.Context, bool) {
				if ctx, ok := c.Consumer.Begin(t); ok {
					return ctx, true
				}
				return context.Background(), true
			}
		}}},
		{name: "a Park takes away what is begun", byCase: []string{"Park/Begun"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
			var begun []event.Token
			c.begin = func(t event.Token) (context.Context, bool) {
				begun = append(begun, t)
				return c.Consumer.Begin(t)
			}
			c.settle = func(ctx context.Context, ss []event.Settlement) error {
				for _, t := range begun {
					if ss[0].Kind == event.SettlePark && ss[0].Token != t {
						c.Hold(t, 0)
					}
				}
				return c.Consumer.Settle(ctx, ss)
			}
		}}},
		{name: "tells nobody what a Park took away", byCase: []string{"Park/OnLost"}, fault: fault{subscribe: func(_ *faulty, s *event.Subscription) { s.OnLost = nil }}},
		{name: "a Park takes away in silence what it doesn't park", byCase: []string{"Park/InHand", "Park/GivenBack"}, fault: fault{letter: func(d *event.DeadLetter) bool {
			return d.Cause.Code != event.CodeParkedBehind || d.Event.ID() != "a-2"
		}}},
		{name: "what is parked has the cause of the failed one", byCase: []string{"Park/Cause"}, fault: fault{letter: func(d *event.DeadLetter) bool {
			d.Cause = cause("parked")
			return true
		}}},
		{name: "lists what is parked behind first", byCase: []string{"Park/LaterOnesFollow", "Park/InHand"}, fault: fault{letter: func() func(d *event.DeadLetter) bool {
			var late event.DeadLetter
			return func(d *event.DeadLetter) bool { // swaps two
				if d.Event.ID() == "a-2" {
					late = *d
				}
				if d.Event.ID() == "a-3" && late.Handle != "" {
					*d = late
				}
				return true
			}
		}()}},
		{name: "redrives what is parked in another order", byCase: []string{"Park/Redriven", "Park/NewerWait", "Park/KnownToNextOwner"}, fault: redrivesKey(
			func(f *faulty, ctx context.Context, topic, group string, events []event.Event) error {
				slices.Reverse(events)
				return f.Channel.ProduceTo(ctx, group, topic, event.MarkRedriven, events...)
			})},
		{name: "delivers newer ones before what was parked", byCase: []string{"Park/Redriven", "Park/NewerWait"}, fault: redrivesKey(
			func(f *faulty, ctx context.Context, topic, group string, events []event.Event) error {
				time.AfterFunc(time.Second, func() {
					_ = f.Channel.ProduceTo(context.WithoutCancel(ctx), group, topic, event.MarkRedriven, events...)
				})
				return nil
			})},
		{name: "redrives the failed one and forgets the others", byCase: []string{"Park/Redriven", "Park/SeveralMembers"}, fault: redrivesKey(
			func(f *faulty, ctx context.Context, topic, group string, events []event.Event) error {
				return f.Channel.ProduceTo(ctx, group, topic, event.MarkRedriven, events[0])
			})},
		{name: "redrives parked ones without a mark", byCase: []string{"Park/Redriven"}, fault: redrivesKey(
			func(f *faulty, ctx context.Context, topic, group string, events []event.Event) error {
				return f.Channel.ProduceTo(ctx, group, topic, event.MarkNone, events...)
			})},
		{name: "keys go on when their member leaves", byCase: []string{"Park/KnownToNextOwner"}, fault: onClose(func(f *faulty, c *faultyConsumer, ctx context.Context) error {
			err := c.Consumer.Close(ctx)
			_, _ = f.Channel.RedriveKey(context.WithoutCancel(ctx), c.sub.Topics[0], c.sub.Group, "a")
			return err
		})},
		{name: "redrives one that is parked behind another", byCase: []string{"Park/Front", "Park/Discarded"}, fault: fault{redrive: func(f *faulty, ctx context.Context, d event.DeadLetter, repaired ...event.Event) error {
			_ = f.Channel.Redrive(ctx, d, repaired...)
			return nil
		}}},
		{name: "redrives the front alone", byCase: []string{"Park/Front", "Park/Repaired"}, fault: fault{redrive: func(f *faulty, ctx context.Context, d event.DeadLetter, repaired ...event.Event) error {
			if err := f.Channel.Redrive(ctx, d, repaired...); err != nil {
				return err
			}
			c, err := f.Channel.Consumer(ctx, event.Subscription{Group: d.Group, Topics: []string{d.Topic}})
			if err != nil {
				return err
			}
			buf := make([]event.Delivery, 9)
			n, err := c.Receive(ctx, buf)
			for _, d := range buf[1:n] {
				_ = c.Settle(ctx, []event.Settlement{event.Dead(d.Token, event.Cause{})})
			}
			_ = c.Close(ctx)
			return err
		}}},
		{name: "a discard of the front lets the key go on", byCase: []string{"Park/Discarded"}, fault: fault{discard: func(f *faulty, ctx context.Context, d event.DeadLetter) error {
			err := f.Channel.Discard(ctx, d)
			_, _ = f.Channel.RedriveKey(ctx, d.Topic, d.Group, d.Event.Key())
			return err
		}}},
	}
}
