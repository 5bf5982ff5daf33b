package bus_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

const canary = "s3cr3t-canary"

type Account struct {
	Name   string
	Amount int
	At     time.Time
	Inner  struct{ Limits map[string]int }
	Lines  []struct {
		Price *struct {
			Cents int `json:"cents"`
		}
	}
}

// Tree is a list of itself.
type Tree []Tree

// picky quotes what it was given.
type picky struct{}

func (*picky) UnmarshalJSON(b []byte) error { return fmt.Errorf("what is %s?", b) }

// Data that is no message is a dead letter at once, and neither its cause nor the
// error of the attempt says what the data was.
func TestUndecodableData(t *testing.T) {
	cases := map[string]struct {
		typ, contentType, data string
		where                  string
	}{
		"no JSON":        {"account", "application/json", canary, ": bad JSON at offset 1"},
		"cut":            {"account", "application/json", `{"Name":"` + canary, ": bad JSON at offset"},
		"empty":          {"account", "application/json", "", ": bad JSON at offset 0"},
		"wrong type":     {"account", "application/json", `{"Amount":"` + canary + `"}`, `: field "Amount" at offset`},
		"no object":      {"account", "application/json", `"` + canary + `"`, `: what stands at offset`},
		"no list":        {"tree", "application/json", `[5]`, ` at offset`},
		"deep":           {"account", "application/json", `{"Inner":{"Limits":{"` + canary + `":"x"}}}`, `: field "Inner.Limits" at offset`},
		"deep in a list": {"account", "application/json", `{"Lines":[{},{"Price":{"cents":"` + canary + `"}}]}`, `Price.cents" at offset`},
		"no time":        {"account", "application/json", `{"At":"` + canary + `"}`, ""},
		"own decoder":    {"picky", "application/json", `"` + canary + `"`, ""},
		"content type":   {"account", "image/png", canary, ": no codec for this content type"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var w witness
			runs := 0
			inBubble(t, bus.Config{Hooks: []any{&w}}, func(b *bus.Bus) {
				bus.Subscribe(b, "g", func(context.Context, Account) error { runs++; return nil }, bus.BlockKey())
				bus.Subscribe(b, "g", func(context.Context, picky) error { runs++; return nil })
				bus.Subscribe(b, "g", func(context.Context, Tree) error { runs++; return nil })
			}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
				e := event.Attributes{Source: "/s", Type: c.typ, ContentType: c.contentType, Data: []byte(c.data)}.Event()
				publish(t, b, e)
				quiet(t, ch)
				d := letter(t, b, "g")
				if runs != 0 || len(w.attempts) != 1 || w.attempts[0].Outcome != event.OutcomeDead {
					t.Errorf("%d runs, attempts %+v", runs, w.attempts)
				}
				if d.Cause.Code != "decode" || !strings.Contains(d.Cause.Text, c.where) || d.Cause.Attempts != 1 || d.Cause.Handler != "g/"+c.typ {
					t.Errorf("cause %+v", d.Cause)
				}
				if s := fmt.Sprintf("%+v %v", d.Cause, w.attempts[0].Err); strings.Contains(s, canary) {
					t.Errorf("the data is told: %s", s)
				}
				var undecodable *bus.DecodeError
				if !errors.As(w.attempts[0].Err, &undecodable) || undecodable.Type != c.typ || undecodable.ContentType != c.contentType {
					t.Errorf("error %#v", w.attempts[0].Err)
				}
				if !d.Event.Equal(e) {
					t.Error("the dead letter is another event")
				}
			})
		})
	}
}

type gobCodec struct{}

func (gobCodec) ContentType() string { return "application/x-gob; v=1" }

func (gobCodec) Encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	err := gob.NewEncoder(&buf).Encode(v)
	return buf.Bytes(), err
}

func (gobCodec) Decode(data []byte, v any) error {
	return gob.NewDecoder(bytes.NewReader(data)).Decode(v)
}

// The first codec is the one that publishes; what comes in is decoded by that of
// its content type.
func TestCodecs(t *testing.T) {
	var got []Account
	var w witness
	inBubble(t, bus.Config{Codecs: []event.Codec{gobCodec{}, event.JSON}, Hooks: []any{&w}}, func(b *bus.Bus) {
		bus.Subscribe(b, "g", func(_ context.Context, a Account) error { got = append(got, a); return nil })
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		want := Account{Name: "n", Amount: 3}
		publish(t, b, want)
		if ct := w.published[0].Event.ContentType(); ct != "application/x-gob; v=1" {
			t.Errorf("published as %q", ct)
		}
		data := w.published[0].Event.Data()
		text := []byte(`{"Name":"n","Amount":3}`)
		for contentType, data := range map[string][]byte{
			"":                                 data,
			"application/x-gob":                data,
			"application/X-GOB;v=2":            data,
			"application/json":                 text,
			"application/json; charset=utf-8":  text,
			"application/cloudevents+json":     text,
			"application/vnd.shop.order+json ": text,
		} {
			publish(t, b, event.Attributes{Source: "/s", Type: "account", ContentType: strings.TrimSpace(contentType), Data: data}.Event())
		}
		quiet(t, ch)
		if len(got) != 8 {
			t.Errorf("%d decoded; dead letters %+v", len(got), letters(t, b, "g"))
		}
		for _, a := range got {
			if !reflect.DeepEqual(a, want) {
				t.Errorf("decoded %+v", a)
			}
		}
	})
}

