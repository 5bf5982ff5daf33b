package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

type Invoice struct{ Total int }

// ledger is a small catalog: it knows invoices in version 2, whose total must not
// be negative; version 1 called it Sum.
type ledger struct {
	known map[reflect.Type]event.Message
}

func newLedger() ledger {
	return ledger{map[reflect.Type]event.Message{
		reflect.TypeFor[Invoice](): {Type: "billing.invoice", Topic: "billing", Schema: "urn:invoice:2", SchemaVersion: "2"},
	}}
}

func (l ledger) Message(t reflect.Type) (event.Message, bool) {
	m, ok := l.known[t]
	return m, ok
}

func (l ledger) MessageByType(typ string) (event.Message, bool) {
	for _, m := range l.known {
		if m.Type == typ {
			return m, true
		}
	}
	return event.Message{}, false
}

var errNegative = errors.New("total is negative")

func (ledger) Check(e event.Event) error {
	var in Invoice
	if e.Type() == "billing.invoice" && json.Unmarshal(e.Data(), &in) == nil && in.Total < 0 {
		return errNegative
	}
	return nil
}

func (ledger) Upcast(e event.Event) (event.Event, error) {
	switch e.Extension(event.ExtSchemaVersion) {
	case "1":
		return e.WithData(e.ContentType(), []byte(strings.ReplaceAll(string(e.Data()), "Sum", "Total"))), nil
	case "3":
		return e, fmt.Errorf("version 3: %w", event.ErrNewerVersion)
	}
	return e, nil
}

func TestCatalog(t *testing.T) {
	var w witness
	var got []Invoice
	var raw []string
	inBubble(t, bus.Config{Catalog: newLedger(), Hooks: []any{&w}}, func(b *bus.Bus) {
		bus.Subscribe(b, "g", func(_ context.Context, i Invoice) error { got = append(got, i); return nil })
		bus.Subscribe(b, "g", handle[OrderPlaced])
		bus.SubscribeRaw(b, "raw", []string{"billing.invoice"}, func(_ context.Context, e event.Event) error {
			raw = append(raw, string(e.Data()))
			return nil
		})
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		publish(t, b, Invoice{1})
		publish(t, b, OrderPlaced{})
		p := w.published[0]
		if e := p.Event; p.Topic != "billing" || e.Type() != "billing.invoice" || e.Schema() != "urn:invoice:2" || e.Extension(event.ExtSchemaVersion) != "2" {
			t.Errorf("published %v to %q: schema %q", e, p.Topic, e.Schema())
		}
		if p := w.published[1]; p.Topic != "order-placed" || p.Event.Schema() != "" {
			t.Errorf("what the catalog doesn't know was published to %q", p.Topic)
		}
		if err := b.Publish(t.Context(), Invoice{-1}); !errors.Is(err, errNegative) {
			t.Errorf("publish of an invoice that breaks the schema: %v", err)
		}
		old := event.Attributes{
			ID: "old", Source: "/s", Type: "billing.invoice", Data: []byte(`{"Sum":7}`),
			Extensions: []event.Extension{{Name: event.ExtSchemaVersion, Value: "1"}},
		}.Event()
		publish(t, b, old)
		publish(t, b, old.WithID("newer").WithExtension(event.ExtSchemaVersion, "3"))
		p3, err := ch.Producer(t.Context(), "billing")
		if err != nil {
			t.Fatal(err)
		}
		if err := p3.Produce(t.Context(), old.WithID("broken").WithData("", []byte(`{"Sum":-7}`))); err != nil {
			t.Fatal(err)
		}
		quiet(t, ch)
		if fmt.Sprint(got) != "[{1} {7}]" {
			t.Errorf("handled %v", got)
		}
		if fmt.Sprint(raw) != `[{"Total":1} {"Sum":7} {"Sum":7} {"Sum":-7}]` {
			t.Errorf("the raw handler got %v, want all as they came", raw)
		}
		dead := letters(t, b, "g")
		if len(dead) != 2 {
			t.Fatalf("%d dead letters", len(dead))
		}
		if d := dead[0]; d.Event.ID() != "newer" || d.Cause.Code != "newer" || d.Cause.Attempts != 1 {
			t.Errorf("newer version: %+v", d)
		}
		if d := dead[1]; d.Event.ID() != "broken" || d.Cause.Code != "invalid" || d.Cause.Text != errNegative.Error() || string(d.Event.Data()) != `{"Sum":-7}` {
			t.Errorf("broken schema: %+v", d)
		}
		if v, err := bus.Decode[Invoice](b, old); err != nil || v.Total != 7 {
			t.Errorf("decoded %v, %v", v, err)
		}
		if _, err := bus.Decode[Invoice](b, old.WithExtension(event.ExtSchemaVersion, "3")); !errors.Is(err, event.ErrNewerVersion) {
			t.Errorf("decoded a newer version: %v", err)
		}
	})
}

// A content type of the catalog picks the codec; one without a codec is a mistake.
func TestCodecOfTheCatalog(t *testing.T) {
	l := newLedger()
	l.known[reflect.TypeFor[Account]()] = event.Message{Type: "account", ContentType: "application/x-gob"}
	l.known[reflect.TypeFor[order]()] = event.Message{Type: "order", ContentType: "application/xml"}
	l.known[reflect.TypeFor[streamed]()] = event.Message{ContentType: "application/xml"}
	var w witness
	b := bus.New(bus.Config{Channel: memory.New(), Catalog: l, Codecs: []event.Codec{event.JSON, gobCodec{}}, Hooks: []any{&w}})
	start(t, b)
	publish(t, b, Account{Name: "n"})
	if ct := w.published[0].Event.ContentType(); ct != "application/x-gob; v=1" {
		t.Errorf("published as %q", ct)
	}
	for _, v := range []any{order{}, streamed{}} {
		if err := b.Publish(t.Context(), v); err == nil || !strings.Contains(err.Error(), `no codec for content type "application/xml"`) {
			t.Errorf("%T: %v", v, err)
		}
	}
}
