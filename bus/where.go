package bus

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// where tells the place of an error in data for a type, without the value that
// stands there.
func where(err error, into reflect.Type) string {
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("bad JSON at offset %d", syntax.Offset)
	case errors.As(err, &typ):
		place := fmt.Sprintf("what stands at offset %d is no %v", typ.Offset, typ.Type)
		if path := fieldPath(into, typ.Field); path != "" {
			place = fmt.Sprintf("field %q at offset %d is no %v", path, typ.Offset, typ.Type)
		}
		return place
	}
	return ""
}

// fieldPath returns the part of a decoder's path that a type declares: names of
// fields and indices. The decoder's goes on through maps, whose keys are data.
func fieldPath(t reflect.Type, path string) string {
	var known []string
	for name := range strings.SplitSeq(path, ".") {
		for depth := 0; t.Kind() == reflect.Pointer || isList(t) && !isIndex(name); depth++ {
			if depth == maxElems {
				return strings.Join(known, ".")
			}
			t = t.Elem()
		}
		switch field, ok := fieldNamed(t, name); {
		case ok:
			t = field.Type
		case isList(t):
			t = t.Elem()
		default:
			return strings.Join(known, ".")
		}
		known = append(known, name)
	}
	return strings.Join(known, ".")
}

// maxElems is how often pointers and lists are looked through for one name: a type can
// be a list of itself.
const maxElems = 16

// fieldNamed returns the field that has a name in JSON.
func fieldNamed(t reflect.Type, name string) (reflect.StructField, bool) {
	if t.Kind() != reflect.Struct {
		return reflect.StructField{}, false
	}
	for _, f := range reflect.VisibleFields(t) {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == name || tag == "" && f.Name == name {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func isList(t reflect.Type) bool { return t.Kind() == reflect.Slice || t.Kind() == reflect.Array }

func isIndex(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
