package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/leat-go/leat/event"
)

// decodeStrictly fills v, a pointer, from JSON that says each thing once and nothing else. Its
// errors name places, and quote nothing.
func decodeStrictly(body []byte, v any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return badRequest("bad_body", "the body is empty: it has to be JSON")
	}
	if !utf8.Valid(body) {
		return badRequest("bad_body", "the body isn't valid UTF-8")
	}
	s := scan{dec: json.NewDecoder(bytes.NewReader(body))}
	s.dec.UseNumber()
	if err := s.all(reflect.TypeOf(v).Elem()); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	return unfit(dec.Decode(v), reflect.TypeOf(v).Elem())
}

// unfit says where a body isn't what the type takes.
func unfit(err error, t reflect.Type) error {
	if err == nil {
		return nil
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if field := place(t, wrong.Field); field != "" {
			return badRequest("bad_field", fmt.Sprintf("the field %s has a value of another type, at byte %d", field, wrong.Offset))
		}
	}
	if strings.HasPrefix(err.Error(), "json: unknown field ") { // one that the scan doesn't see: of a type that decodes itself
		return badRequest("unknown_field", "the body has a field that the command hasn't")
	}
	return badRequest("bad_body", "the body isn't what the command takes")
}

// place returns the names in a path that are of the type's own fields. From Go 1.27 on there are the
// numbers of elements, and the keys of maps, in it, which are the body's.
func place(t reflect.Type, path string) string {
	var own []string
	for part := range strings.SplitSeq(path, ".") {
		s := shapeOf(t)
		for s.fields == nil && s.elem != nil { // before Go 1.27 what is within isn't counted
			within := shapeOf(s.elem)
			if _, known := within.fields[fold(part)]; !known {
				break
			}
			s = within
		}
		if s.fields == nil {
			t = s.elem
			continue
		}
		elem, known := s.field(fold(part))
		if !known {
			break
		}
		own, t = append(own, part), elem
	}
	return strings.Join(own, ".")
}

// scan looks at JSON for what encoding/json lets pass: names that are there twice, what stands
// behind the value; and tells where an unknown field is.
type scan struct{ dec *json.Decoder }

func (s *scan) all(t reflect.Type) error {
	if err := s.value(t, 0); err != nil {
		return err
	}
	at := s.dec.InputOffset()
	if _, err := s.dec.Token(); !errors.Is(err, io.EOF) {
		return s.bad(at, "the body goes on behind its value")
	}
	return nil
}

func (*scan) bad(at int64, what string) error {
	return badRequest("bad_body", fmt.Sprintf("%s, at byte %d", what, at))
}

// token returns the next token. The one at depth 0 may not be null: that is no command.
func (s *scan) token(depth int) (json.Token, error) {
	tok, err := s.dec.Token()
	switch {
	case err != nil:
		return nil, s.bad(s.dec.InputOffset(), "the body isn't JSON")
	case depth == 0 && tok == nil:
		return nil, s.bad(0, "the body is null")
	}
	return tok, nil
}

// value looks at a value that is to be decoded into t; nil: that isn't known.
func (s *scan) value(t reflect.Type, depth int) error {
	tok, err := s.token(depth)
	if err != nil {
		return err
	}
	if _, nested := tok.(json.Delim); nested && depth == event.MaxDataDepth {
		return s.bad(s.dec.InputOffset(), "the body is nested too deep")
	}
	switch tok {
	case json.Delim('{'):
		return s.object(shapeOf(t), depth+1)
	case json.Delim('['):
		return s.array(shapeOf(t), depth+1)
	}
	return nil
}

func (s *scan) array(t shape, depth int) error {
	for s.dec.More() {
		if err := s.value(t.elem, depth); err != nil {
			return err
		}
	}
	_, err := s.token(depth)
	return err
}

func (s *scan) object(t shape, depth int) error {
	var seen map[string]bool // most of what is hostile is empty
	for s.dec.More() {
		tok, err := s.token(depth)
		if err != nil {
			return err
		}
		at := s.dec.InputOffset()
		name, _ := tok.(string)
		if t.fields != nil {
			name = fold(name)
		}
		if seen[name] {
			return badRequest("repeated_field", fmt.Sprintf("the body has a field twice, at byte %d", at))
		}
		if seen == nil {
			seen = make(map[string]bool)
		}
		seen[name] = true
		elem, known := t.field(name)
		if !known {
			return badRequest("unknown_field", fmt.Sprintf("the body has a field that the command hasn't, at byte %d", at))
		}
		if err := s.value(elem, depth); err != nil {
			return err
		}
	}
	_, err := s.token(depth)
	return err
}
