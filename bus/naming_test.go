package bus_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

type (
	OrderPlaced   struct{}
	HTTPRequest   struct{}
	RequestHTTP   struct{}
	OrderV2       struct{}
	V2Order       struct{}
	A             struct{}
	AB            struct{}
	ABc           struct{}
	Order_Shipped struct{} //nolint:staticcheck // the name is what is tested
	order         struct{}
	Page2Of10     struct{}
	Amount        int
	Tags          map[string]string
)

type named struct{}

func (named) EventType() string { return "shop.Named" }

type namedByPointer struct{}

func (*namedByPointer) EventType() string  { return "by-pointer" }
func (*namedByPointer) EventTopic() string { return "pointed" }

type streamed struct{}

func (streamed) EventTopic() string { return "orders" }

type box[T any] struct{ V T }

type namedBox[T any] struct{ V T }

func (namedBox[T]) EventType() string { return "box" }

func typeOf[T any](t *testing.T, b *bus.Bus) string {
	t.Helper()
	name, err := bus.TypeOf[T](b)
	if err != nil {
		t.Error(err)
	}
	return name
}

func TestTypesAreKebabCaseOrSaid(t *testing.T) {
	b := bus.New(bus.Config{Channel: memory.New()})
	for want, got := range map[string]string{
		"order-placed":  typeOf[OrderPlaced](t, b),
		"http-request":  typeOf[HTTPRequest](t, b),
		"request-http":  typeOf[RequestHTTP](t, b),
		"order-v2":      typeOf[OrderV2](t, b),
		"v2-order":      typeOf[V2Order](t, b),
		"a":             typeOf[A](t, b),
		"ab":            typeOf[AB](t, b),
		"a-bc":          typeOf[ABc](t, b),
		"order-shipped": typeOf[Order_Shipped](t, b),
		"order":         typeOf[*order](t, b),
		"page2-of10":    typeOf[Page2Of10](t, b),
		"amount":        typeOf[Amount](t, b),
		"tags":          typeOf[Tags](t, b),
		"shop.Named":    typeOf[named](t, b),
		"by-pointer":    typeOf[namedByPointer](t, b),
		"streamed":      typeOf[streamed](t, b),
		"box":           typeOf[namedBox[int]](t, b),
	} {
		if got != want {
			t.Errorf("type %q, want %q", got, want)
		}
	}
	if typeOf[*namedByPointer](t, b) != "by-pointer" || typeOf[*streamed](t, b) != "streamed" {
		t.Error("a pointer has another name than its type")
	}
}

func refusedType[T any](t *testing.T, want string) {
	t.Helper()
	b := bus.New(bus.Config{Channel: memory.New()})
	if name, err := bus.TypeOf[T](b); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("type %q, error %v; want one with %q", name, err, want)
	}
}

type badName struct{}

func (badName) EventType() string { return "order placed" }

type emptyName struct{}

func (emptyName) EventType() string { return "" }

type badTopic struct{}

func (badTopic) EventTopic() string { return "orders/new" }

type longTopic struct{}

func (longTopic) EventTopic() string { return strings.Repeat("x", 101) }

type ticks chan int

// embeds has a method of what it embeds, which its zero value does not have.
type embeds struct{ *teller }

type teller struct{ name string }

func (t *teller) EventType() string { return t.name }

type größe struct{} //nolint:asciicheck // the name is what is tested

func TestTypesWithoutAName(t *testing.T) {
	refusedType[struct{ N int }](t, "no name of its own")
	refusedType[map[string]int](t, "no name of its own")
	refusedType[int](t, "no name of its own")
	refusedType[any](t, "no name of its own")
	refusedType[error](t, "no name of its own")
	refusedType[**OrderPlaced](t, "no name of its own")
	refusedType[fmt.Stringer](t, "is no data")
	refusedType[context.CancelFunc](t, "is no data")
	refusedType[ticks](t, "is no data")
	refusedType[embeds](t, "EventType or EventTopic of its zero value panics")
	refusedType[box[int]](t, "generic type")
	refusedType[badName](t, `"order placed"`)
	refusedType[emptyName](t, "empty event type")
	refusedType[badTopic](t, `topic "orders/new"`)
	refusedType[longTopic](t, "longer than 100 bytes")
	refusedType[größe](t, `"größe"`)
	refusedType[event.Event](t, "event.Event")
	refusedType[*event.Event](t, "event.Event")
}

