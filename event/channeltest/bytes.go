package channeltest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"time"

	"github.com/leat-go/leat/event"
)

// That what comes is what was produced, attribute by attribute and byte by byte, is
// compared for every delivery of every case. The cases here produce what is easily
// damaged on the way.

func (e *env) roundTrip(events ...event.Event) {
	e.t.Helper()
	topic := e.topic("orders")
	m := e.join(e.group("mailer"), topic)
	for _, ev := range events {
		e.produce(topic, ev)
	}
	m.handleAny(events...)
	m.silent("it has had all events")
}

func withData(id, contentType string, data []byte) event.Event {
	return event.Attributes{ID: id, Source: source, Type: "tested", ContentType: contentType, Data: data}.Event()
}

var bytesCases = []testCase{
	{
		name:    "Attributes",
		promise: "An event comes with all attributes and extensions that it was produced with, and with no other.",
		run: func(e *env) {
			all := event.Attributes{
				ID: "all", Source: "https://example.com/shop?id=1&x=%20#part", Type: "com.example.order.placed.v2",
				Subject: "orders/4711 ünï", Time: time.Date(2024, 2, 29, 23, 59, 59, 123456789, time.FixedZone("", 5400)),
				Key: "customer-7", NotBefore: time.Date(1971, 2, 3, 4, 5, 6, 7, time.UTC), // past: ignored and kept
				ContentType: `application/json; charset=utf-8; profile="a b"`, Schema: "https://example.com/schemas/order/2",
				Data: []byte(`{"n": 1.0, "s":"ü"}`),
				Extensions: []event.Extension{
					{Name: event.ExtCorrelationID, Value: "c-1"},
					{Name: event.ExtCausationID, Value: "c-0"},
					{Name: event.ExtTraceparent, Value: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
					{Name: event.ExtTracestate, Value: "a=1,b=2"},
					{Name: event.ExtTenant, Value: "Ärzte & Söhne"},
					{Name: event.ExtSchemaVersion, Value: "2.1"},
					{Name: "x1", Value: " leading and trailing "},
					{Name: "boolean", Value: "true"},
					{Name: "number", Value: "-12"},
					{Name: "quotes", Value: `"\'"` + "`,;=%25+"},
					{Name: "emoji", Value: "🌊 \U0001F468\u200D\U0001F469"},
					{Name: "long", Value: strings.Repeat("v", 2000)},
					{Name: "verylongextensionname0123456789verylongextensionname", Value: "n"},
				},
			}.Event()
			least := event.Attributes{ID: "least", Source: source, Type: "t"}.Event().WithTime(time.Time{})
			second := event.Attributes{ID: "second", Source: source, Type: "t", Time: time.Unix(0, 0)}.Event()
			ancient := event.Attributes{ID: "ancient", Source: source, Type: "t", Time: time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC)}.Event()
			distant := event.Attributes{ID: "distant", Source: source, Type: "t", Time: time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)}.Event()
			e.roundTrip(all, least, second, ancient, distant)
		},
	},
	{
		name:    "ManyExtensions",
		promise: "An event comes with as many extensions as the envelope may have.",
		run: func(e *env) {
			ev := numbered("many", 1)
			for i := range event.MaxAttributes - 10 {
				ev = ev.WithExtension(fmt.Sprintf("ext%02d", i), fmt.Sprintf("value %d", i))
			}
			e.roundTrip(ev)
		},
	},
	{
		name:    "Data",
		promise: "Data comes byte by byte as it was produced, whatever it is and whatever its content type claims.",
		run: func(e *env) {
			binary := make([]byte, 256)
			for i := range binary {
				binary[i] = byte(i)
			}
			var events []event.Event
			for i, d := range [][]byte{
				nil, binary, []byte("\xff\xfe not UTF-8 \x80"),
				{0},
				[]byte("\r\n\t \x00"), []byte("ünïcode 🌊"),
				[]byte(`{"b":1, "a": 1.00, "b":2 }`), []byte("{no json"), []byte("null"), []byte(`"text"`), []byte("<a>&amp;</a>"),
				[]byte("aGVsbG8="), bytes.Repeat([]byte{0xc3}, 1000), bytes.Repeat([]byte("\uFFFD"), 5),
			} {
				for j, contentType := range []string{"", "application/json", "text/plain; charset=utf-8", "application/octet-stream", "application/xml"} {
					events = append(events, withData(fmt.Sprintf("data-%d-%d", i, j), contentType, d))
				}
			}
			e.roundTrip(events...)
		},
	},
	{
		name:    "Names",
		promise: "Ids, sources, types, subjects and keys come unchanged, be they long, unicode or full of signs that mean something elsewhere.",
		run: func(e *env) {
			long := strings.Repeat("0123456789", 100)
			var events []event.Event
			for i, s := range []string{long, "ünïcode-ключ-\u9375-🌊", `a b"c'd\e/f%20?x=1&y=2#z`, "a,b;c=d|e", "..", "$.{x}<y>", strings.Repeat("🌊", 200)} {
				events = append(events,
					numbered("id", i).WithID(s),
					numbered("key", i).WithKey(s),
					numbered("subject", i).WithSubject(s),
					numbered("type", i).WithType(s),
					numbered("source", i).WithSource("urn:x:"+url.PathEscape(s)),
				)
			}
			e.roundTrip(events...)
		},
	},
	{
		name:    "LongKeysOrdered",
		promise: "Order is kept by the whole key, also when keys are long and differ at their ends alone.",
		needs:   []need{order},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			long := strings.Repeat("k", 1000)
			var events []event.Event
			for i := 1; i <= 10; i++ {
				for _, end := range []string{"1", "2", "ü"} {
					events = append(events, numbered("end-"+end, i).WithKey(long+end))
				}
			}
			e.produce(topic, events...)
			m.handleAny(events...) // the order is compared for every delivery
		},
	},
	{
		name:    "Large",
		promise: "Large events come whole, up to the channel's limit.",
		run: func(e *env) {
			sizes := []int{4 << 10, 64 << 10, 200 << 10}
			if limit := e.Guarantees.MaxBytes; limit > 0 {
				sizes = []int{limit / 3, limit / 2, limit - 4<<10} // the rest is for the attributes
			}
			var events []event.Event
			for i, n := range sizes {
				events = append(events, withData(fmt.Sprint("text-", i), "text/plain", text(n)))
				if i < 2 { // an encoding of binary data may need a third more
					events = append(events, withData(fmt.Sprint("binary-", i), "application/octet-stream", noise(n)))
				}
			}
			e.roundTrip(events...)
		},
	},
	{
		name:    "SliceIsNotKept",
		promise: "Produce doesn't keep the slice of events: the caller may use it again.",
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			batch := make([]event.Event, 10)
			var all []event.Event
			for round := range 5 {
				for i := range batch {
					batch[i] = numbered("x", round*10+i)
				}
				all = append(all, batch...)
				e.produce(topic, batch...)
				clear(batch)
			}
			m.handleAny(all...)
		},
	},
	{
		name:    "EachGroupItsOwn",
		promise: "What one group does with the data of an event is not seen by another group or a redelivery: they share no memory with the producer's slice.",
		run: func(e *env) {
			topic := e.topic("orders")
			a := e.join(e.group("a"), topic)
			b := e.join(e.group("b"), topic)
			data := []byte("the data as it was produced")
			ev := event.Attributes{ID: "x", Source: source, Type: "tested", Data: data}.Event()
			e.produce(topic, ev)
			copy(data, "overwritten by the producer")
			a.handleAll(ev)
			b.handleAll(ev)
		},
	},
}

func text(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = "abcdefghijklmnopqrstuvwxyz"[i%26]
	}
	return b
}

func noise(n int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}
