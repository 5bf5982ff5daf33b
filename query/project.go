package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// Projection keeps a [Model] up to date with the events of a group: the read side of an
// application. Its methods may be called concurrently.
//
//	mem := query.NewMemory(query.MemoryConfig{})
//	orders := query.NewTable[string, Order](mem)
//	p := query.Project(b, "order-list", mem)
//	query.Apply(p, func(ctx context.Context, e OrderPlaced) error { return orders.Put(ctx, e.ID, Order{…}) })
//
// # What is promised
//
// Each event has its effect on the model exactly once, however often it comes: what the
// handler does to the model under its context, and that the event is in, commit together. The model
// knows events by their position, and for a while by source and id. The order is that of
// the group: of a key one after the other, of different keys at the same time where the
// group has several [bus.Workers].
//
// A handler that returns nil has applied its event; an error rolls back, and means what it means
// to a Bus. Where the model doesn't answer, or a transaction had to give way to another, the event
// waits, and that is no failure. An event that failed for good is a dead letter, and the model is
// done with it; driven again, it is applied. Rejected events, and those of types that the projection
// has no handler for, are passed: the model is done with them. A handler for their
// type that comes later, with a new version of the program, doesn't see them, until a Rebuild.
//
// # What is not promised
//
// What a handler does elsewhere happens at least once. What it publishes goes out when the model
// has committed, and before the event is acknowledged: a process that ends in between has
// lost it, since the event isn't handled again. Publish in a group of its own. Keys can't be
// parked: [bus.ParkKey] is refused.
//
// # Read your own writes
//
// [Projection.Wait] waits until the model has what an event, or a command, has changed.
//
// # Rebuild
//
// [Projection.Rebuild] fills the model anew from the start of the history, in a generation beside
// the one that serves, which is read and kept up to date meanwhile. Handlers run for both: they
// change the generation that their context is of, and [Rebuilding] tells them apart.
// Nothing that a handler publishes under the context of a rebuild goes out.
//
// # Goroutines
//
// A projection has none of its own: those of its group, and those of the Bus that a
// Rebuild has while it runs.
type Projection struct {
	bus   *bus.Bus
	style bus.Style
	name  string
	model Model
	main  *feed
	subs  []func(b *bus.Bus, f *feed, opts ...bus.SubscribeOption) // of the handlers
	looks looks
}

// ErrNoPositions says that a channel doesn't tell where events stand, or where a topic ends: nobody
// can say then what a model has.
var ErrNoPositions = errors.New("query: the channel has no positions")

type projectionKey string

// Project makes a projection: a group of this name that keeps model up to date. A model
// is that of one projection. [Apply] adds handlers.
//
// Mistakes are reported by Start: a channel without positions ([event.Guarantees]), where an
// event that comes again can't be told, a model that doesn't open within 30 s, a second projection of
// the name. Project panics when the Bus was started already.
func Project(b *bus.Bus, name string, model Model) *Projection {
	style := b.Style()
	style.MustBeNew("query.Project")
	p := &Projection{bus: b, style: style, name: name, model: model}
	p.looks.init(p)
	p.main = &feed{p: p, group: name}
	if model == nil {
		style.Mistake(fmt.Errorf("projection %q: the model is nil", name))
	}
	if style.Keep(projectionKey(name), p) != p {
		style.Mistake(fmt.Errorf("two projections %q: one model for each", name))
		return p
	}
	p.main.rest(b)
	return p
}

// Apply lets h apply the events of T's type to the model, in a transaction of it that h finds
// under its context. Options are those of [bus.Subscribe], middlewares of [bus.With] too: they are
// outside of the transaction. Apply panics when the Bus was started already.
func Apply[T any](p *Projection, h func(ctx context.Context, e T) error, opts ...bus.SubscribeOption) {
	p.add("query.Apply", func(b *bus.Bus, f *feed, more ...bus.SubscribeOption) {
		bus.Subscribe(b, f.group, h, f.options(opts, more)...)
	})
}

// ApplyRaw is [Apply] for events of several types as they are, undecoded; without types, and with
// at least one [bus.Topic], for every type that the projection has no other handler for.
func ApplyRaw(p *Projection, types []string, h event.Handler, opts ...bus.SubscribeOption) {
	p.add("query.ApplyRaw", func(b *bus.Bus, f *feed, more ...bus.SubscribeOption) {
		bus.SubscribeRaw(b, f.group, types, h, f.options(opts, more)...)
	})
}

func (p *Projection) add(call string, subscribe func(*bus.Bus, *feed, ...bus.SubscribeOption)) {
	p.style.MustBeNew(call)
	p.subs = append(p.subs, subscribe)
	subscribe(p.bus, p.main)
}

// feed is a group that feeds a model: the projection's, or that of a rebuild.
type feed struct {
	p          *Projection
	group      string
	generation int           // of a rebuild; 0: the one that serves
	died       func(failure) // told of dead letters of a rebuild, which aren't passed

	sub     atomic.Pointer[event.Subscription] // as the channel knows it
	opened  bool                               // Start alone uses it
	trouble atomic.Pointer[error]              // of the model, the last time
	tries   atomic.Int32                       // without an answer
}

// options are those of a handler of the feed.
func (f *feed) options(opts, more []bus.SubscribeOption) []bus.SubscribeOption {
	return slices.Concat(opts, more, []bus.SubscribeOption{f.p.style.Outside(account{f}), bus.With(apply{f})})
}

// rest passes what has no handler.
func (f *feed) rest(b *bus.Bus) {
	b.Style().Rest(f.group, func(context.Context, event.Event) error { return nil }, f.p.style.Outside(account{f}))
}

// openWait is how long a Start waits for the model.
const openWait = 30 * time.Second

// CheckStart implements [event.StartChecker].
func (f *feed) checkStart(s event.Subscription, g event.Guarantees) error {
	if f.p.model == nil {
		return nil // a mistake already
	}
	if err := f.checkPositions(s, g); err != nil {
		return err
	}
	if f.generation == 0 && !f.opened {
		ctx, cancel := context.WithTimeout(context.Background(), openWait)
		defer cancel()
		if err := f.p.model.Open(ctx, f.p.name); err != nil {
			return fmt.Errorf("projection %q: open the model: %w", f.p.name, err)
		}
		f.opened = true
	}
	f.sub.Store(&s)
	return nil
}

// checkPositions refuses a channel that doesn't say where events stand.
func (f *feed) checkPositions(s event.Subscription, g event.Guarantees) error {
	if g.Positions || len(s.Topics) == 0 {
		return nil
	}
	topic := s.Topics[0]
	ctx, cancel := context.WithTimeout(context.Background(), openWait)
	defer cancel()
	for _, t := range s.Topics { // g is the weakest of all
		if of, err := f.p.style.Channel().Guarantees(ctx, t, s.Group); err == nil && !of.Positions {
			topic = t
			break
		}
	}
	return fmt.Errorf("projection %q: topic %q: %w (%s): "+
		"subscribe with a middleware for exactly one effect instead, as the InTx of a store", f.p.name, topic, ErrNoPositions, g.Channel)
}

type rebuildingKey struct{}

// Rebuilding reports whether a handler runs for a [Projection.Rebuild]: then it has been run for the
// event before, and mustn't do again what isn't in the model.
func Rebuilding(ctx context.Context) bool { return ctx.Value(rebuildingKey{}) != nil }

// unheard drops what handlers publish under a rebuild.
type unheard struct{}

// Add implements [event.Outbox].
func (unheard) Add(context.Context, string, ...event.Event) error { return nil }
