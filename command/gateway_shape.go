package command

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
	"unicode"
)

// shape is what encoding/json takes for a type. The zero shape takes anything.
type shape struct {
	elem   reflect.Type            // of arrays, and of objects that are maps
	fields map[string]reflect.Type // of objects that are structs, by names as fold has them; nil: none
}

// field returns the type of a field, and whether there may be one.
func (s shape) field(name string) (reflect.Type, bool) {
	if s.fields == nil {
		return s.elem, true
	}
	t, ok := s.fields[name]
	return t, ok
}

// shapes are those of struct types, which don't change.
var shapes sync.Map

// shapeOf returns the shape of a type, nil included. A type that decodes itself takes
// anything.
func shapeOf(t reflect.Type) shape {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || decodesItself(t) {
		return shape{}
	}
	switch t.Kind() { //nolint:exhaustive // the others have nothing in them
	case reflect.Slice, reflect.Array, reflect.Map:
		return shape{elem: t.Elem()}
	case reflect.Struct:
		if known, ok := shapes.Load(t); ok {
			return known.(shape) //nolint:forcetypeassert // nothing else is stored
		}
		s := shape{fields: make(map[string]reflect.Type)}
		s.add(t, 0)
		shapes.Store(t, s)
		return s
	}
	return shape{}
}

func decodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// maxEmbedded bounds how deep structs can be embedded: a type may embed a pointer to
// itself.
const maxEmbedded = 8

// add adds the fields of a struct, those of embedded ones too. Where two have a name, what is in
// them isn't looked at here. A name too many does no harm: encoding/json refuses it.
func (s shape) add(t reflect.Type, depth int) {
	for f := range t.Fields() {
		tag := f.Tag.Get("json")
		if tag == "-" {
			continue
		}
		name, _, _ := strings.Cut(tag, ",")
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if f.Anonymous && name == "" && inner.Kind() == reflect.Struct {
			if depth < maxEmbedded {
				s.add(inner, depth+1)
			}
			continue
		}
		if !f.IsExported() {
			continue
		}
		if name != "" {
			s.put(fold(name), f.Type)
		}
		if name == "" || strings.ContainsAny(name, "\"'`\\") { // before Go 1.27 such a tag doesn't count
			s.put(fold(f.Name), f.Type)
		}
	}
}

func (s shape) put(name string, t reflect.Type) {
	if had, ok := s.fields[name]; ok && had != t {
		t = nil
	}
	s.fields[name] = t
}

// fold makes names equal that encoding/json takes for the same field.
func fold(s string) string {
	return strings.Map(func(c rune) rune {
		least := c
		for o := unicode.SimpleFold(c); o != c; o = unicode.SimpleFold(o) {
			least = min(least, o)
		}
		return least
	}, s)
}
