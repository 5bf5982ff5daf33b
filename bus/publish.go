package bus

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/leat-go/leat/event"
)

// Publish sends v to its topic. nil means that the channel has it: it is owed to
// every group that exists on the topic. v is a message, a value of a Go type that
// is named and encoded as its type says, or an [event.Event], which is published
// as it is.
//
// Under a handler's context the event is collected instead: it goes out if the
// handler succeeds, with an id derived from the handled event, so that a
// redelivery publishes the same id again. Conversation, cause, trace and tenant
// are inherited from the context.
//
// When the topic has no room, Publish waits until ctx ends; the error then names
// the group that is behind ([event.FullError]). It returns [ErrNotStarted] before
// Start and [event.ErrClosed] from Drain or Shutdown on, but not to handlers.
func (b *Bus) Publish(ctx context.Context, v any, opts ...PublishOption) error {
	if err := b.accepts(ctx); err != nil {
		return err
	}
	var p publishing
	if len(opts) > 0 {
		p = applyAll(opts)
	}
	e, topic, err := b.build(ctx, v, &p)
	if err != nil {
		return err
	}
	return b.put(ctx, topic, e, p.now)
}

// put collects an event, or sends it.
func (b *Bus) put(ctx context.Context, topic string, e event.Event, now bool) error {
	if out := b.outbox(ctx, now); out != nil {
		return addTo(ctx, out, topic, e)
	}
	if err := b.sendFrom(ctx, topic, e.One()); err != nil {
		return fmt.Errorf("bus: publish %s: %w", e.Type(), err)
	}
	return nil
}

// PublishAll sends several messages, those of one topic with one call of the
// channel. Order is kept per key. A *[event.ProduceError] names by index those
// that were not accepted; a value that can't become an event refuses all.
func (b *Bus) PublishAll(ctx context.Context, vs ...any) error {
	if err := b.accepts(ctx); err != nil {
		return err
	}
	batches, err := b.buildAll(ctx, vs)
	if err != nil {
		return err
	}
	out := b.outbox(ctx, false)
	if out != nil {
		return addAll(ctx, out, batches)
	}
	failed := &event.ProduceError{}
	for _, batch := range batches {
		if err := b.sendFrom(ctx, batch.topic, batch.events); err != nil {
			failed.Failed = append(failed.Failed, batch.failures(err)...)
		}
	}
	if len(failed.Failed) > 0 {
		slices.SortFunc(failed.Failed, func(a, b event.ProduceFailure) int { return a.Index - b.Index })
		return failed
	}
	return nil
}

// addTo collects an event, unless it could never be sent. The Bus's own outbox looks itself.
func addTo(ctx context.Context, out event.Outbox, topic string, e event.Event) error {
	if _, own := out.(*run); !own {
		if err := sendable(topic, e.One()); err != nil {
			return err
		}
	}
	return out.Add(ctx, topic, e)
}

// addAll collects batches: all of them, or none when something could never be sent.
func addAll(ctx context.Context, out event.Outbox, batches []*batch) error {
	for _, batch := range batches {
		if err := sendable(batch.topic, batch.events); err != nil {
			return err
		}
	}
	for _, batch := range batches {
		if err := out.Add(ctx, batch.topic, batch.events...); err != nil {
			return err
		}
	}
	return nil
}

// batch is the part of a PublishAll that goes to one topic.
type batch struct {
	topic   string
	events  []event.Event
	indexes []int // in the call
}

func (b *Bus) buildAll(ctx context.Context, vs []any) ([]*batch, error) {
	var batches []*batch
	byTopic := make(map[string]*batch, 1)
	for i, v := range vs {
		e, topic, err := b.build(ctx, v, &publishing{})
		if err != nil {
			return nil, fmt.Errorf("[%d] %w", i, err)
		}
		bt := byTopic[topic]
		if bt == nil {
			bt = &batch{topic: topic}
			byTopic[topic] = bt
			batches = append(batches, bt)
		}
		bt.events = append(bt.events, e)
		bt.indexes = append(bt.indexes, i)
	}
	return batches, nil
}

