package event

import (
	"strconv"
	"strings"
)

// Header is a header of a message that carries an event in binary mode: the data is
// the message's payload, the attributes are headers.
type Header struct {
	Key   string // name
	Value []byte // bytes, as they are
}

// HeaderFormat says how attributes become headers.
//
// The content type is the header content-type, in any case, in all formats; the
// key that order is kept by is a header like the others, whatever else an engine
// does with it.
type HeaderFormat struct {
	// Prefix stands before the name of an attribute: "ce_" makes "ce_id".
	Prefix string
	// Percent encodes values as HTTP does: what isn't printable ASCII, spaces, quotes
	// and percent signs are escaped, and quoted strings are understood. The names of
	// headers are then the same in any case.
	Percent bool
}

// The formats of the CloudEvents 1.0.2 protocol bindings.
var (
	KafkaHeaders = HeaderFormat{Prefix: "ce_"}
	HTTPHeaders  = HeaderFormat{Prefix: "ce-", Percent: true} // for HTTP and NATS
)

const (
	contentTypeHeader = "content-type"
	structuredPrefix  = "application/cloudevents"
)

// AppendHeaders appends the headers of e in binary mode and returns the extended
// slice; [Event.Data] is the payload. [ParseHeaders] of both is equal to e. An
// invalid event is refused with an *[AttributeError], and dst is returned as it
// was. So is an event whose content type is that of an encoded event: everyone
// would take it for one in structured mode.
func AppendHeaders(dst []Header, f HeaderFormat, e Event) ([]Header, error) {
	if err := e.Validate(); err != nil {
		return dst, err
	}
	if structured(e.ContentType()) {
		return dst, badAttribute("datacontenttype", "is that of an event in structured mode")
	}
	c := e.c
	_, size := e.envelope()
	w := headerWriter{f: f, keys: f.common(), dst: dst, values: make([]byte, 0, size)} // more than the values need, unless escaped
	w.add("specversion", SpecVersion)
	w.add("id", e.ID())
	w.add("source", c.head.source)
	w.add("type", c.head.typ)
	if c.hasTime {
		from := len(w.values)
		w.values = appendTime(w.values, c.sec, c.nsec)
		w.header(w.key("time"), from)
	}
	w.add("subject", c.rare().subject)
	w.add("dataschema", c.head.schema)
	for name, value := range e.Extensions() {
		w.add(name, value)
	}
	if c.head.contentType != "" {
		from := len(w.values)
		w.values = append(w.values, c.head.contentType...)
		w.header(contentTypeHeader, from)
	}
	return w.dst, nil
}

// headerWriter makes headers whose values share one allocation.
type headerWriter struct {
	f      HeaderFormat
	keys   *commonKeys
	dst    []Header
	values []byte
}

func (w *headerWriter) add(name, value string) {
	if value == "" {
		return
	}
	from := len(w.values)
	if w.f.Percent {
		w.values = appendPercent(w.values, value)
	} else {
		w.values = append(w.values, value...)
	}
	w.header(w.key(name), from)
}

func (w *headerWriter) key(name string) string {
	if w.keys != nil {
		if i := commonName(name); i >= 0 {
			return w.keys[i]
		}
	}
	return w.f.Prefix + name
}

func (w *headerWriter) header(key string, from int) {
	w.dst = append(w.dst, Header{key, w.values[from:len(w.values):len(w.values)]})
}

// ParseHeaders decodes an event from the headers and the payload of a message,
// with the limits of the zero [Decoder]. The event keeps nothing of them.
//
// A message whose content type is application/cloudevents+json is in structured
// mode: its payload is decoded by [ParseJSON]. Headers that are neither the content
// type nor begin with the prefix aren't the event's and are passed over.
func ParseHeaders(f HeaderFormat, headers []Header, data []byte) (Event, error) {
	return Decoder{}.ParseHeaders(f, headers, data)
}