// Two Go types with one name can't be told apart on the wire.
func TestTwoTypesWithOneName(t *testing.T) {
	b := bus.New(bus.Config{Channel: memory.New()})
	first := func() string {
		type Clash struct{}
		return typeOf[Clash](t, b)
	}
	if one, two := first(), first(); one != "clash" || two != one {
		t.Error("the first type doesn't keep its name")
	}
	type Clash struct{}
	for range 2 {
		if _, err := bus.TypeOf[Clash](b); err == nil || !strings.Contains(err.Error(), `"clash"`) {
			t.Errorf("second type: %v, want a clash", err)
		}
	}
	bus.Subscribe(b, "g", func(context.Context, Clash) error { return nil })
	if err := b.Start(t.Context()); err == nil || !strings.Contains(err.Error(), `both called "clash"`) {
		t.Errorf("start: %v, want the clash", err)
	}
}

func TestNilValues(t *testing.T) {
	b := bus.New(bus.Config{Channel: memory.New()})
	start(t, b)
	for _, v := range []any{nil, (*OrderPlaced)(nil), (*event.Event)(nil)} {
		if err := b.Publish(t.Context(), v); err == nil || !strings.Contains(err.Error(), "nil") {
			t.Errorf("publish of %T: %v", v, err)
		}
		if err := b.PublishAll(t.Context(), OrderPlaced{}, v); err == nil || !strings.Contains(err.Error(), "[1] bus: publish of") {
			t.Errorf("publish of all with %T: %v", v, err)
		}
	}
	if err := b.Publish(t.Context(), struct{}{}); err == nil {
		t.Error("a value without a name was published")
	}
	if err := b.Publish(t.Context(), event.Event{}); err == nil {
		t.Error("the zero event was published")
	}
	e := event.New("/s", "a", nil)
	if err := b.Publish(t.Context(), &e); err == nil || !strings.Contains(err.Error(), "event.Event") {
		t.Errorf("publish of a pointer to an event: %v", err)
	}
}

type keyedByValue struct{ K string }

func (k keyedByValue) EventKey() string { return k.K }

type keyedByPointer struct{ K string }

func (k *keyedByPointer) EventKey() string { return k.K }

