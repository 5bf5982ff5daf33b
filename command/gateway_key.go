package command

import (
	"net/http"
	"strings"
)

// keyHeader is the header by which a client names a request, so that it can repeat it
// (draft-ietf-httpapi-idempotency-key-header).
const keyHeader = "Idempotency-Key"

const maxKey = 255

var errBadKey = badRequest("bad_key", "an Idempotency-Key is one text of 1 to 255 visible characters, with or without quotes")

// idempotencyKey returns the key of a request, or "". The draft has it in quotes, as a String
// of RFC 9651; many clients send it without, and mean the same.
func idempotencyKey(h http.Header) (string, error) {
	values := h.Values(keyHeader)
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 {
		return "", errBadKey
	}
	key, ok := values[0], !strings.ContainsAny(values[0], "\" ,")
	if strings.HasPrefix(key, `"`) {
		key, ok = unquoted(key)
	}
	if !ok || key == "" || len(key) > maxKey || !visible(key) {
		return "", errBadKey
	}
	return key, nil
}

// unquoted reads a String of RFC 9651, section 3.3.3, without parameters.
func unquoted(s string) (string, bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			return b.String(), i == len(s)-1
		case '\\':
			i++
			if i == len(s) || s[i] != '"' && s[i] != '\\' {
				return "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", false
}

// visible reports whether a text is of ASCII that can be seen, and spaces.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
