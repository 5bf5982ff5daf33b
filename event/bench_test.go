package event

import (
	"encoding/json"
	"testing"
	"time"
)

// benchEvent is an event of 512 bytes in JSON.
func benchEvent() Event {
	return Attributes{
		ID: "01JTAVQ8E9WXK6F0N7SDB5CZ2R", Source: "/shop", Type: "order-placed", Key: "customer-4711",
		Time: time.Date(2026, 11, 20, 12, 30, 15, 123456789, time.UTC), ContentType: "application/json",
		Data: []byte(`{"order":"8f14e45f-ceea-467f-a1d2-91d3ab31a9c0","customer":"customer-4711","placed":true,"currency":"EUR",` +
			`"lines":[{"sku":"A-1001","name":"Tea, black","amount":3,"cents":1295},{"sku":"B-2002","name":"Pot of clay","amount":1,"cents":3450}],` +
			`"ship":{"street":"Mill Lane 7","town":"Watford"},"note":null}`),
	}.Event()
}

// plainEvent is the same for encoding/json.
type plainEvent struct {
	SpecVersion string          `json:"specversion"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Type        string          `json:"type"`
	Time        time.Time       `json:"time"`
	ContentType string          `json:"datacontenttype"`
	Key         string          `json:"partitionkey"`
	Data        json.RawMessage `json:"data"`
}

func benchBytes(b *testing.B) []byte {
	b.Helper()
	raw, err := AppendJSON(nil, benchEvent())
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	return raw
}

func BenchmarkAppendJSON(b *testing.B) {
	buf := make([]byte, 0, 2*len(benchBytes(b)))
	e := benchEvent()
	for b.Loop() {
		if _, err := AppendJSON(buf, e); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppendJSONEncodingJSON encodes the same with encoding/json.
func BenchmarkAppendJSONEncodingJSON(b *testing.B) {
	var p plainEvent
	if err := json.Unmarshal(benchBytes(b), &p); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := json.Marshal(&p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseJSON(b *testing.B) {
	raw := benchBytes(b)
	for b.Loop() {
		if _, err := ParseJSON(raw); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParseJSONEncodingJSON decodes the same with encoding/json.
func BenchmarkParseJSONEncodingJSON(b *testing.B) {
	raw := benchBytes(b)
	for b.Loop() {
		var p plainEvent
		if err := json.Unmarshal(raw, &p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidJSON(b *testing.B) {
	data := benchEvent().Data()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if !validJSON(data) {
			b.Fatal("not valid")
		}
	}
}

// BenchmarkValidJSONEncodingJSON is what encoding/json takes for the same.
func BenchmarkValidJSONEncodingJSON(b *testing.B) {
	data := benchEvent().Data()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if !json.Valid(data) {
			b.Fatal("not valid")
		}
	}
}

func BenchmarkAppendHeaders(b *testing.B) {
	e := benchEvent()
	headers := make([]Header, 0, 16)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := AppendHeaders(headers, KafkaHeaders, e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseHeaders(b *testing.B) {
	e := benchEvent()
	headers, err := AppendHeaders(nil, KafkaHeaders, e)
	if err != nil {
		b.Fatal(err)
	}
	d := Decoder{KeepData: true}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.ParseHeaders(KafkaHeaders, headers, e.Data()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNew(b *testing.B) {
	data := benchEvent().Data()
	b.ReportAllocs()
	for b.Loop() {
		sinkEvent = New("/shop", "order-placed", data)
	}
}

func BenchmarkValidate(b *testing.B) {
	e := benchEvent()
	for b.Loop() {
		if err := e.Validate(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewID(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		sinkString = NewID()
	}
}
