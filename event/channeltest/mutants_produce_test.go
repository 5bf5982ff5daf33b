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
		{name: "keeps order by a prefix of the key", byCase: []string{"Order/KeyStays"}, fault: withoutKeys()},
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