// failures translates the error of a Produce to indexes of the whole call.
func (bt *batch) failures(err error) []event.ProduceFailure {
	if some, ok := errors.AsType[*event.ProduceError](err); ok {
		fs := make([]event.ProduceFailure, len(some.Failed))
		for i, f := range some.Failed {
			f.Index = bt.indexes[f.Index]
			fs[i] = f
		}
		return fs
	}
	fs := make([]event.ProduceFailure, len(bt.events))
	for i, e := range bt.events {
		fs[i] = event.ProduceFailure{Index: bt.indexes[i], ID: e.ID(), Err: err}
	}
	return fs
}

// accepts tells whether the Bus takes a publish now.
func (b *Bus) accepts(ctx context.Context) error {
	if b.is() == stateStarted {
		return nil
	}
	if b.runs(ctx) || b.runsBatch(ctx) {
		return nil // what runs may finish
	}
	if s := b.is(); s == stateNew || s == stateStarting {
		return ErrNotStarted
	}
	return event.ErrClosed
}

// runs reports whether ctx is the context of a handler of this Bus that runs, or of
// what follows its return.
func (b *Bus) runs(ctx context.Context) bool {
	r := runOf(ctx)
	return r != nil && r.h.g.b == b && !r.isFinished()
}

// outbox returns where a publish under ctx is collected, or nil. What a handler
// of another Bus publishes here is sent at once: its outbox is that Bus's.
func (b *Bus) outbox(ctx context.Context, now bool) event.Outbox {
	if r := runOf(ctx); r != nil && r.h.g.b.sibling == b {
		return event.OutboxFrom(ctx)
	}
	if now {
		if event.InBatch(ctx) {
			return ofNoEvent{}
		}
		return nil
	}
	r := runOf(ctx)
	if r != nil && r.h.g.b != b {
		return nil
	}
	o := event.OutboxFrom(ctx)
	if o != nil && r == nil && event.InBatch(ctx) { // also when a middleware set one for the batch
		return ofNoEvent{}
	}
	return o
}

// ofNoEvent refuses what is published under the context of a whole batch.
type ofNoEvent struct{}

func (ofNoEvent) Add(context.Context, string, ...event.Event) error { return event.ErrInBatch }

func applyAll(opts []PublishOption) publishing {
	var p publishing
	for _, o := range opts {
		if o != nil {
			o.applyPublish(&p)
		}
	}
	return p
}

// build turns a value into the event that is sent, and tells its topic.
func (b *Bus) build(ctx context.Context, v any, p *publishing) (event.Event, string, error) {
	e, raw := v.(event.Event)
	topic := p.topic
	if raw {
		if topic == "" {
			topic = b.topicOf(e.Type())
		}
		e = p.override(e)
	} else {
		m, err := b.valueMessage(v)
		if err != nil {
			return e, "", err
		}
		if topic == "" {
			topic = m.topic
		}
		if e, err = b.encode(ctx, m, v, p); err != nil {
			return e, "", fmt.Errorf("bus: publish %s: %w", m.typ, err)
		}
	}
	e, err := b.finish(ctx, e)
	if err != nil {
		return e, "", fmt.Errorf("bus: publish %s: %w", e.Type(), err)
	}
	if err := b.checkDelay(ctx, topic, e); err != nil {
		return e, "", fmt.Errorf("bus: publish %s: %w", e.Type(), err)
	}
	return e, topic, nil
}

// finish checks an event against the catalog and lets the transforms work on it.
func (b *Bus) finish(ctx context.Context, e event.Event) (event.Event, error) {
	if c := b.cfg.Catalog; c != nil {
		if err := c.Check(e); err != nil {
			return e, err
		}
	}
	for _, transform := range b.cfg.Transforms {
		var err error
		if e, err = transform(ctx, e); err != nil {
			return e, err
		}
	}
	return e, nil
}

func (b *Bus) valueMessage(v any) (*message, error) {
	t := reflect.TypeOf(v)
	if t == nil {
		return nil, errors.New("bus: publish of nil")
	}
	if t.Kind() == reflect.Pointer && reflect.ValueOf(v).IsNil() {
		return nil, fmt.Errorf("bus: publish of a nil %v", t)
	}
	m := b.messageOf(t)
	return m, m.err
}

