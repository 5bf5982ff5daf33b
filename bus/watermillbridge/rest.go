package watermillbridge

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/leat-go/leat/event"
)

// rest is the extension for metadata that no attribute can be. What is too long for one
// goes on in rest1, rest2 and so on.
const rest = "watermill"

// restName returns the name of the n-th extension of the rest.
func restName(n int) string {
	if n == 0 {
		return rest
	}
	return rest + strconv.Itoa(n)
}

// isRest reports whether the rest may be in an extension of this name. No event has room
// for ten of them.
func isRest(name string) bool {
	n, ok := strings.CutPrefix(name, rest)
	return ok && (n == "" || len(n) == 1 && n[0] >= '1' && n[0] <= '9')
}

// mostExtensions is how many extensions always leave room for the other attributes and
// for the rest.
const mostExtensions = event.MaxAttributes - 9 - event.MaxAttributesBytes/event.MaxAttributeValue

// spill moves extensions that an event has no room for to the rest. Those that others
// look at stay.
func spill(a *event.Attributes, others *texts) {
	if len(a.Extensions) <= mostExtensions {
		return
	}
	if *others == nil && a.Event().WithKey(cmp.Or(a.Key, "k")).Validate() == nil {
		return // it has fewer other attributes
	}
	slices.SortFunc(a.Extensions, func(x, y event.Extension) int {
		return cmp.Or(slices.Index(known, y.Name)-slices.Index(known, x.Name), cmp.Compare(x.Name, y.Name))
	})
	for _, x := range a.Extensions[mostExtensions:] {
		put(others, x.Name, x.Value)
	}
	a.Extensions = a.Extensions[:mostExtensions]
}

var known = []string{
	event.ExtTraceparent, event.ExtTracestate, event.ExtCorrelationID, event.ExtCausationID, event.ExtTenant, event.ExtSchemaVersion,
}

// addRest adds the extensions of the rest.
func addRest(a *event.Attributes, others texts) error {
	written, err := toJSON(others)
	if err != nil {
		return err
	}
	text := escaped(written)
	for i := 0; text != ""; i++ {
		n := min(len(text), event.MaxAttributeValue)
		for n < len(text) && !utf8.RuneStart(text[n]) {
			n--
		}
		a.Extensions = append(a.Extensions, event.Extension{Name: restName(i), Value: text[:n]})
		text = text[n:]
	}
	return nil
}

// restOf returns the rest, and how many extensions it is in.
func restOf(e event.Event) (others texts, n int) {
	var text []byte
	for {
		part := e.Extension(restName(n))
		n++
		text = append(text, part...)
		if part == "" || text[0] != '{' && text[0] != '[' {
			return nil, 0 // somebody else's
		}
		if json.Unmarshal(text, &others) == nil { // no beginning of it is JSON
			return others, n
		}
	}
}

// escaped returns a JSON text with escapes for the characters that no attribute may have.
func escaped(text []byte) string {
	var b strings.Builder
	for _, r := range string(text) {
		switch {
		case !unicode.IsControl(r) && !unicode.Is(unicode.Noncharacter_Code_Point, r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// texts are names and values of any bytes. As JSON they are an object, or where they are
// not all UTF-8 a list of names and values in base64.
type texts map[string]string

// MarshalJSON implements [json.Marshaler].
func (t texts) MarshalJSON() ([]byte, error) {
	plain := true
	list := make([][]byte, 0, 2*len(t))
	for _, name := range slices.Sorted(maps.Keys(t)) {
		list = append(list, []byte(name), []byte(t[name]))
		plain = plain && utf8.ValidString(name) && utf8.ValidString(t[name])
	}
	if plain {
		return toJSON(map[string]string(t))
	}
	return toJSON(list)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (t *texts) UnmarshalJSON(text []byte) error {
	if text[0] != '[' {
		return json.Unmarshal(text, (*map[string]string)(t))
	}
	var list [][]byte
	if err := json.Unmarshal(text, &list); err != nil {
		return err
	}
	if len(list)%2 != 0 {
		return errors.New("a name without a value")
	}
	*t = make(texts)
	for pair := range slices.Chunk(list, 2) {
		(*t)[string(pair[0])] = string(pair[1])
	}
	return nil
}

// toJSON returns a value as JSON in which each of <, > and & takes one byte, not six.
func toJSON(v any) ([]byte, error) {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), err
}