// ParseHeaders is the function [ParseHeaders] with the decoder's limits: the bytes
// of all headers and of the data count.
func (d Decoder) ParseHeaders(f HeaderFormat, headers []Header, data []byte) (Event, error) {
	size := len(data)
	for i := range headers {
		size += len(headers[i].Key) + len(headers[i].Value)
	}
	if err := d.bound(size); err != nil {
		return Event{}, err
	}
	var a draft
	for i := range headers {
		if err := f.read(&a, headers[i].Key, view(headers[i].Value)); err != nil {
			return Event{}, err
		}
	}
	if structured(a.contentType) {
		if !isMediaType(a.contentType, MediaTypeEvent) {
			return Event{}, badAttribute("datacontenttype", "events in "+strconv.QuoteToASCII(cut(a.contentType, 64))+" can't be decoded")
		}
		return d.ParseJSON(data)
	}
	h, err := a.head()
	if err != nil {
		return Event{}, err
	}
	return a.event(h, d.own(data))
}

// read takes a header.
func (f HeaderFormat) read(a *draft, key, value string) error {
	if len(key) == len(contentTypeHeader) && strings.EqualFold(key, contentTypeHeader) {
		bit, err := a.see("datacontenttype")
		if err != nil {
			return err
		}
		return a.set("datacontenttype", bit, value)
	}
	if len(key) < len(f.Prefix) || !strings.EqualFold(key[:len(f.Prefix)], f.Prefix) {
		return nil
	}
	name := key[len(f.Prefix):]
	switch {
	case f.Percent:
		name = lower(name)
	case key[:len(f.Prefix)] != f.Prefix:
		return badAttribute(cut(key, MaxAttributeName), "header's prefix must be "+f.Prefix)
	}
	if name == "datacontenttype" {
		return badAttribute(name, "must be the header "+contentTypeHeader)
	}
	bit, err := a.see(name)
	if err != nil {
		return err
	}
	if f.Percent {
		if value, err = unpercent(name, value); err != nil {
			return err
		}
	}
	return a.set(name, bit, value)
}

// structured reports whether a content type is that of encoded events.
func structured(contentType string) bool {
	return len(contentType) >= len(structuredPrefix) && strings.EqualFold(contentType[:len(structuredPrefix)], structuredPrefix)
}

// isMediaType reports whether a content type is a media type, with parameters or not.
func isMediaType(contentType, media string) bool {
	got, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimRight(got, " "), media)
}

// commonNames are the attributes whose headers' keys cost no allocation.
var commonNames = [...]string{
	"specversion", "id", "source", "type", "time", "subject", "dataschema", ExtKey, ExtNotBefore,
	ExtTraceparent, ExtTracestate, ExtCorrelationID, ExtCausationID, ExtTenant, ExtSchemaVersion,
}

// commonName returns the index of a name in commonNames, or -1. A map takes longer.
func commonName(name string) int {
	switch name {
	case "specversion":
		return 0
	case "id":
		return 1
	case "source":
		return 2
	case "type":
		return 3
	case "time":
		return 4
	case "subject":
		return 5
	case "dataschema":
		return 6
	case ExtKey:
		return 7
	case ExtNotBefore:
		return 8
	case ExtTraceparent:
		return 9
	case ExtTracestate:
		return 10
	case ExtCorrelationID:
		return 11
	case ExtCausationID:
		return 12
	case ExtTenant:
		return 13
	case ExtSchemaVersion:
		return 14
	}
	return -1
}

// commonKeys are the keys of the headers of commonNames.
type commonKeys [len(commonNames)]string

var (
	kafkaKeys = keysOf(KafkaHeaders.Prefix)
	httpKeys  = keysOf(HTTPHeaders.Prefix)
)

func keysOf(prefix string) *commonKeys {
	var keys commonKeys
	for i, name := range commonNames {
		keys[i] = prefix + name
	}
	return &keys
}

// common returns the keys that were made before, or nil.
func (f HeaderFormat) common() *commonKeys {
	switch f.Prefix {
	case "ce_":
		return kafkaKeys
	case "ce-":
		return httpKeys
	}
	return nil
}

// lower returns a name in lower case, as far as ASCII goes: nothing else may
// become a letter of a name.
func lower(name string) string {
	if len(name) > MaxAttributeName || !strings.ContainsFunc(name, func(r rune) bool { return r >= 'A' && r <= 'Z' }) {
		return name
	}
	b := []byte(name)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return view(b)
}
