package event

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// ParseJSON decodes an event in the JSON format of CloudEvents 1.0.2
// (application/cloudevents+json), with the limits of the zero [Decoder]. The
// event keeps nothing of b.
//
// An attribute that is null isn't there. Extensions that are integers or booleans
// become their text. The data of a JSON content type, or of none, is the bytes of
// the member "data" as they stand; with another content type it has to be a
// string, and the data is its text in UTF-8. Space around the event is skipped;
// anything else after it is refused.
func ParseJSON(b []byte) (Event, error) { return Decoder{}.ParseJSON(b) }

// ParseJSON is the function [ParseJSON] with the decoder's limits.
func (d Decoder) ParseJSON(b []byte) (Event, error) {
	if err := d.bound(len(b)); err != nil {
		return Event{}, err
	}
	r := jsonReader{b: b}
	e, err := r.event(d)
	if err == nil {
		err = r.end()
	}
	if err != nil {
		return Event{}, err
	}
	return e, nil
}

// ParseJSONBatch decodes events in the JSON batch format of CloudEvents 1.0.2
// (application/cloudevents-batch+json). All of them are good, or none is returned.
func ParseJSONBatch(b []byte) ([]Event, error) { return Decoder{}.ParseJSONBatch(b) }

// ParseJSONBatch is the function [ParseJSONBatch] with the decoder's limits: the
// bytes of the whole batch count.
func (d Decoder) ParseJSONBatch(b []byte) ([]Event, error) {
	if err := d.bound(len(b)); err != nil {
		return nil, err
	}
	r := jsonReader{b: b}
	if !r.next('[') {
		return nil, badAttribute("", "not a JSON array")
	}
	events := []Event{}
	for !r.next(']') {
		if len(events) > 0 && !r.next(',') {
			return nil, r.fail("", jsonSyntax, r.i)
		}
		e, err := r.event(d)
		if err != nil {
			return nil, fmt.Errorf("%w (event %d of the batch)", err, len(events)+1)
		}
		events = append(events, e)
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return events, nil
}

// UnmarshalJSON decodes an event as [ParseJSON] does; null leaves *e as it is.
func (e *Event) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	parsed, err := ParseJSON(b)
	if err == nil {
		*e = parsed
	}
	return err
}

// jsonReader reads events. Whatever it holds are views of b, or of copies of
// strings that had escapes.
type jsonReader struct {
	b []byte
	i int
}

func (r *jsonReader) fail(name string, bad problem, at int) error {
	return badAttribute(name, bad.String()+", at byte "+strconv.Itoa(at))
}

// next skips space, and c when it comes next.
func (r *jsonReader) next(c byte) bool {
	r.i = skipSpace(r.b, r.i)
	if r.i < len(r.b) && r.b[r.i] == c {
		r.i++
		return true
	}
	return false
}

// end refuses what isn't space.
func (r *jsonReader) end() error {
	if r.i = skipSpace(r.b, r.i); r.i < len(r.b) {
		return r.fail("", jsonMore, r.i)
	}
	return nil
}

// payload is the data of an event in JSON.
type payload struct {
	json   []byte // the member data, as it stands
	base64 string // the member data_base64
	data   bool   // which of them were there
	binary bool
	null   bool // data_base64 was null
}

// event reads one event.
func (r *jsonReader) event(d Decoder) (Event, error) {
	if !r.next('{') {
		return Event{}, badAttribute("", "not a JSON object")
	}
	var (
		a draft
		p payload
	)
	for more := !r.next('}'); more; {
		name, err := r.name()
		if err != nil {
			return Event{}, err
		}
		switch name {
		case "data":
			err = r.data(&p)
		case "data_base64":
			err = r.base64(&p)
		default:
			err = r.attribute(&a, name)
		}
		if err != nil {
			return Event{}, err
		}
		if more = r.next(','); !more && !r.next('}') {
			return Event{}, r.fail("", jsonSyntax, r.i)
		}
	}
	h, err := a.head()
	if err != nil {
		return Event{}, err
	}
	data, err := p.bytes(h.form, d)
	if err != nil {
		return Event{}, err
	}
	return a.event(h, data)
}

// name reads the name of a member and the colon behind it.
func (r *jsonReader) name() (string, error) {
	r.i = skipSpace(r.b, r.i)
	if r.i >= len(r.b) || r.b[r.i] != '"' {
		return "", r.fail("", jsonSyntax, r.i)
	}
	var name string
	if end := shortString(r.b, r.i+1); end > 0 {
		name, r.i = view(r.b[r.i+1:end-1]), end
	} else {
		var err error
		if name, err = r.text("", 6*MaxAttributeName); err != nil {
			return "", err
		}
	}
	if !r.next(':') {
		return "", r.fail("", jsonSyntax, r.i)
	}
	r.i = skipSpace(r.b, r.i)
	return name, nil
}

