package event

import (
	"bytes"
	"encoding/base64"
	"slices"
	"unicode/utf8"
)

// Media types of the JSON format.
const (
	MediaTypeEvent = "application/cloudevents+json"
	MediaTypeBatch = "application/cloudevents-batch+json"
)

// AppendJSON appends e in the JSON format of CloudEvents 1.0.2
// (application/cloudevents+json) and returns the extended slice. [ParseJSON] of it
// is equal to e. An invalid event is refused with an *[AttributeError], and dst is
// returned as it was.
//
// Data of a JSON content type, or of none, stands in the event byte for byte if it
// is exactly one JSON value in UTF-8 without space around it and nested no deeper
// than [MaxDataDepth]. Data of text/…, XML and YAML in UTF-8 becomes a string. All
// other data is written in base64, so that the event is always text that a queue
// takes: valid UTF-8 without U+FFFE and U+FFFF.
func AppendJSON(dst []byte, e Event) ([]byte, error) {
	if err := e.Validate(); err != nil {
		return dst, err
	}
	return e.c.appendJSON(dst, false), nil
}

// AppendJSONLine is [AppendJSON] for files and streams that have one event on each
// line: it appends a newline too, and data with line breaks in it is written in
// base64.
func AppendJSONLine(dst []byte, e Event) ([]byte, error) {
	if err := e.Validate(); err != nil {
		return dst, err
	}
	return append(e.c.appendJSON(dst, true), '\n'), nil
}

// AppendJSONBatch appends events in the JSON batch format of CloudEvents 1.0.2
// (application/cloudevents-batch+json). One invalid event refuses all, and dst is
// returned as it was.
func AppendJSONBatch(dst []byte, events ...Event) ([]byte, error) {
	for _, e := range events {
		if err := e.Validate(); err != nil {
			return dst, err
		}
	}
	dst = append(dst, '[')
	for i, e := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = e.c.appendJSON(dst, false)
	}
	return append(dst, ']'), nil
}

// MarshalJSON returns e as [AppendJSON] does, and null for the zero Event.
//
// Mind that json.Marshal compacts and escapes what it embeds: JSON data keeps its
// meaning there, not its bytes. Where the bytes count use AppendJSON.
func (e Event) MarshalJSON() ([]byte, error) {
	if e.IsZero() {
		return []byte("null"), nil
	}
	return AppendJSON(nil, e)
}

// appendJSON appends a valid event.
func (c *core) appendJSON(dst []byte, oneLine bool) []byte {
	id := c.self[0].ID()
	form, data := c.jsonForm(oneLine), len(c.data)
	if form == formBinary {
		data = base64.StdEncoding.EncodedLen(data)
	}
	dst = slices.Grow(dst, 128+len(c.head.json)+len(id)+len(c.key)+data)
	dst = append(dst, `{"specversion":"1.0",`...)
	dst = append(dst, c.head.json...)
	dst = appendMember(dst, "id", id)
	if c.hasTime {
		dst = append(dst, `,"time":"`...)
		dst = append(appendTime(dst, c.sec, c.nsec), '"')
	}
	if c.more != nil {
		if c.more.subject != "" {
			dst = appendMember(dst, "subject", c.more.subject)
		}
		for name, value := range c.self[0].Extensions() {
			dst = appendMember(dst, name, value)
		}
	} else if c.key != "" {
		dst = appendMember(dst, ExtKey, c.key)
	}
	switch {
	case len(c.data) == 0:
	case form == formJSON:
		dst = append(dst, `,"data":`...)
		dst = append(dst, c.data...)
	case form == formText:
		dst = append(dst, `,"data":"`...)
		dst = append(appendEscaped(dst, view(c.data)), '"')
	default:
		dst = append(dst, `,"data_base64":"`...)
		dst = append(base64.StdEncoding.AppendEncode(dst, c.data), '"')
	}
	return append(dst, '}')
}

// jsonForm returns how the data goes into JSON.
func (c *core) jsonForm(oneLine bool) dataForm {
	if bytes.IndexByte(c.data, 0xef) >= 0 && (bytes.Contains(c.data, []byte("\ufffe")) || bytes.Contains(c.data, []byte("\uffff"))) {
		return formBinary // queues that are built on XML refuse these two
	}
	switch c.head.form {
	case formJSON:
		if validJSON(c.data) && (!oneLine || !bytes.ContainsAny(c.data, "\r\n")) {
			return formJSON
		}
	case formText:
		if utf8.Valid(c.data) {
			return formText
		}
	case formBinary:
	}
	return formBinary
}

// appendJSON appends the attributes of a valid head as members of an object.
func (h *head) appendJSON(dst []byte) []byte {
	dst = append(dst, `"source":"`...)
	dst = append(appendEscaped(dst, h.source), '"')
	dst = appendMember(dst, "type", h.typ)
	if h.contentType != "" {
		dst = appendMember(dst, "datacontenttype", h.contentType)
	}
	if h.schema != "" {
		dst = appendMember(dst, "dataschema", h.schema)
	}
	return dst
}

// appendMember appends a member of an object, behind another.
func appendMember(dst []byte, name, value string) []byte {
	dst = append(dst, `,"`...)
	dst = append(dst, name...)
	dst = append(dst, `":"`...)
	return append(appendEscaped(dst, value), '"')
}

const hexDigits = "0123456789abcdef"

// appendEscaped appends the text of a string, which is valid UTF-8.
func appendEscaped(dst []byte, s string) []byte {
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, `\u00`...)
			dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(dst, s[from:]...)
}
