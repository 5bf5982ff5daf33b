package event_test

import (
	"bytes"
	"encoding/json"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/leat-go/leat/event"
)

// allocated returns the bytes that f allocates, or a little less than what others
// allocate beside it: the least of three runs.
func allocated(f func()) uint64 {
	var (
		before, after runtime.MemStats
		least         = ^uint64(0)
	)
	for range 3 {
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

func FuzzParseJSON(f *testing.F) {
	f.Add([]byte(minimal(`,"data":{"a":[1,2]},"subject":"\u00e9\ud83d\ude00"`)))
	f.Add([]byte(minimal(`,"data":"text","datacontenttype":"text/plain","time":"2018-04-05T18:31:00.5+01:00"`)))
	f.Add([]byte(minimal(`,"data_base64":"AP8\/","own":7,"other":true,"third":null,"partitionkey":"k","notbefore":"2030-01-01T00:00:00Z"`)))
	f.Fuzz(func(t *testing.T, in []byte) {
		was := bytes.Clone(in)
		e, err := event.ParseJSON(in)
		if !bytes.Equal(in, was) {
			t.Fatal("the input was changed")
		}
		// A slice of extensions, the error and its text don't depend on the input.
		if got, most := allocated(func() { _, _ = event.ParseJSON(in) }), uint64(4*len(in)+16<<10); got > most {
			t.Fatalf("%d bytes allocated for %d", got, len(in))
		}
		if err != nil {
			if !e.IsZero() {
				t.Fatal("an event beside an error")
			}
			return
		}
		checkAgainstEncodingJSON(t, in, e)
		roundTrip(t, e)
	})
}

// checkAgainstEncodingJSON checks that encoding/json reads the same, as far as it
// can tell.
func checkAgainstEncodingJSON(t *testing.T, in []byte, e event.Event) {
	t.Helper()
	if !utf8.Valid(in) {
		t.Fatal("not valid UTF-8")
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(in, &members); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"specversion": event.SpecVersion, "id": e.ID(), "source": e.Source(), "type": e.Type(), "subject": e.Subject(),
		"datacontenttype": e.ContentType(), "dataschema": e.Schema(),
	} {
		var got string
		if raw, ok := members[name]; ok {
			if err := json.Unmarshal(raw, &got); err != nil {
				t.Fatal(err)
			}
		}
		if got != want {
			t.Fatalf("%s is %q, encoding/json reads %q", name, want, got)
		}
	}
	for name, value := range e.Extensions() {
		var got any
		if err := json.Unmarshal(members[name], &got); err != nil {
			t.Fatal(err)
		}
		if s, ok := got.(string); ok && s != value && name != event.ExtNotBefore {
			t.Fatalf("%s is %q, encoding/json reads %q", name, value, s)
		}
	}
}

// roundTrip checks that a valid event comes back in all forms as it was.
func roundTrip(t *testing.T, e event.Event) {
	t.Helper()
	same := func(what string, back event.Event, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if !back.Equal(e) || !e.Equal(back) {
			t.Fatalf("%s: %v became %v", what, snapshot(e), snapshot(back))
		}
	}
	raw, err := event.AppendJSON(nil, e)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(raw) || !utf8.Valid(raw) || bytes.ContainsAny(raw, "\ufffe\uffff") {
		t.Fatalf("not JSON in UTF-8: %q", raw)
	}
	back, err := event.ParseJSON(raw)
	same("JSON", back, err)

	line, err := event.AppendJSONLine(nil, e)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.IndexByte(line, '\n') != len(line)-1 || bytes.IndexByte(line, '\r') >= 0 {
		t.Fatalf("not one line: %q", line)
	}
	back, err = event.ParseJSON(line)
	same("line", back, err)

	batch, err := event.AppendJSONBatch(nil, e, e)
	if err != nil {
		t.Fatal(err)
	}
	events, err := event.ParseJSONBatch(batch)
	if len(events) != 2 {
		t.Fatal(err)
	}
	same("batch", events[1], err)

	for _, f := range []event.HeaderFormat{event.KafkaHeaders, event.HTTPHeaders} {
		headers, err := event.AppendHeaders(nil, f, e)
		if strings.HasPrefix(strings.ToLower(e.ContentType()), "application/cloudevents") {
			if err == nil {
				t.Fatal("would be taken for structured mode")
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range headers {
			for _, b := range h.Value {
				if b < ' ' || b == 0x7f || f.Percent && b > '~' {
					t.Fatalf("%s: %q", h.Key, h.Value)
				}
			}
		}
		back, err := event.ParseHeaders(f, headers, e.Data())
		same(f.Prefix, back, err)
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add("ce_id: 1\nce_source: /s\nce_type: t\nce_specversion: 1.0\nce_own: x\ncontent-type: text/plain", []byte("data"), false)
	f.Add("Ce-Id: 1\nCE-source: /s%20\nce-type: \"t\\\"\"\nce-specversion: 1.0\nce-own: %E2%82%AC\nContent-Type: a/b", []byte("data"), true)
	f.Add("content-type: application/cloudevents+json", []byte(minimal(`,"data":1`)), false)
	f.Fuzz(func(t *testing.T, text string, data []byte, http bool) {
		format := event.KafkaHeaders
		if http {
			format = event.HTTPHeaders
		}
		headers := headersOf(strings.Split(text, "\n")...)
		e, err := event.ParseHeaders(format, headers, data)
		if got, most := allocated(func() { _, _ = event.ParseHeaders(format, headers, data) }), uint64(4*(len(text)+len(data))+16<<10); got > most {
			t.Fatalf("%d bytes allocated for %d", got, len(text)+len(data))
		}
		if err != nil {
			if !e.IsZero() {
				t.Fatal("an event beside an error")
			}
			return
		}
		if err := e.Validate(); err != nil {
			t.Fatal(err)
		}
		roundTrip(t, e)
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add("1", "/s", "t", "", "", "", "", "own", "x", []byte(nil), int64(0), uint32(0))
	f.Add("01JTAVQ8E9WXK6F0N7SDB5CZ2R", "urn:a", "order placed", "é\"\\", "k", "application/json", "urn:s", "tenant", "€", []byte(`{"a":1}`), int64(1763638215), uint32(123))
	f.Add("an-id-that-does-not-fit-the-core-of-an-event", "a%20b", "\ufffd", "s", "k", "text/xml; charset=utf-8", "a:b", "notbefore", "2030-01-01T00:00:00Z", []byte("<a/>\x00"), int64(-62167219200), uint32(999999999))
	f.Add("1", "/s", "t", "\n", "\xff", "xyz", "s", "ID", "x", []byte("\xff"), int64(1)<<62, uint32(1))
	f.Fuzz(func(t *testing.T, id, source, typ, subject, key, contentType, schema, name, value string, data []byte, sec int64, nsec uint32) {
		e := event.Attributes{
			ID: id, Source: source, Type: typ, Subject: subject, Key: key, ContentType: contentType, Schema: schema, Data: data,
			Time: time.Unix(sec, int64(nsec)), Extensions: []event.Extension{{Name: name, Value: value}},
		}.Event()
		if e.Validate() != nil {
			if raw, err := event.AppendJSON(nil, e); err == nil || raw != nil {
				t.Fatal("AppendJSON took an invalid event")
			}
			if headers, err := event.AppendHeaders(nil, event.HTTPHeaders, e); err == nil || headers != nil {
				t.Fatal("AppendHeaders took an invalid event")
			}
			return
		}
		roundTrip(t, e)
	})
}
