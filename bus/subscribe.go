package bus

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/leat-go/leat/event"
)

// Subscribe hands the events of T's type to h, in a group: every group gets every
// event, and the members of a group, in this process or others, share them.
//
// h returns nil when the event is handled. An error is retried as [Retry] says,
// and at last the event becomes a dead letter of the group; package event has
// marks for errors that mean something else. h runs for one event at a time
// unless [Workers] says otherwise, and for one event of a key at a time always.
//
// The topic is the one that T's events are published to. With the option [Topic] the
// handler listens elsewhere; that changes nothing for Publish, which a method
// EventTopic() string does.
//
// Mistakes, such as a second handler for the type in the group, are reported by
// Start. Subscribe panics when the Bus was started already.
func Subscribe[T any](b *Bus, group string, h func(context.Context, T) error, opts ...SubscribeOption) {
	b.mustBeNew("Subscribe")
	t := reflect.TypeFor[T]()
	if t == reflect.TypeFor[event.Event]() {
		b.mistake(fmt.Errorf("group %q: Subscribe with event.Event: use SubscribeRaw", group))
		return
	}
	m := b.messageOf(t)
	if m.err != nil {
		b.mistake(fmt.Errorf("group %q: %w", group, m.err))
		return
	}
	if h == nil {
		b.mistake(fmt.Errorf("group %q: nil handler for %s", group, m.typ))
		return
	}
	b.subscribe(group, []string{m.typ}, b.decoding(m, func(ctx context.Context, decode func(any) error) error {
		var v T
		if err := decode(&v); err != nil {
			return err
		}
		return h(ctx, v)
	}), opts)
}

// SubscribeRaw hands events of several types to h as they are, undecoded. Without
// types, and with at least one [Topic], it takes every type of its topics that
// the group has no other handler for.
func SubscribeRaw(b *Bus, group string, types []string, h event.Handler, opts ...SubscribeOption) {
	b.mustBeNew("SubscribeRaw")
	if h == nil {
		b.mistake(fmt.Errorf("group %q: nil raw handler", group))
		return
	}
	b.subscribe(group, types, h, opts)
}

func (b *Bus) mustBeNew(call string) {
	if b.is() != stateNew {
		panic("bus: " + call + " after Start: subscribe first, so that Start can check everything")
	}
}

func (b *Bus) mistake(err error) {
	b.mu.Lock()
	b.mistakes = append(b.mistakes, err)
	b.mu.Unlock()
}

// subscribe adds a handler to a group; what is wrong is kept for Start.
func (b *Bus) subscribe(name string, types []string, h event.Handler, opts []SubscribeOption) {
	b.add(name, types, h, opts, func(s *subscription) error { return s.check(types) })
}

// add is subscribe for options that are checked by check.
func (b *Bus) add(name string, types []string, h event.Handler, opts []SubscribeOption, check func(*subscription) error) {
	var s subscription
	for _, o := range opts {
		if o != nil {
			o.applySubscribe(&s)
		}
	}
	if err := errors.Join(checkName("group", name), check(&s)); err != nil {
		b.mistake(fmt.Errorf("group %q: %w", name, err))
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.byName[name]
	if g == nil {
		g = newGroup(b, name)
		b.byName[name] = g
		b.groups = append(b.groups, g)
	}
	for _, err := range g.add(types, h, s) {
		b.mistakes = append(b.mistakes, fmt.Errorf("group %q: %w", name, err))
	}
}

func (s *subscription) check(types []string) error {
	var errs []error
	if len(types) == 0 && len(s.topics) == 0 {
		errs = append(errs, errors.New("a raw subscription without types needs a Topic"))
	}
	for _, typ := range types {
		if typ == "" {
			errs = append(errs, errors.New("empty event type"))
		}
	}
	return errors.Join(append(errs, s.checkOptions())...)
}

// checkOptions returns what is wrong with the options alone.
func (s *subscription) checkOptions() error {
	var errs []error
	for _, topic := range s.topics {
		errs = append(errs, checkName("topic", topic))
	}
	if s.timeout < 0 {
		errs = append(errs, errors.New("Timeout is negative"))
	}
	if s.blockKey && s.parkKey {
		errs = append(errs, errors.New("BlockKey and ParkKey contradict each other: a key waits for ever, or is parked"))
	}
	if s.parkKey && slices.ContainsFunc(s.outside, func(m event.Middleware) bool { _, ok := m.(Unrun); return ok }) {
		errs = append(errs, errors.New("ParkKey: what waits behind a parked key has no end that could be told, as it has to be here"))
	}
	if slices.Contains(s.middleware, nil) {
		errs = append(errs, errors.New("With has a nil middleware"))
	}
	errs = append(errs,
		checkNumber("Workers", s.group.workers), checkNumber("InFlight", s.group.inFlight),
		s.retry.check(), s.checkBatch())
	return errors.Join(errs...)
}

// mostInHand is the most that a number of deliveries or workers can be: a group makes
// room for them when it starts.
const mostInHand = 1 << 20

// checkNumber returns what is wrong with the number of an option, if it was said.
func checkNumber(option string, n *int) error {
	switch {
	case n == nil:
		return nil
	case *n < 1:
		return fmt.Errorf("%s(%d): at least 1", option, *n)
	case *n > mostInHand:
		return fmt.Errorf("%s(%d): at most %d", option, *n, mostInHand)
	}
	return nil
}

// decoding returns a handler that checks, upcasts and decodes an event of m before
// it calls next.
func (b *Bus) decoding(m *message, next func(ctx context.Context, decode func(any) error) error) event.Handler {
	return func(ctx context.Context, e event.Event) error {
		return next(ctx, func(v any) error { return b.decodeUpcast(m, e, v) })
	}
}

// decodeUpcast checks, upcasts and decodes an event of m.
func (b *Bus) decodeUpcast(m *message, e event.Event, v any) error {
	e, err := b.upcast(e)
	if err != nil {
		return err
	}
	return b.decode(m, e, v)
}

// upcast brings an event that came in to the version that the application knows.
func (b *Bus) upcast(e event.Event) (event.Event, error) {
	c := b.cfg.Catalog
	if c == nil {
		return e, nil
	}
	e, err := c.Upcast(e)
	if err == nil {
		err = c.Check(e)
	}
	if err != nil {
		return e, &invalidError{code: codeInvalid, err: err}
	}
	return e, nil
}
