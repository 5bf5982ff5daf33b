package bus

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/leat-go/leat/event"
)

// Style is what a package needs that builds a style of messaging on a Bus, as the packages
// command and query do. Applications don't need it. Its methods may be called
// concurrently.
type Style struct{ b *Bus }

// Style returns what is needed to build on the Bus.
func (b *Bus) Style() Style { return Style{b} }

// Keep returns what the Bus keeps under a key: v, if it is the first. Keys are as those of
// contexts: of a type of the package that keeps something.
func (s Style) Keep(key, v any) any { return s.b.styles.getOrPut(key, v) }

// Kept returns what the Bus keeps under a key, or nil.
func (s Style) Kept(key any) any {
	v, _ := s.b.styles.get(key)
	return v
}

// Message returns the event type of a Go type, and its topic.
func (s Style) Message(t reflect.Type) (typ, topic string, err error) {
	m := s.b.messageOf(t)
	return m.typ, m.topic, m.err
}

// App returns the name of the application.
func (s Style) App() string { return s.b.cfg.App }

// HasChannel reports whether the Bus has a channel; without one, its handlers can be called.
func (s Style) HasChannel() bool { return !s.b.none }

// Channel returns the channel. Whoever opens something there closes it with [Style.OnClose].
func (s Style) Channel() event.Channel { return s.b.cfg.Channel }

// Mistake lets Start fail with an error of the set-up.
func (s Style) Mistake(err error) { s.b.mistake(err) }

// MustBeNew panics when the Bus was started already: call names what came too late.
func (s Style) MustBeNew(call string) { s.b.mustBeNew(call) }

// Accepts tells whether the Bus takes a publish under ctx now.
func (s Style) Accepts(ctx context.Context) error { return s.b.accepts(ctx) }

// Prepare is [Bus.Prepare], with attributes beside those of the options.
func (s Style) Prepare(ctx context.Context, v any, opts []PublishOption, more []event.Extension) (topic string, e event.Event, err error) {
	var p publishing
	if len(opts) > 0 { // options let it escape
		p = applyAll(opts)
	}
	if p.attributes == nil {
		p.attributes = more
	} else {
		p.attributes = append(p.attributes, more...)
	}
	return s.b.prepare(ctx, v, &p)
}

// Send is Publish for what [Bus.Prepare] returned: collected under a handler's context,
// unless it is to go out now.
func (s Style) Send(ctx context.Context, topic string, e event.Event, now bool) error {
	if err := s.b.accepts(ctx); err != nil {
		return err
	}
	return s.b.put(ctx, topic, e, now)
}

// Around tells what is around the handler that a group of this Bus has for a type, beside
// its timeout: the middlewares, from the outside, and whether hooks are told of its
// attempts. Where there is none of it, whoever has the handler can call it as it is. ok is
// false where [Style.Calls] is. It is known once the Bus is started.
func (s Style) Around(group, typ string) (all []event.Middleware, timeout time.Duration, hooked, ok bool) {
	h := s.b.handlerOf(group, typ)
	if h == nil || h.fn == nil {
		return nil, 0, false, false
	}
	all = slices.Concat(s.b.cfg.Middleware, h.opts.middleware, s.b.cfg.Inner)
	return all, h.opts.timeout, len(s.b.hooks.attempt) > 0, true
}

// Unreadable reports whether an error is the Bus's own, of an event that it couldn't turn into a
// message: decoding failed, or the catalog refused it.
func (Style) Unreadable(err error) bool { return final(err) }

// Encode encodes a value as a message would be.
func (s Style) Encode(v any) (contentType string, data []byte, err error) {
	codec := s.b.cfg.Codecs[0]
	data, err = codec.Encode(v)
	return codec.ContentType(), data, err
}

// Decode fills v, a pointer, from the data of an event, as for a handler: errors are a
// *[DecodeError].
func (s Style) Decode(e event.Event, v any) error {
	m := &message{goType: reflect.TypeOf(v).Elem(), codec: s.b.cfg.Codecs[0]}
	return s.b.decode(m, e, v)
}

// Sibling returns a Bus that isn't started, of the same Config on the same channel, which it leaves
// open. What is published on this Bus under the context of one of its handlers goes to the
// outbox of that context ([event.OutboxFrom]), with the option [Now] too: so whoever wraps the
// handlers of a sibling says what becomes of it. Nothing else is shared.
func (s Style) Sibling() *Bus {
	c := s.b.cfg
	c.KeepChannel = true
	if s.b.none {
		c.Channel = nil
	}
	b := New(c)
	b.sibling = s.b
	return b
}

// Rest hands a group the events of all types of its topics that no other handler of it
// takes. Those of a topic that has such a handler already, by [SubscribeRaw], go there.
func (s Style) Rest(group string, h event.Handler, opts ...SubscribeOption) {
	s.b.add(group, nil, h, opts, (*subscription).checkOptions)
}

// Outside puts a middleware around all others of a handler, those of the Config too. An [Unrun]
// is told what has no run.
func (Style) Outside(m event.Middleware) SubscribeOption {
	return subscribeOption(func(s *subscription) { s.outside = append(s.outside, m) })
}

// Unrun is a middleware of [Style.Outside] that knows of all deliveries of its handler's
// types, where it is that of [Style.Rest] also of those whose bytes are no event. With
// [ParkKey] it couldn't: that is a mistake, which Start reports.
type Unrun interface {
	// Unrun is called before a delivery becomes a dead letter that no handler has seen. When
	// it returns an error the delivery is held, and Unrun is called again.
	Unrun(ctx context.Context, d event.Delivery) error
}

// OnClose registers what is to be closed by Shutdown: when no handler runs any more, and
// before the channel is closed. It reports false when that has begun: then nothing will.
func (s Style) OnClose(f func(context.Context) error) bool {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if s.b.closing != nil {
		return false
	}
	s.b.closers = append(s.b.closers, f)
	return true
}

func (b *Bus) closeStyles(ctx context.Context) []error {
	b.mu.Lock()
	closers := b.closers
	b.mu.Unlock()
	var errs []error
	for _, f := range closers {
		if err := f(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}
