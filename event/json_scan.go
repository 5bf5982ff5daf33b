package event

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"unicode/utf8"
	"unsafe"
)

// MaxDataDepth is how deep arrays and objects may be nested in data that stands as
// JSON in a structured event. Deeper data is opaque: it is written in base64, and
// refused where it stands as JSON.
const MaxDataDepth = 64

const bytes8 = 0x0101010101010101 // one in each byte

// view8 returns the first 8 bytes of s, for reading.
func view8(s string) []byte { return unsafe.Slice(unsafe.StringData(s), 8) }

// view returns b as a string without a copy. It is good for as long as b isn't
// changed; what is kept has to be copied.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// problem is what is wrong with JSON. The zero problem is none.
type problem uint8

const (
	fine problem = iota
	jsonEnds
	jsonSyntax
	jsonControl
	jsonEscape
	jsonUTF8
	jsonDeep
	jsonSurrogate
	jsonMore
)

func (p problem) String() string {
	return [...]string{
		fine:          "fine",
		jsonEnds:      "not JSON: ends early",
		jsonSyntax:    "not JSON",
		jsonControl:   "not JSON: control character in a string",
		jsonEscape:    "not JSON: unknown escape",
		jsonUTF8:      "not JSON: not valid UTF-8",
		jsonDeep:      "nested deeper than " + strconv.Itoa(MaxDataDepth) + " levels",
		jsonSurrogate: "escape of half a surrogate pair",
		jsonMore:      "not JSON: more follows",
	}[p]
}

// validJSON reports whether b is exactly one JSON value (RFC 8259) in valid UTF-8,
// not nested too deep, without space around it.
func validJSON(b []byte) bool {
	end, bad := skipValue(b, 0)
	return bad == fine && end == len(b)
}

// skipSpace returns where what isn't space begins.
func skipSpace(b []byte, i int) int {
	const space = 1<<' ' | 1<<'\n' | 1<<'\r' | 1<<'\t'
	for i < len(b) && b[i] <= ' ' && space>>b[i]&1 == 1 {
		i++
	}
	return i
}

// skipValue returns the end of the JSON value that begins at b[i], or where what is
// wrong. It allocates nothing and evaluates nothing.
//
//nolint:gocognit // one loop without calls is what makes it fast
func skipValue(b []byte, i int) (int, problem) {
	var (
		open  uint64 // one bit for each level that is open, the innermost lowest: 1 for an object
		depth int
		bad   problem
	)
	for {
		if i >= len(b) {
			return i, jsonEnds
		}
		switch c := b[i]; c {
		case '{', '[':
			if depth == MaxDataDepth {
				return i, jsonDeep
			}
			open, depth = open<<1|uint64(c>>5&1), depth+1 // '[' is 0x5b, '{' is 0x7b
			if i = skipSpace(b, i+1); i < len(b) && b[i] == c+2 {
				break // closed below
			}
			if open&1 == 0 {
				continue
			}
			if i, bad = skipName(b, i); bad == fine {
				continue
			}
		default:
			i, bad = skipScalar(b, i)
		}
		if bad != fine {
			return i, bad
		}
		// A value ended: close what ends with it, and go on with the next one.
		for ; ; i++ {
			if depth == 0 {
				return i, fine
			}
			if i = skipSpace(b, i); i >= len(b) {
				return i, jsonEnds
			}
			if b[i] != "]}"[open&1] {
				break
			}
			open, depth = open>>1, depth-1
		}
		if b[i] != ',' {
			return i, jsonSyntax
		}
		i = skipSpace(b, i+1)
		if open&1 == 1 {
			if i, bad = skipName(b, i); bad != fine {
				return i, bad
			}
		}
	}
}

// skipScalar is skipValue for what isn't nested.
func skipScalar(b []byte, i int) (int, problem) {
	switch b[i] {
	case '"':
		return skipString(b, i+1)
	case 't':
		return skipLiteral(b, i, "true")
	case 'f':
		return skipLiteral(b, i, "false")
	case 'n':
		return skipLiteral(b, i, "null")
	}
	return skipNumber(b, i)
}

// skipName returns where the value of a member begins whose name is at b[i].
func skipName(b []byte, i int) (int, problem) {
	if i >= len(b) || b[i] != '"' {
		return i, jsonSyntax
	}
	if end := shortString(b, i+1); end > 0 {
		i = end
	} else {
		var bad problem
		if i, bad = skipString(b, i+1); bad != fine {
			return i, bad
		}
	}
	if i = skipSpace(b, i); i >= len(b) || b[i] != ':' {
		return i, jsonSyntax
	}
	return skipSpace(b, i+1), fine
}