func TestEncodeError(t *testing.T) {
	type Channelled struct{ C chan int }
	b := bus.New(bus.Config{Channel: memory.New()})
	start(t, b)
	if err := b.Publish(t.Context(), Channelled{}); err == nil || !strings.Contains(err.Error(), "bus: publish channelled") {
		t.Errorf("publish: %v", err)
	}
}

func TestDecode(t *testing.T) {
	b := bus.New(bus.Config{Channel: memory.New()})
	e := event.Attributes{Source: "/s", Type: "account", Data: []byte(`{"Name":"n"}`)}.Event()
	if a, err := bus.Decode[Account](b, e); err != nil || a.Name != "n" {
		t.Errorf("decoded %+v, %v", a, err)
	}
	if a, err := bus.Decode[*Account](b, e); err != nil || a.Name != "n" {
		t.Errorf("decoded %+v, %v", a, err)
	}
	if _, err := bus.Decode[OrderPlaced](b, e); err == nil || !strings.Contains(err.Error(), `event of type "account" is no bus_test.OrderPlaced`) {
		t.Errorf("another type: %v", err)
	}
	if _, err := bus.Decode[struct{}](b, e); err == nil {
		t.Error("a type without a name was decoded")
	}
	var undecodable *bus.DecodeError
	if _, err := bus.Decode[Account](b, e.WithData("", []byte("["))); !errors.As(err, &undecodable) || undecodable.Into != reflect.TypeFor[Account]() || undecodable.Unwrap() == nil {
		t.Errorf("bad data: %v", err)
	}
}

// Events of types without a handler are skipped and told, or dead letters.
func TestUnknownTypes(t *testing.T) {
	var w witness
	var runs tally
	inBubble(t, bus.Config{Hooks: []any{&w}}, func(b *bus.Bus) {
		bus.Subscribe(b, "loose", func(context.Context, OrderPlaced) error { runs.add("run"); return nil }, bus.Topic("orders"))
		bus.Subscribe(b, "strict", func(context.Context, OrderPlaced) error { runs.add("run"); return nil }, bus.Topic("orders"), bus.Strict())
		bus.Subscribe(b, "rest", func(context.Context, OrderPlaced) error { runs.add("run"); return nil }, bus.Topic("orders"))
		bus.SubscribeRaw(b, "rest", nil, func(_ context.Context, e event.Event) error {
			if e.Type() != "other" {
				t.Errorf("the rest is %q", e.Type())
			}
			runs.add("run")
			return nil
		}, bus.Topic("orders"))
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		publish(t, b, OrderPlaced{}, bus.Topic("orders"))
		other := event.New("/s", "other", []byte(canary))
		publish(t, b, other, bus.Topic("orders"))
		quiet(t, ch)
		if runs.total() != 4 {
			t.Errorf("%d runs, want 4", runs.total())
		}
		if fmt.Sprint(w.skipped) != "[loose orders other]" {
			t.Errorf("skipped %v", w.skipped)
		}
		d := letter(t, b, "strict")
		if d.Cause.Code != "unknown-type" || d.Cause.Handler != "strict" || d.Cause.Attempts != 1 || d.Cause.Failures != 0 || !d.Event.Equal(other) || strings.Contains(d.Cause.Text, canary) {
			t.Errorf("dead letter %+v", d)
		}
		if len(w.attempts) != 4 {
			t.Errorf("%d attempts were told, want 4", len(w.attempts))
		}
	})
}

// garbled hands out deliveries whose bytes are no event.
type garbled struct{ event.Consumer }

func (c garbled) Receive(ctx context.Context, buf []event.Delivery) (int, error) {
	n, err := c.Consumer.Receive(ctx, buf)
	for i := range buf[:n] {
		buf[i].Event = event.Event{}
		buf[i].Err = errors.New("no event")
		buf[i].Raw = []byte(canary)
	}
	return n, err
}

func TestBytesThatAreNoEvent(t *testing.T) {
	a := &altered{consumer: func(_ event.Subscription, c event.Consumer) (event.Consumer, error) { return garbled{c}, nil }}
	inBubble(t, bus.Config{}, func(*bus.Bus) {}, func(t *testing.T, _ *bus.Bus, ch *memory.Channel) {
		a.Channel = ch
		var w witness
		b := bus.New(bus.Config{Channel: a, Hooks: []any{&w}})
		bus.Subscribe(b, "g", handle[OrderPlaced])
		start(t, b)
		publish(t, b, OrderPlaced{})
		quiet(t, ch)
		c := letter(t, b, "g").Cause
		if c.Code != "decode" || c.Text != "no event" || c.Handler != "g" || len(w.attempts) > 0 {
			t.Errorf("cause %+v, attempts %+v", c, w.attempts)
		}
	})
}
