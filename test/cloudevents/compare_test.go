package cloudevents

import (
	"fmt"
	"maps"
	"testing"
	"time"

	sdk "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
)

// seen is all that an event says, for comparison.
type seen struct {
	ID, Source, Type, Subject, ContentType, Schema string

	Time       string
	Extensions map[string]string
	Data       string
}

func ofLeat(e event.Event) seen {
	s := seen{
		ID: e.ID(), Source: e.Source(), Type: e.Type(), Subject: e.Subject(), ContentType: e.ContentType(), Schema: e.Schema(),
		Extensions: map[string]string{}, Data: string(e.Data()),
	}
	maps.Insert(s.Extensions, e.Extensions())
	if !e.Time().IsZero() {
		s.Time = e.Time().Format(time.RFC3339Nano)
	}
	return s
}

func ofSDK(t *testing.T, e sdk.Event) seen {
	t.Helper()
	require.NoError(t, e.Validate())
	s := seen{
		ID: e.ID(), Source: e.Source(), Type: e.Type(), Subject: e.Subject(), ContentType: e.DataContentType(), Schema: e.DataSchema(),
		Extensions: map[string]string{}, Data: string(e.Data()),
	}
	if !e.Time().IsZero() {
		s.Time = e.Time().UTC().Format(time.RFC3339Nano)
	}
	for name, value := range e.Extensions() {
		text, err := types.Format(value)
		require.NoError(t, err)
		s.Extensions[name] = text
	}
	return s
}

var at = time.Date(2026, 11, 20, 12, 30, 15, 123456789, time.UTC)

// leatEvents are events of leat by name.
func leatEvents() map[string]event.Event {
	base := event.Attributes{ID: "42", Source: "https://shop.example/orders", Type: "com.example.order.placed", Time: at}.Event()
	events := map[string]event.Event{
		"minimal":        event.Event{}.WithID("1").WithSource("#here").WithType("t"),
		"whole second":   base.WithTime(at.Truncate(time.Second)),
		"all attributes": base.WithSubject("order/42").WithSchema("https://shop.example/order.json#v1").WithKey("customer-7").WithNotBefore(at.Add(time.Hour)),
		"extensions":     base.WithExtension(event.ExtTenant, "acme").WithExtension("number", "7").WithExtension("yes", "true").WithExtension("a0", "x=y;z"),
	}
	for contentType, data := range map[string][]string{
		"":                            {`{"a":1}`, `"text"`, "null", "not JSON"},
		"application/json":            {`{ "a" : [1, 2.5e3, null, true, "\u00e9é"] }`, `"just a string"`, "17", "[]", "false", "{", " 1", `"\ud800"`},
		"text/json;charset=utf-8":     {`[1]`},
		"text/plain":                  {"text", "a \"quoted\" \\ text\n\té😀\u2028\x00", "null", "\xff"},
		"application/xml":             {`<much wow="xml"/>`},
		"application/octet-stream":    {"\x00\x01\xff", "text"},
		"text/plain; charset=latin-1": {"text"},
	} {
		for _, d := range data {
			events[fmt.Sprintf("%s %q", contentType, d)] = base.WithData(contentType, []byte(d))
		}
	}
	return events
}

// sdkEvents are events of the SDK by name.
func sdkEvents(t *testing.T) map[string]sdk.Event {
	t.Helper()
	events := map[string]sdk.Event{}
	add := func(name string, change func(*sdk.Event)) {
		e := sdk.New()
		e.SetID("42")
		e.SetSource("https://shop.example/orders")
		e.SetType("com.example.order.placed")
		change(&e)
		require.NoError(t, e.Validate())
		events[name] = e
	}
	data := func(contentType string, v any) func(*sdk.Event) {
		return func(e *sdk.Event) { require.NoError(t, e.SetData(contentType, v)) }
	}
	add("minimal", func(*sdk.Event) {})
	add("all attributes", func(e *sdk.Event) {
		e.SetTime(at.In(time.FixedZone("", -3600)))
		e.SetSubject("order/42")
		e.SetDataSchema("https://shop.example/order.json#v1")
	})
	add("typed extensions", func(e *sdk.Event) {
		e.SetExtension("number", 7)
		e.SetExtension("least", -2147483648)
		e.SetExtension("yes", true)
		e.SetExtension("no", false)
		e.SetExtension("text", "x=y;z")
		e.SetExtension("bytes", []byte{0, 255})
		e.SetExtension("moment", at)
		e.SetExtension("link", types.ParseURI("https://shop.example/"))
		e.SetExtension("partitionkey", "customer-7")
		e.SetExtension("notbefore", at.Format(time.RFC3339Nano))
	})
	add("object", data("application/json", map[string]any{"a": []any{1, "é", nil}}))
	add("string", data("application/json", "text"))
	add("suffix", data("application/cloud+json", []byte(`{"a":1}`)))
	add("text", data("text/plain", "a \"quoted\" \\ text\n\té😀"))
	add("xml", data("application/xml", []byte(`<much wow="xml"/>`)))
	add("bytes", data("application/octet-stream", []byte{0, 1, 255}))
	return events
}