// shortString is skipString for the plainest: up to 7 bytes of ASCII without an
// escape. It returns 0 for others.
func shortString(b []byte, i int) int {
	if i+8 > len(b) {
		return 0
	}
	if n := plain8(binary.LittleEndian.Uint64(b[i:])); n < 8 && b[i+n] == '"' {
		return i + n + 1
	}
	return 0
}

// skipString returns the end of the string whose text begins at b[i].
func skipString(b []byte, i int) (int, problem) {
	end, _, bad := scanString(b, i)
	if bad != fine {
		return end, bad
	}
	return end + 1, fine
}

// scanString returns where the text of a string ends that begins at b[i], and
// whether it has escapes. It allocates nothing.
func scanString(b []byte, i int) (end int, escaped bool, bad problem) {
	start, ascii := i, true
	for {
		for i+8 <= len(b) {
			n := plain8(binary.LittleEndian.Uint64(b[i:]))
			i += n
			if n < 8 {
				break
			}
		}
		if i >= len(b) {
			return i, escaped, jsonEnds
		}
		switch c := b[i]; {
		case c == '"':
			if !ascii && !utf8.Valid(b[start:i]) {
				return start, escaped, jsonUTF8
			}
			return i, escaped, fine
		case c == '\\':
			escaped = true
			n := escapeLen(b[i:])
			if n == 0 {
				return i, escaped, jsonEscape
			}
			i += n
		case c < 0x20:
			return i, escaped, jsonControl
		case c >= utf8.RuneSelf:
			ascii = false
			for i++; i < len(b) && b[i] >= utf8.RuneSelf; {
				i++
			}
		default:
			i++
		}
	}
}

// plain8 returns how many of 8 bytes come before the first that is a quote, a
// backslash, a control character or not ASCII.
func plain8(x uint64) int {
	quote, back := x^bytes8*'"', x^bytes8*'\\'
	// A subtraction that borrows marks bytes above the first that is special, never
	// one below: the first mark is right. Bytes that aren't ASCII are marked by x.
	special := (x - bytes8*0x20) | (quote - bytes8) | (back - bytes8) | x
	return bits.TrailingZeros64(special&(bytes8*0x80)) / 8
}

// escapeLen returns the length of the escape at the beginning of b, or 0.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) >= 6 && unhex(b[2])|unhex(b[3])|unhex(b[4])|unhex(b[5]) < 16 {
			return 6
		}
	}
	return 0
}

func skipLiteral(b []byte, i int, literal string) (int, problem) {
	if len(b)-i < len(literal) || string(b[i:i+len(literal)]) != literal {
		return i, jsonSyntax
	}
	return i + len(literal), fine
}

// skipNumber returns the end of a number. Its value is never computed.
func skipNumber(b []byte, i int) (int, problem) {
	if i < len(b) && b[i] == '-' {
		i++
	}
	from := i
	if i = skipDigits(b, i); i == from || b[from] == '0' && i > from+1 {
		return from, jsonSyntax
	}
	if i < len(b) && b[i] == '.' {
		from = i + 1
		if i = skipDigits(b, from); i == from {
			return i, jsonSyntax
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		from = i
		if i = skipDigits(b, from); i == from {
			return i, jsonSyntax
		}
	}
	return i, fine
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i
}

// appendUnescaped appends the text of a string that scanString accepted. An
// escape of an unpaired surrogate isn't text: it is reported by false.
func appendUnescaped(dst, s []byte) ([]byte, bool) {
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			n := i + 1
			for n < len(s) && s[n] != '\\' {
				n++
			}
			dst, i = append(dst, s[i:n]...), n
			continue
		}
		c := s[i+1]
		i += 2
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r := hex4(s[i:])
			i += 4
			if r >= 0xd800 && r < 0xe000 {
				if r >= 0xdc00 || i+6 > len(s) || s[i] != '\\' || s[i+1] != 'u' {
					return dst, false
				}
				low := hex4(s[i+2:])
				if low < 0xdc00 || low >= 0xe000 {
					return dst, false
				}
				r = (r-0xd800)<<10 + low - 0xdc00 + 0x10000
				i += 6
			}
			dst = utf8.AppendRune(dst, r)
			continue
		}
		dst = append(dst, c)
	}
	return dst, true
}

func hex4(s []byte) rune {
	return rune(unhex(s[0]))<<12 | rune(unhex(s[1]))<<8 | rune(unhex(s[2]))<<4 | rune(unhex(s[3]))
}
