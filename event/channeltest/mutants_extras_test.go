package channeltest

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/leat-go/leat/event"
)

// endsBy lets Ends be so far off.
func endsBy(n int64) fault {
	return fault{ends: func(f *faulty, ctx context.Context, topic string) ([]event.Position, error) {
		ps, err := f.Channel.Ends(ctx, topic)
		for i := range ps {
			ps[i].Offset += n
		}
		return ps, err
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
		{name: "what is scheduled has an age", byCase: []string{"Lag/OldestAgeOfScheduled"}, fault: fault{lag: func(l *event.Lag) {
			if l.Delayed > 0 {
				l.OldestAge = max(l.OldestAge, 1)
			}
		}}},
		{name: "what was scheduled is older than due", byCase: []string{"Lag/OldestAgeOfScheduled"}, fault: fault{lag: func(l *event.Lag) {
			if l.OldestAge > 0 {
				l.OldestAge += hour
			}
		}}},
		{name: "ends one event too early", byCase: []string{"Ends/Last", "Ends/Accepted"}, fault: endsBy(-1)},
		{name: "ends behind the last event", byCase: []string{"Ends/Last", "Gap/OfKeys"}, fault: endsBy(1)},
		{name: "ends of a topic that isn't there", byCase: []string{"Ends/Last", "Ends/OfNothing"}, fault: fault{ends: func(*faulty, context.Context, string) ([]event.Position, error) {
			return []event.Position{{Offset: 1}}, nil
		}}},
		{name: "ends with what one group gets", byCase: []string{"Ends/OfOneGroup"}, fault: fault{produceTo: func(f *faulty, ctx context.Context, _, topic string, _ event.Mark, events ...event.Event) error {
			p, err := f.Producer(ctx, topic)
			if err != nil {
				return err
			}
			return p.Produce(ctx, events...)
		}}},
		{name: "no gaps", byCase: []string{"Gap/OfKeys", "Gap/BeforeTheFirst", "Gap/OfDelayed", "Gap/OfDead", "Gap/OfParked"}, fault: onDelivery(func(d *event.Delivery) { d.Gap = 0 })},
		{name: "gaps with an event in them", byCase: []string{"Gap/OfKeys", "Gap/OfDelayed"}, fault: onDelivery(func(d *event.Delivery) { d.Gap = d.Position.Offset - 1 })},
		{name: "the gap is lost with a dead letter", byCase: []string{"Gap/OfDead", "Gap/OfParked"}, fault: onDelivery(func(d *event.Delivery) {
			if d.Redriven {
				d.Gap = 0
			}
		})},
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