func (b *Bus) encode(ctx context.Context, m *message, v any, p *publishing) (event.Event, error) {
	data, err := m.codec.Encode(v)
	if err != nil {
		return event.Event{}, err
	}
	a := event.Attributes{
		ID:          p.id,
		Source:      b.source,
		Type:        m.typ,
		Subject:     p.subject,
		Key:         p.key,
		NotBefore:   p.notBefore,
		ContentType: m.codec.ContentType(),
		Schema:      m.schema,
		Data:        data,
		KeepData:    true,
	}
	if !p.keyed {
		a.Key = m.key(v)
	}
	if a.Extensions = p.attributes; m.version != "" {
		a.Extensions = append([]event.Extension{{Name: event.ExtSchemaVersion, Value: m.version}}, p.attributes...)
	}
	if r := runOf(ctx); r != nil && a.ID == "" {
		a.ID = r.deriveID()
	}
	e := a.Event()
	if a.ID == "" && b.cfg.NewID != nil {
		e = e.WithID(b.cfg.NewID(e))
	}
	return event.Inherit(ctx, e), nil
}

// override applies what the options of a publish say to a ready event.
func (p *publishing) override(e event.Event) event.Event {
	if p.id != "" {
		e = e.WithID(p.id)
	}
	if p.keyed {
		e = e.WithKey(p.key)
	}
	if p.subject != "" {
		e = e.WithSubject(p.subject)
	}
	if !p.notBefore.IsZero() {
		e = e.WithNotBefore(p.notBefore)
	}
	return p.attribute(e)
}

func (p *publishing) attribute(e event.Event) event.Event {
	for _, x := range p.attributes {
		e = e.WithExtension(x.Name, x.Value)
	}
	return e
}

// sendFrom is send for a publish under ctx that isn't collected. When it comes from
// outside and a Drain has looked for the last time, the events may be accepted but
// nobody waits for them.
func (b *Bus) sendFrom(ctx context.Context, topic string, events []event.Event) error {
	if b.runs(ctx) {
		return b.send(ctx, topic, "", events)
	}
	err := b.sendOutside(ctx, topic, events)
	if !b.drained.Load() {
		return err
	}
	some, partly := errors.AsType[*event.ProduceError](err)
	if err != nil && !partly {
		return err
	}
	late := &event.ProduceError{}
	for i, e := range events {
		f := event.ProduceFailure{Index: i, ID: e.ID(), Err: event.ErrClosed, Maybe: true}
		if partly {
			if own := failureOf(some, i); own != nil {
				f = *own
			}
		}
		late.Failed = append(late.Failed, f)
	}
	return late
}

// send produces events and tells the hooks. group is the one whose handler
// published them, or "".
func (b *Bus) send(ctx context.Context, topic, group string, events []event.Event) error {
	err := b.produce(ctx, topic, events)
	if len(b.hooks.publish) > 0 {
		b.tellPublished(ctx, topic, group, events, err)
	}
	return err
}

func (b *Bus) produce(ctx context.Context, topic string, events []event.Event) error {
	p, err := b.producer(ctx, topic)
	if err != nil {
		return err
	}
	return p.Produce(ctx, events...)
}

func (b *Bus) tellPublished(ctx context.Context, topic, group string, events []event.Event, err error) {
	some, _ := errors.AsType[*event.ProduceError](err)
	for i, e := range events {
		p := Published{Topic: topic, Event: e, Group: group, Err: err}
		if some != nil {
			p.Err = nil
			if f := failureOf(some, i); f != nil {
				p.Err = f.Err
			}
		}
		b.hooks.published(ctx, p)
	}
}

// failureOf returns what err says about the i-th event, or nil.
func failureOf(err *event.ProduceError, i int) *event.ProduceFailure {
	for j := range err.Failed {
		if f := &err.Failed[j]; f.Index == i {
			return f
		}
	}
	return nil
}

func (b *Bus) producer(ctx context.Context, topic string) (event.Producer, error) {
	if p, ok := b.producers.get(topic); ok {
		return p, nil
	}
	if err := checkName("topic", topic); err != nil {
		return nil, err
	}
	p, err := b.cfg.Channel.Producer(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("topic %q: %w", topic, err)
	}
	return b.producers.getOrPut(topic, p), nil
}
