package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

// Producer implements [event.Channel]. The topic is made unless it exists. What it
// returns is an [event.PositionProducer] too.
func (ch *Channel) Producer(ctx context.Context, topic string) (_ event.Producer, err error) {
	ctx, leave := ch.doors.enter(ctx)
	defer func() { err = leave(err) }()
	cl, err := ch.use()
	if err != nil {
		return nil, err
	}
	if err := checkTopic(topic); err != nil {
		return nil, err
	}
	if _, err := ch.ensure(ctx, event.TopicSpec{Name: topic}, nil); err != nil {
		return nil, err
	}
	limit, err := ch.limit(ctx, topic)
	if err != nil {
		return nil, err
	}
	return &producer{ch: ch, cl: cl, topic: topic, limit: limit}, nil
}

// producer appends to one topic.
type producer struct {
	ch    *Channel
	cl    *kgo.Client
	topic string
	limit int
}

var _ event.PositionProducer = (*producer)(nil)

// Produce implements [event.Producer].
func (p *producer) Produce(ctx context.Context, events ...event.Event) error {
	if d := p.ch.keeper(ctx); d != nil {
		return d.keep(p, events)
	}
	b, err := p.produce(events, nil)
	if err != nil {
		return err
	}
	b.send(ctx, p.cl)
	return b.wait(ctx)
}

// ProduceAt implements [event.PositionProducer]. The position of an event that was
// not accepted is not valid.
func (p *producer) ProduceAt(ctx context.Context, events ...event.Event) ([]event.Position, error) {
	b, err := p.produce(events, nil)
	if err != nil {
		return nil, err
	}
	b.send(ctx, p.cl)
	err = b.wait(ctx)
	return b.positions(), err
}

// produce makes records of events. prepare, if any, sees each before it goes.
func (p *producer) produce(events []event.Event, prepare func(*kgo.Record)) (*batch, error) {
	if p.ch.isClosed() {
		return nil, event.ErrClosed
	}
	b := newBatch(p.ch, events)
	for i := range events {
		r := &b.items[i].Record
		r.Topic = p.topic
		if err := p.encode(r, events[i]); err != nil {
			b.refuse(i, err)
			continue
		}
		if prepare != nil {
			prepare(r)
		}
	}
	return b, nil
}

func (p *producer) encode(r *kgo.Record, e event.Event) error {
	if err := encode(r, e); err != nil {
		return err
	}
	if n := sizeOf(r); n > p.limit {
		return fmt.Errorf("kafka: %d bytes, topic %q takes %d: %w", n, p.topic, p.limit, event.ErrTooLarge)
	}
	if at := e.NotBefore(); !at.IsZero() {
		if ahead := time.Until(at); ahead > p.ch.cfg.MaxDelay {
			return fmt.Errorf("kafka: %v ahead, the longest is %v: %w", ahead, p.ch.cfg.MaxDelay, event.ErrDelayTooLong)
		}
	}
	return nil
}

// batch is the events of one call.
type batch struct {
	ch     *Channel
	events []event.Event
	items  []item
	done   chan struct{} // closed when the brokers have answered for all

	mu     sync.Mutex
	left   int // without an answer
	failed []event.ProduceFailure
}

// item is an event of a call on its way.
type item struct {
	kgo.Record

	b        *batch
	index    int
	weight   int64 // of Channel.room
	refused  bool  // never sent
	answered bool
}

func newBatch(ch *Channel, events []event.Event) *batch {
	b := &batch{ch: ch, events: events, items: make([]item, len(events)), done: make(chan struct{}), left: len(events)}
	for i := range b.items {
		b.items[i].b, b.items[i].index = b, i
	}
	if len(events) == 0 {
		close(b.done)
	}
	return b
}

// refuse notes that an event is not sent.
func (b *batch) refuse(i int, err error) {
	b.items[i].refused = true
	b.answer(i, &event.ProduceFailure{Err: err})
}

// answer notes what became of an event.
func (b *batch) answer(i int, f *event.ProduceFailure) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.items[i].answered = true
	if f != nil {
		f.Index, f.ID = i, b.events[i].ID()
		b.failed = append(b.failed, *f)
	}
	if b.left--; b.left == 0 {
		close(b.done)
	}
}

// send hands all to the client, as far as there is room before ctx ends. The client
// is not told of ctx: it ends the wait, not the write.
func (b *batch) send(ctx context.Context, cl *kgo.Client) {
	if err := b.reserve(ctx); err != nil {
		for i := range b.items {
			if !b.items[i].refused {
				b.refuse(i, err)
			}
		}
		return
	}
	detached := context.WithoutCancel(ctx)
	for i := range b.items {
		it := &b.items[i]
		if it.refused {
			continue
		}
		if it.weight == 0 {
			if err := b.ch.wait(ctx, it); err != nil {
				b.refuse(i, err)
				continue
			}
		}
		cl.Produce(detached, &it.Record, it.settle)
	}
}

