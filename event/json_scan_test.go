package event

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// depthOf is how deep JSON is nested, for JSON that is valid.
func depthOf(b []byte) (deepest int) {
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[', c == '{':
			depth++
			deepest = max(deepest, depth)
		case c == ']', c == '}':
			depth--
		}
	}
	return deepest
}

// wantValid is validJSON by way of encoding/json.
func wantValid(b []byte) bool {
	if len(b) == 0 || strings.ContainsRune(" \t\r\n", rune(b[0])) || strings.ContainsRune(" \t\r\n", rune(b[len(b)-1])) {
		return false
	}
	return json.Valid(b) && utf8.Valid(b) && depthOf(b) <= MaxDataDepth
}

var scanSeeds = []string{
	"", " ", "null", "nul", "nulll", "true", "false", "truefalse", "0", "-0", "00", "01", "-", "+1", ".5", "1.", "1.5", "1e", "1e5", "1E+5", "1e-5", "1e+",
	"-1.5e-10", "1..2", "0x1", "NaN", "Infinity", "1,", "1 ", " 1", "1 2", `""`, `"`, `"a`, `"\"`, `"\\"`, `"\u00e9"`, `"\u00g9"`, `"\u00"`, `"\x"`, `"\`,
	"\"\x00\"", "\"\x1f\"", "\"\x7f\"", "\"\xff\"", "\"é\"", "\"\xc3\"", "\"aaaaaaa\"", "\"aaaaaaaa\"", "\"aaaaaaaaa\\n\"", "\"aaaaaaaé\"", "\"aaaaaaaaaaa\n\"",
	"[]", "[", "]", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1,2]", "[ 1 , 2 ]", "[[],[[]]]", "[}", "{]", "{}", "{", "}", `{"a"}`, `{"a":}`, `{"a":1}`, `{"a":1,}`, `{,}`,
	`{"a":1,"b":2}`, `{ "a" : 1 , "b" : [ ] }`, `{a:1}`, `{1:1}`, `{"a":1 "b":2}`, `{"a" 1}`, `{"a":{"b":{"c":[{}]}}}`, `[{"a":[{"b":[]}]}]`, `{"a":1]`, `[1}`,
	`{"abcdefgh":"abcdefgh"}`, `{"ab\"cd":"\\"}`, "\"\u2028\"", "[1]x", `{"a":1}}`, "[1]]", `"a""b"`, "\ufeff1", "'a'", "/**/1", "nullx",
	strings.Repeat("[", 64) + strings.Repeat("]", 64), strings.Repeat("[", 65) + strings.Repeat("]", 65),
	strings.Repeat(`{"":`, 64) + "1" + strings.Repeat("}", 64), strings.Repeat(`{"":`, 65) + "1" + strings.Repeat("}", 65),
	strings.Repeat("[", 100000), "[" + strings.Repeat("[],", 1000) + "1]",
}

func TestValidJSON(t *testing.T) {
	for _, s := range scanSeeds {
		assert.Equal(t, wantValid([]byte(s)), validJSON([]byte(s)), "%.100q", s)
	}
	// Strings of all lengths, with each kind of byte at each place.
	for n := range 20 {
		for i := range n {
			for _, c := range []string{"a", `"`, `\`, `\n`, `\\`, "\n", "\x1f", " ", "\x7f", "é", "\xff", "\x80", "😀"} {
				s := `"` + strings.Repeat("x", i) + c + strings.Repeat("y", n-i) + `"`
				assert.Equal(t, wantValid([]byte(s)), validJSON([]byte(s)), "%q", s)
			}
		}
	}
}

func TestValidJSONAllocatesNothing(t *testing.T) {
	data := []byte(strings.Repeat(`[{"a":"é\n","b":1.5e10},`, 60) + "1" + strings.Repeat("]", 60))
	assert.Zero(t, testing.AllocsPerRun(10, func() { validJSON(data) }))
}

func TestUnescapedIsWhatEncodingJSONReads(t *testing.T) {
	for _, s := range []string{
		"", "plain", `\"\\\/\b\f\n\r\t`, `\u0000\u001f\u007f\u00e9\u20ac`, `\ud83d\ude00`, `a\ud83d\ude00b`, `\uD83D\uDE00`, `\uffff`, "é\\u00e9é", `\\u0061`, `\ud7ff\ue000`,
	} {
		var want string
		require.NoError(t, json.Unmarshal([]byte(`"`+s+`"`), &want))
		got, ok := appendUnescaped(nil, []byte(s))
		assert.True(t, ok, s)
		assert.Equal(t, want, string(got), s)
	}
	for _, s := range []string{`\ud800`, `\udc00`, `\ud800a`, `\ud800\n`, `\ud800\u0061`, `\ud800\ud800`, `\udbff\udbff`, `a\udfff`, `\ud800\\dc00`, `\udc00\ude00`, `\ud800\ue000`} {
		_, ok := appendUnescaped(nil, []byte(s))
		assert.False(t, ok, s)
	}
}

func FuzzValidJSON(f *testing.F) {
	for _, s := range scanSeeds {
		if len(s) < 1000 {
			f.Add([]byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, want := validJSON(b), wantValid(b); got != want {
			t.Fatalf("%v for %q, want %v", got, b, want)
		}
	})
}
