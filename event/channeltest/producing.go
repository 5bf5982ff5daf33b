//nolint:contextcheck // a case has a context of its own, and its steps have their patience
package channeltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/leat-go/leat/event"
)

// source is where the events of the suite happen.
const source = "/channeltest"

// keyed returns the events of a key with the numbers first to last: "a-1", "a-2"
// and so on.
func keyed(key string, first, last int) []event.Event {
	var events []event.Event
	for i := first; i <= last; i++ {
		events = append(events, numbered(key, i).WithKey(key))
	}
	return events
}

// unkeyed returns n events without a key: "name-1", "name-2" and so on.
func unkeyed(name string, n int) []event.Event {
	var events []event.Event
	for i := 1; i <= n; i++ {
		events = append(events, numbered(name, i))
	}
	return events
}

func numbered(name string, i int) event.Event {
	return event.Attributes{
		ID: fmt.Sprintf("%s-%d", name, i), Source: source, Type: "tested",
		ContentType: "application/json", Data: fmt.Appendf(nil, `{"name":%q,"number":%d}`, name, i),
	}.Event()
}

const warmPrefix = "warm-up-"

// warm reports whether an event only warms a group up.
func warm(ev event.Event) bool { return strings.HasPrefix(ev.ID(), warmPrefix) }

// producer returns the producer of a topic.
func (e *env) producer(topic string) event.Producer {
	e.t.Helper()
	ch := e.open()
	e.mu.Lock()
	p := e.producers[topic]
	e.mu.Unlock()
	if p != nil {
		return p
	}
	ctx, cancel := e.patient()
	defer cancel()
	p, err := ch.Producer(ctx, topic)
	if err != nil {
		e.fatalf("Producer(%q): %v", topic, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.producers[topic] = p
	return p
}

// produce produces events that must be accepted.
func (e *env) produce(topic string, events ...event.Event) {
	e.t.Helper()
	ctx, cancel := e.patient()
	defer cancel()
	produce := e.tryProduce
	if e.Faulty {
		produce = e.produceAnyway
	}
	if err := produce(ctx, topic, events...); err != nil {
		e.fatalf("Produce of %s on %s: %v", idsOfEvents(events), topic, err)
	}
}

// tryProduce is Produce, accounted for. Calls for the same key must not overlap.
func (e *env) tryProduce(ctx context.Context, topic string, events ...event.Event) error {
	p := e.producer(topic)
	return e.producing(topic, "", events, func() error { return p.Produce(ctx, events...) })
}

// producing accounts for a call that produces events.
func (e *env) producing(topic, group string, events []event.Event, call func() error) error {
	entries := e.ledger.producing(topic, group, group == "", events)
	err := call()
	e.story.addf("produced on %s%s: %s: %s", topic, to(group), listed(events), outcome(err))
	if err == nil {
		return nil
	}
	var partly *event.ProduceError
	if !errors.As(err, &partly) {
		for _, x := range entries {
			e.ledger.mark(x, true, false)
		}
		return err
	}
	if len(partly.Failed) == 0 {
		e.errorf("Produce on %s: a *ProduceError that names no event", topic)
	}
	for _, f := range partly.Failed {
		switch {
		case f.Index < 0 || f.Index >= len(events):
			e.errorf("Produce of %d events on %s: a failure at index %d", len(events), topic, f.Index)
			continue
		case f.ID != events[f.Index].ID():
			e.errorf("Produce on %s: the failure at index %d names the id %q, the event there has %q", topic, f.Index, f.ID, events[f.Index].ID())
		case f.Err == nil:
			e.errorf("Produce on %s: the failure at index %d has no error", topic, f.Index)
		}
		e.ledger.mark(entries[f.Index], !f.Maybe, f.Maybe)
	}
	return err
}

func to(group string) string {
	if group == "" {
		return ""
	}
	return " for " + group
}

// listed names events, not all if there are many.
func listed(events []event.Event) string {
	if len(events) <= 8 {
		return idsOfEvents(events)
	}
	return fmt.Sprintf("%s … %s (%d)", events[0].ID(), events[len(events)-1].ID(), len(events))
}

// difference says which attribute of two events differs.
func difference(want, got event.Event) string {
	for _, a := range []struct{ name, want, got string }{
		{"id", want.ID(), got.ID()},
		{"source", want.Source(), got.Source()},
		{"type", want.Type(), got.Type()},
		{"subject", want.Subject(), got.Subject()},
		{"time", want.Time().Format(time.RFC3339Nano), got.Time().Format(time.RFC3339Nano)},
		{"datacontenttype", want.ContentType(), got.ContentType()},
		{"dataschema", want.Schema(), got.Schema()},
		{"extensions", extensions(want), extensions(got)},
	} {
		if a.want != a.got {
			return fmt.Sprintf("%s was %q, came as %q", a.name, short(a.want), short(a.got))
		}
	}
	if w, g := want.Data(), got.Data(); !bytes.Equal(w, g) {
		i := 0
		for i < len(w) && i < len(g) && w[i] == g[i] {
			i++
		}
		return fmt.Sprintf("the data of %d bytes came as %d bytes, different from byte %d on: %q came as %q", len(w), len(g), i, around(w, i), around(g, i))
	}
	return "Event.Equal says no"
}

func extensions(ev event.Event) string {
	var b strings.Builder
	for name, value := range ev.Extensions() {
		fmt.Fprintf(&b, "%s=%s ", name, value)
	}
	return b.String()
}

// around returns a few bytes of b from i on.
func around(b []byte, i int) []byte { return b[i:min(i+16, len(b))] }