// What is published for a value and its options.
func TestPublishedEvent(t *testing.T) {
	soon := time.Date(2031, 1, 2, 3, 4, 5, 6, time.UTC)
	raw := event.Attributes{
		ID: "raw-1", Source: "urn:other", Type: "order-placed", Subject: "s", Key: "k",
		Extensions: []event.Extension{{Name: "tenant", Value: "acme"}}, ContentType: "text/plain", Data: []byte("x"),
	}.Event()
	cases := map[string]struct {
		v                        any
		opts                     []bus.PublishOption
		topic, key, id, subject  string
		typ, source, contentType string
		notBefore                time.Time
		data                     string
	}{
		"plain":             {v: OrderPlaced{}, topic: "order-placed", typ: "order-placed", data: "{}"},
		"pointer":           {v: &OrderPlaced{}, topic: "order-placed", typ: "order-placed", data: "{}"},
		"method topic":      {v: streamed{}, topic: "orders", typ: "streamed", data: "{}"},
		"pointer's topic":   {v: namedByPointer{}, topic: "pointed", typ: "by-pointer", data: "{}"},
		"said topic":        {v: streamed{}, opts: []bus.PublishOption{bus.Topic("t")}, topic: "t", typ: "streamed", data: "{}"},
		"key by value":      {v: keyedByValue{"k1"}, topic: "keyed-by-value", typ: "keyed-by-value", key: "k1", data: `{"K":"k1"}`},
		"by value, pointer": {v: &keyedByValue{"k1"}, topic: "keyed-by-value", typ: "keyed-by-value", key: "k1", data: `{"K":"k1"}`},
		"key by pointer":    {v: keyedByPointer{"k2"}, topic: "keyed-by-pointer", typ: "keyed-by-pointer", key: "k2", data: `{"K":"k2"}`},
		"by pointer, both":  {v: &keyedByPointer{"k2"}, topic: "keyed-by-pointer", typ: "keyed-by-pointer", key: "k2", data: `{"K":"k2"}`},
		"said": {
			v:     keyedByValue{"k1"},
			opts:  []bus.PublishOption{bus.Key("k3"), bus.ID("id"), bus.Subject("sub"), bus.At(soon)},
			topic: "keyed-by-value", typ: "keyed-by-value", key: "k3", id: "id", subject: "sub", notBefore: soon, data: `{"K":"k1"}`,
		},
		"said none": {v: keyedByValue{"k1"}, opts: []bus.PublishOption{bus.Key(""), nil}, topic: "keyed-by-value", typ: "keyed-by-value", data: `{"K":"k1"}`},
		"event":     {v: raw, topic: "order-placed", typ: "order-placed", source: "urn:other", key: "k", id: "raw-1", subject: "s", contentType: "text/plain", data: "x"},
		"event, said": {
			v:     raw,
			opts:  []bus.PublishOption{bus.Topic("t"), bus.Key("k3"), bus.ID("id"), bus.Subject("sub"), bus.At(soon)},
			topic: "t", typ: "order-placed", source: "urn:other", key: "k3", id: "id", subject: "sub", contentType: "text/plain", notBefore: soon, data: "x",
		},
		"event of a type with a topic": {v: event.New("/o", "streamed", nil), topic: "orders", typ: "streamed", source: "/o", contentType: "-"},
		"event of an unknown type":     {v: event.New("/o", "what", nil), topic: "what", typ: "what", source: "/o", contentType: "-"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var w witness
			b := bus.New(bus.Config{Channel: memory.New(), App: "shop", Hooks: []any{&w}})
			typeOf[streamed](t, b)
			start(t, b)
			publish(t, b, c.v, c.opts...)
			p := w.published[0]
			e := p.Event
			if c.source == "" {
				c.source = "/shop"
			}
			switch c.contentType {
			case "":
				c.contentType = "application/json"
			case "-":
				c.contentType = ""
			}
			if p.Topic != c.topic || p.Err != nil || p.Group != "" {
				t.Errorf("published to %q, error %v, of group %q", p.Topic, p.Err, p.Group)
			}
			if e.Type() != c.typ || e.Source() != c.source || e.Key() != c.key || e.Subject() != c.subject ||
				!e.NotBefore().Equal(c.notBefore) || string(e.Data()) != c.data || e.ContentType() != c.contentType {
				t.Errorf("event %v of source %q, type %q, key %q, subject %q, not before %v, data %q of %q",
					e, e.Source(), e.Type(), e.Key(), e.Subject(), e.NotBefore(), e.Data(), e.ContentType())
			}
			if c.id != "" && e.ID() != c.id || e.ID() == "" {
				t.Errorf("id %q, want %q", e.ID(), c.id)
			}
			if err := e.Validate(); err != nil {
				t.Error(err)
			}
			if len(c.opts) == 0 && c.v == any(raw) && !e.Equal(raw) {
				t.Error("an event was changed on its way out")
			}
		})
	}
}

// Events come from "/App", which is a URI-reference for every App that Start takes.
func TestSourceIsAReference(t *testing.T) {
	for _, app := range []string{"", "shop", "Shop-2_x", strings.Repeat("a", 100)} {
		var w witness
		b := bus.New(bus.Config{Channel: memory.New(), App: app, Hooks: []any{&w}})
		start(t, b)
		publish(t, b, OrderPlaced{})
		if got := w.published[0].Event.Source(); got != "/"+app {
			t.Errorf("source %q of app %q", got, app)
		}
	}
}
