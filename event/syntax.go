package event

import "strings"

// checkReference holds RFC 3986 §4.1 (URI reference) as far as characters, escapes,
// the scheme and the fragment go; with absolute, that there is a scheme.
func checkReference(name, s string, absolute bool) error {
	scheme, fragment := false, false
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case b == '%':
			if i+2 >= len(s) || unhex(s[i+1]) > 15 || unhex(s[i+2]) > 15 {
				return badAttribute(name, "not a URI reference: % without two hexadecimal digits")
			}
			i += 2
		case b == '#':
			if fragment {
				return badAttribute(name, "not a URI reference: two fragments")
			}
			fragment = true
		case !uriByte(b):
			return badAttribute(name, "not a URI reference: "+quoteByte(b)+" must be percent-encoded")
		}
	}
	if i := strings.IndexAny(s, ":/?#"); i >= 0 && s[i] == ':' {
		if !validScheme(s[:i]) {
			return badAttribute(name, "not a URI reference: a scheme must be letters and digits")
		}
		scheme = true
	}
	if absolute && !scheme {
		return badAttribute(name, "not an absolute URI")
	}
	return nil
}

// uriByte reports the unreserved and reserved characters of RFC 3986 §2.
func uriByte(b byte) bool {
	return alphanumeric(b) || strings.IndexByte("-._~:/?#[]@!$&'()*+,;=", b) >= 0
}

func validScheme(s string) bool {
	for i := range len(s) {
		if b := s[i]; !alphanumeric(b) && b != '+' && b != '-' && b != '.' {
			return false
		}
	}
	return s != "" && s[0]|0x20 >= 'a' && s[0]|0x20 <= 'z'
}

// checkMediaType holds RFC 2045 §5.1 as far as type and subtype go; parameters
// have to be printable ASCII.
func checkMediaType(name, s string) error {
	media, parameters, _ := strings.Cut(s, ";")
	typ, subtype, _ := strings.Cut(strings.TrimRight(media, " "), "/")
	if !token(typ) || !token(subtype) || strings.HasSuffix(s, " ") {
		return badAttribute(name, "not a media type")
	}
	for i := range len(parameters) {
		if b := parameters[i]; b < ' ' || b > '~' {
			return badAttribute(name, "not a media type: "+quoteByte(b))
		}
	}
	return nil
}

// token reports the tokens of RFC 9110 §5.6.2.
func token(s string) bool {
	for i := range len(s) {
		if b := s[i]; !alphanumeric(b) && strings.IndexByte("!#$%&'*+-.^_`|~", b) < 0 {
			return false
		}
	}
	return s != ""
}

func alphanumeric(b byte) bool {
	return b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'z'
}

func unhex(b byte) byte {
	switch {
	case b >= '0' && b <= '9':
		return b - '0'
	case b|0x20 >= 'a' && b|0x20 <= 'f':
		return b | 0x20 - 'a' + 10
	}
	return 0xff
}

// dataForm is how data goes into JSON.
type dataForm uint8

const (
	formBinary dataForm = iota // in base64
	formJSON                   // as it is
	formText                   // as a string
)

// formOf tells by the content type; data without one is taken for JSON, as the
// JSON format says.
func formOf(contentType string) dataForm {
	media, parameters, _ := strings.Cut(contentType, ";")
	typ, subtype, ok := strings.Cut(strings.TrimRight(media, " "), "/")
	switch {
	case contentType == "":
		return formJSON
	case !ok:
		return formBinary
	}
	suffix := subtype[strings.LastIndexByte(subtype, '+')+1:]
	text := strings.EqualFold(typ, "text") || strings.EqualFold(suffix, "xml") || strings.EqualFold(suffix, "yaml")
	switch {
	case strings.EqualFold(suffix, "json"):
		return formJSON
	case text && unicodeText(parameters):
		return formText
	}
	return formBinary
}

// unicodeText reports whether parameters of a media type leave the charset open
// or say UTF-8 or ASCII: text of another charset is not a string's.
func unicodeText(parameters string) bool {
	for p := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if !strings.EqualFold(name, "charset") {
			continue
		}
		value = strings.Trim(value, `"`)
		if !strings.EqualFold(value, "utf-8") && !strings.EqualFold(value, "us-ascii") {
			return false
		}
	}
	return true
}