// text reads a string, of at most limit bytes as it stands, for the attribute name.
func (r *jsonReader) text(name string, limit int) (string, error) {
	from := r.i + 1
	end, escaped, bad := scanString(r.b, from)
	if bad != fine {
		return "", r.fail(name, bad, end)
	}
	r.i = end + 1
	s := r.b[from:end]
	if !escaped {
		return view(s), nil
	}
	if len(s) > limit {
		if name == "" {
			return "", badAttribute(cut(view(s), MaxAttributeName), "name longer than "+strconv.Itoa(MaxAttributeName)+" bytes")
		}
		return "", badAttribute(name, "longer than "+strconv.Itoa(MaxAttributeValue)+" bytes")
	}
	u, ok := appendUnescaped(make([]byte, 0, len(s)), s)
	if !ok {
		return "", r.fail(name, jsonSurrogate, from)
	}
	return view(u), nil
}

// attribute reads the value of an attribute.
func (r *jsonReader) attribute(a *draft, name string) error {
	bit, err := a.see(name)
	if err != nil {
		return err
	}
	from := r.i
	if from >= len(r.b) {
		return r.fail(name, jsonEnds, r.i)
	}
	c := r.b[from]
	if c == '"' {
		value, err := r.text(name, 6*MaxAttributeValue)
		if err != nil {
			return err
		}
		return a.set(name, bit, value)
	}
	if c != 'n' && bit&^sawExtension != 0 {
		return badAttribute(name, "must be a string")
	}
	if c == '{' || c == '[' {
		return badAttribute(name, "must be a string, an integer or a boolean")
	}
	if err := r.skip(name); err != nil || c == 'n' {
		return err
	}
	value := view(r.b[from:r.i])
	if c != 't' && c != 'f' {
		var ok bool
		if value, ok = integer(value); !ok {
			return badAttribute(name, "a number that is no integer of 32 bits")
		}
	}
	return a.set(name, bit, value)
}

// integer returns the canonical text of an integer of 32 bits that stands in JSON.
func integer(s string) (string, bool) {
	if len(s) > len("-2147483648") || strings.ContainsAny(s, ".eE") {
		return "", false
	}
	if s == "-0" {
		return "0", true
	}
	_, err := strconv.ParseInt(s, 10, 32)
	return s, err == nil
}

// skip skips the value of a member.
func (r *jsonReader) skip(name string) error {
	end, bad := skipValue(r.b, r.i)
	if bad != fine {
		return r.fail(name, bad, end)
	}
	r.i = end
	return nil
}

func (r *jsonReader) data(p *payload) error {
	if p.data {
		return badAttribute("data", "given twice")
	}
	from := r.i
	if err := r.skip("data"); err != nil {
		return err
	}
	p.json, p.data = r.b[from:r.i], true
	return nil
}

func (r *jsonReader) base64(p *payload) (err error) {
	const name = "data_base64"
	if p.binary || p.null {
		return badAttribute(name, "given twice")
	}
	switch {
	case r.i < len(r.b) && r.b[r.i] == '"':
		p.binary = true
		p.base64, err = r.text(name, len(r.b))
		return err
	case r.i < len(r.b) && r.b[r.i] == 'n':
		p.null = true
		return r.skip(name)
	}
	return badAttribute(name, "must be a string")
}

// bytes returns the data of an event whose content type has a form.
func (p *payload) bytes(form dataForm, d Decoder) ([]byte, error) {
	switch {
	case p.data && p.binary:
		return nil, badAttribute("data_base64", "given beside data")
	case p.binary:
		return decodeBase64(p.base64)
	case !p.data:
		return nil, nil
	case form == formJSON:
		return d.own(p.json), nil
	case string(p.json) == "null":
		return nil, nil
	case p.json[0] != '"':
		return nil, badAttribute("data", "must be a string: the content type isn't JSON")
	}
	text := p.json[1 : len(p.json)-1]
	data, ok := appendUnescaped(make([]byte, 0, len(text)), text)
	if !ok {
		return nil, badAttribute("data", jsonSurrogate.String())
	}
	return data, nil
}

// standard is the alphabet of RFC 4648 §4, with padding, and without bits that
// don't count.
var standard = base64.StdEncoding.Strict()

func decodeBase64(s string) ([]byte, error) {
	data, err := standard.DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") { // which the decoder skips
		return nil, badAttribute("data_base64", "not base64")
	}
	return data, nil
}