// reserve takes room for all events at once where they may not wait for it, or where
// all fit at once.
func (b *batch) reserve(ctx context.Context) error {
	var sum int64
	for i := range b.items {
		if !b.items[i].refused {
			sum += weight(&b.items[i].Record)
		}
	}
	capacity := b.ch.cfg.MaxBuffered
	handling := event.Handling(ctx)
	switch {
	case sum > capacity && handling:
		return fmt.Errorf("kafka: %d bytes at once, Config.MaxBuffered is %d: %w", sum, capacity, event.ErrTooLarge)
	case sum > capacity:
		return nil // each waits for itself
	case !b.ch.room.TryAcquire(sum):
		if handling {
			return fmt.Errorf("kafka: the brokers have not answered for %d bytes: %w", capacity, event.ErrFull)
		}
		if err := b.ch.acquire(ctx, b.items[0].Topic, sum); err != nil {
			return err
		}
	}
	for i := range b.items {
		if it := &b.items[i]; !it.refused {
			it.weight = weight(&it.Record)
		}
	}
	return nil
}

// weight is what an event takes of the room, with what the client keeps around it.
func weight(r *kgo.Record) int64 { return int64(sizeOf(r)) + 256 }

// wait takes room for one event.
func (ch *Channel) wait(ctx context.Context, it *item) error {
	n := min(weight(&it.Record), ch.cfg.MaxBuffered)
	if err := ch.acquire(ctx, it.Topic, n); err != nil {
		return err
	}
	it.weight = n
	return nil
}

func (ch *Channel) acquire(ctx context.Context, topic string, n int64) error {
	if err := ch.acquireUnlessRefused(ctx, n); err != nil {
		return &event.FullError{Topic: topic, Bound: int(ch.cfg.MaxBuffered), Waiting: int(ch.cfg.MaxBuffered), Err: err}
	}
	return nil
}

// acquireUnlessRefused waits for room as long as the brokers don't refuse us: then
// there will be none.
func (ch *Channel) acquireUnlessRefused(ctx context.Context, n int64) error {
	for {
		start := time.Now()
		wait, cancel := context.WithTimeout(ctx, refusedFor)
		err := ch.room.Acquire(wait, n)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		if err := ch.doors.since(start); err != nil {
			return err
		}
	}
}

// settle is called by the client, on its one goroutine for this: it never waits.
func (it *item) settle(r *kgo.Record, err error) {
	b := it.b
	b.ch.room.Release(it.weight)
	if err == nil {
		b.answer(it.index, nil)
		return
	}
	maybe, err := judge(r.Topic, b.ch.doors.explain(err))
	b.answer(it.index, &event.ProduceFailure{Err: err, Maybe: maybe})
}

// wait waits for the answers, for ctx to end, or for a broker that refuses us: what has
// no answer then may be written.
func (b *batch) wait(ctx context.Context) error {
	var ended error
	select {
	case <-b.done:
	default:
		ended = b.ch.doors.wait(ctx, b.done)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	failed := append([]event.ProduceFailure(nil), b.failed...)
	if b.left > 0 {
		for i := range b.items {
			if !b.items[i].answered {
				failed = append(failed, event.ProduceFailure{Index: i, ID: b.events[i].ID(), Err: ended, Maybe: true})
			}
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return &event.ProduceError{Failed: failed}
}

// positions returns where the events went.
func (b *batch) positions() []event.Position {
	b.mu.Lock()
	defer b.mu.Unlock()
	failed := make(map[int]bool, len(b.failed))
	for _, f := range b.failed {
		failed[f.Index] = true
	}
	ps := make([]event.Position, len(b.items))
	for i := range ps {
		if it := &b.items[i]; it.answered && !failed[i] {
			ps[i] = positionOf(&it.Record)
		}
	}
	return ps
}

// positionOf returns the position of a record: offsets begin at 0, those of
// positions at 1.
func positionOf(r *kgo.Record) event.Position {
	return event.Position{Lane: r.Partition, Offset: r.Offset + 1}
}

// refusals are answers that say that nothing was written, however often the client
// had asked before.
var refusals = []error{
	kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed,
	kerr.InvalidTopicException, kerr.InvalidRecord, kerr.PolicyViolation, kerr.UnsupportedForMessageFormat,
	kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.UnknownTopicOrPartition,
}

// judge says what an error of the client means, and whether the event may have been
// written all the same.
func judge(topic string, err error) (maybe bool, told error) {
	maybe = true
	for _, r := range refusals {
		if errors.Is(err, r) {
			maybe = false
		}
	}
	told = fmt.Errorf("kafka: produce on topic %q: %w", topic, err)
	switch {
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		told = fmt.Errorf("kafka: produce on topic %q: %w: %w", topic, event.ErrTooLarge, err)
	case errors.Is(err, kgo.ErrClientClosed):
		told = fmt.Errorf("kafka: produce on topic %q: %w", topic, event.ErrClosed)
	}
	return maybe, told
}

func (ch *Channel) isClosed() bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.closed
}
