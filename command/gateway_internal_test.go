package command

import (
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/webanswer"
)

type inner struct {
	A int `json:"a"`
	B int
}

type Deep struct {
	inner
	*Deep

	C      map[string]inner `json:"c,omitempty"`
	D      [2]*inner
	E      time.Time
	F      json.RawMessage
	G      any
	Minus  int `json:"-,"` //nolint:staticcheck // this is a field called -
	Hidden int `json:"-"`
	text   string
}

// The scan never refuses a field that encoding/json takes, however it is spelled.
func TestScanKnowsWhatJSONKnows(t *testing.T) {
	_ = Deep{text: ""}.text
	for _, c := range []struct {
		body string
		code string
	}{
		{`{"a":1,"b":2,"C":{"x":{"A":1}},"d":[{"a":1},null],"e":"2026-01-02T03:04:05Z"}`, ""},
		{`{"f":{"anything":[1,{"x":1}]},"g":{"x":{}},"-":1}`, ""},
		{`{"K":1}`, "unknown_field"},
		{`{"hidden":1}`, "unknown_field"},
		{`{"text":1}`, "unknown_field"},
		{`{"inner":{}}`, "unknown_field"},
		{`{"c":{"x":{"z":1}}}`, "unknown_field"},
		{`{"c":{"x":{"a":1,"A":1}}}`, "repeated_field"},
		{`{"d":[{"a":1,"a":1}]}`, "repeated_field"},
		{`{"f":{"a":1,"a":1}}`, "repeated_field"},
	} {
		var d Deep
		err := decodeStrictly([]byte(c.body), &d)
		if c.code == "" {
			require.NoError(t, err, c.body)
			continue
		}
		require.Equal(t, "command: refused: "+c.code, fmt.Sprint(err), c.body)
	}
}

// A place is named by the command's own fields, as each release of Go tells it.
func TestPlace(t *testing.T) {
	for path, want := range map[string]string{
		"a": "a", "D": "D", "D.A": "D.A", "d.0.a": "d.a", "c.secret.A": "c.A", "C.A": "C.A", "c.secret": "c", "f.secret": "f",
		"secret": "", "g.secret.secret": "g", "": "", "d.7": "d", "e": "e", "deep.a": "",
	} {
		require.Equal(t, want, place(reflect.TypeFor[Deep](), path), path)
	}
}

func TestFold(t *testing.T) {
	for _, s := range []string{"a", "A", "k", "K", "\u212a", "s", "ſ", "ß", "ẞ", "é", "É", "-", ""} {
		for _, o := range []string{"a", "A", "k", "K", "\u212a", "s", "ſ", "ß", "ẞ", "é", "É", "-", ""} {
			require.Equal(t, strings.EqualFold(s, o), fold(s) == fold(o), s+" "+o)
		}
	}
}

func TestShapeIsFound(t *testing.T) {
	require.Equal(t, shape{}, shapeOf(nil))
	require.Equal(t, shape{}, shapeOf(reflect.TypeFor[time.Time]()))
	require.Equal(t, reflect.TypeFor[int](), shapeOf(reflect.TypeFor[*[]int]()).elem)
	a, b := shapeOf(reflect.TypeFor[Deep]()), shapeOf(reflect.TypeFor[*Deep]())
	require.Equal(t, a, b)
}

// An id tells its owner, and only who is asked for can be told.
func TestIDs(t *testing.T) {
	ann, bob := Principal{Subject: "ann", Tenant: "acme"}, Principal{Subject: "bob", Tenant: "acme"}
	id := newID(ann)
	require.True(t, ann.made(id))
	require.False(t, bob.made(id))
	require.False(t, Principal{Subject: "acme", Tenant: "ann"}.made(id))
	require.NotEqual(t, newID(ann)[len(id)-markSize:], id[len(id)-markSize:], "the mark doesn't tell that two ids are of one subject")
	for _, other := range []string{"", "-", "x", "-" + id, id + "-", id[:len(id)-1], event.NewID()} {
		require.False(t, ann.made(other), other)
	}
	key := keyID(ann, "place-order", "k")
	require.Equal(t, key, keyID(ann, "place-order", "k"))
	require.True(t, ann.made(key))
	for _, other := range []string{
		keyID(bob, "place-order", "k"), keyID(ann, "place-orde", "rk"), keyID(ann, "place-order", "K"),
		keyID(Principal{Subject: "annacme"}, "place-order", "k"), keyID(Principal{Subject: "acme", Tenant: "ann"}, "place-order", "k"),
	} {
		require.NotEqual(t, key, other)
	}
	require.True(t, isID(id) && isID(key))
}

// A problem that can't be written as it is says what it can.
func TestUnsoundDetails(t *testing.T) {
	g := &gateway{}
	broken := &event.Error{Code: "c", Message: "m", Details: json.RawMessage(`{"a":`)}
	b, err := json.Marshal(g.view(Operation{ID: "1", Problem: broken}))
	require.NoError(t, err)
	require.Contains(t, string(b), `"problem":{"code":"c","message":"m"}`)
	require.Nil(t, webanswer.Sound(broken.Details))
	require.Equal(t, "application/octet-stream", mediaType("a\r\nb"))
	require.Equal(t, "application/octet-stream", mediaType(""))
	require.Equal(t, `text/plain; charset=utf-8`, mediaType("Text/Plain;charset=utf-8"))
}

// What a body costs is bounded by its size, also where it is made of nothing.
func TestScanAllocates(t *testing.T) {
	for _, unit := range []string{`{},`, `[],`, `0,`, `"",`, `{"a":0},`} {
		body := []byte(`{"g":[` + strings.Repeat(unit, 100_000/len(unit)) + `0]}`)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var d Deep
		err := decodeStrictly(body, &d)
		runtime.ReadMemStats(&after)
		require.NoError(t, err)
		require.Less(t, (after.TotalAlloc-before.TotalAlloc)/uint64(len(body)), uint64(250), unit)
	}
}
