package channeltest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/leat-go/leat/event"
)

// Benchmark measures the way of events through the channel that h opens: produced,
// received, begun and settled, for one group and for three, one at a time and in
// batches. An operation is one event with 256 bytes of data, through all groups.
func Benchmark(b *testing.B, h Harness) {
	h.Bubble = false
	h = h.withDefaults()
	for _, groups := range []int{1, 3} {
		for _, batch := range []int{1, 64} {
			b.Run(fmt.Sprintf("groups=%d/batch=%d", groups, batch), func(b *testing.B) { flow(b, h, groups, batch) })
		}
	}
	b.Run("roundtrip", func(b *testing.B) { roundTrips(b, h) })
}

// track is a topic with groups on it.
type track struct {
	producer  event.Producer
	consumers []event.Consumer
	fresh     bool // the channel drops events of an id that it knows
	ready     []event.Event
}

func newTrack(b *testing.B, h Harness, groups int) *track {
	b.Helper()
	ch := h.Open(b)
	ctx := context.WithoutCancel(b.Context())
	b.Cleanup(func() {
		if err := ch.Close(ctx); err != nil {
			b.Errorf("Close: %v", err)
		}
	})
	unique := "-" + event.NewID()[16:]
	topic := h.Topic("bench" + unique)
	if p, ok := ch.(event.Provisioner); ok {
		if err := p.EnsureTopic(ctx, event.TopicSpec{Name: topic}); err != nil {
			b.Fatalf("EnsureTopic: %v", err)
		}
	}
	t := &track{}
	for i := range groups {
		c, err := ch.Consumer(ctx, event.Subscription{Group: h.Group(fmt.Sprint("bench", i, unique)), Topics: []string{topic}, InFlight: 4096})
		if err != nil {
			b.Fatalf("Consumer: %v", err)
		}
		t.consumers = append(t.consumers, c)
		b.Cleanup(func() {
			if err := c.Close(ctx); err != nil {
				b.Errorf("Close: %v", err)
			}
		})
	}
	var err error
	if t.producer, err = ch.Producer(ctx, topic); err != nil {
		b.Fatalf("Producer: %v", err)
	}
	g, err := ch.Guarantees(ctx, topic, "")
	if err != nil {
		b.Fatalf("Guarantees: %v", err)
	}
	t.fresh = g.DedupWindow > 0
	data := text(256)
	for range 4096 {
		t.ready = append(t.ready, event.New(source, "benchmarked", data))
	}
	return t
}

// events returns n events, made before if they may be.
func (t *track) events(at, n int) []event.Event {
	at %= len(t.ready)
	if at+n > len(t.ready) {
		at = 0
	}
	events := t.ready[at : at+n]
	if t.fresh {
		for i := range events {
			events[i] = events[i].WithID(event.NewID())
		}
	}
	return events
}

// flow produces and consumes side by side.
func flow(b *testing.B, h Harness, groups, batch int) {
	t := newTrack(b, h, groups)
	ctx := context.WithoutCancel(b.Context())
	b.ReportAllocs()
	b.ResetTimer()
	start := time.Now()
	done := make(chan error, groups+1)
	for _, c := range t.consumers {
		go func() { done <- newHandler(c, batch).handle(ctx, b.N) }()
	}
	go func() {
		for n := 0; n < b.N; n += batch {
			if err := t.producer.Produce(ctx, t.events(n, min(batch, b.N-n))...); err != nil {
				done <- fmt.Errorf("produce: %w", err)
				return
			}
		}
		done <- nil
	}()
	for range groups + 1 {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "events/s")
}

// handler acks what it gets.
type handler struct {
	c           event.Consumer
	buf         []event.Delivery
	settlements []event.Settlement
}

func newHandler(c event.Consumer, batch int) *handler {
	return &handler{c, make([]event.Delivery, batch), make([]event.Settlement, 0, batch)}
}

// handle handles n events.
func (h *handler) handle(ctx context.Context, n int) error {
	for n > 0 {
		got, err := h.c.Receive(ctx, h.buf[:min(len(h.buf), n)])
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		h.settlements = h.settlements[:0]
		for i := range h.buf[:got] {
			if _, ok := h.c.Begin(h.buf[i].Token); ok {
				h.settlements = append(h.settlements, event.Ack(h.buf[i].Token))
			}
		}
		if err := h.c.Settle(ctx, h.settlements); err != nil {
			return fmt.Errorf("settle: %w", err)
		}
		n -= len(h.settlements)
	}
	return nil
}

// roundTrips sends one event after the other.
func roundTrips(b *testing.B, h Harness) {
	t := newTrack(b, h, 1)
	ctx := context.WithoutCancel(b.Context())
	consumer := newHandler(t.consumers[0], 1)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if err := t.producer.Produce(ctx, t.events(n, 1)...); err != nil {
			b.Fatalf("Produce: %v", err)
		}
		if err := consumer.handle(ctx, 1); err != nil {
			b.Fatal(err)
		}
	}
}
