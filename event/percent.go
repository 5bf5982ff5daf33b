package event

import "strings"

// appendPercent appends a value as the HTTP binding 1.0.2 §3.1.3.2 writes it.
func appendPercent(dst []byte, s string) []byte {
	const upper = "0123456789ABCDEF"
	for i := range len(s) {
		if b := s[i]; b > ' ' && b <= '~' && b != '"' && b != '%' {
			dst = append(dst, b)
		} else {
			dst = append(dst, '%', upper[b>>4], upper[b&15])
		}
	}
	return dst
}

// unpercent reads what appendPercent and older senders write: a value that may be
// a quoted string, then one round of percent-encoding. What comes out is for
// Validate to judge.
func unpercent(name, s string) (string, error) {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		var ok bool
		if s, ok = unquote(s[1 : len(s)-1]); !ok {
			return "", badAttribute(name, "not a quoted string")
		}
	}
	i := strings.IndexByte(s, '%')
	if i < 0 {
		return s, nil
	}
	if len(s) > 3*MaxAttributeValue {
		return s, nil // too long anyway
	}
	b := append(make([]byte, 0, len(s)), s[:i]...)
	for ; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) || unhex(s[i+1]) > 15 || unhex(s[i+2]) > 15 {
			return "", badAttribute(name, "not percent-encoded: % without two hexadecimal digits")
		}
		b = append(b, unhex(s[i+1])<<4|unhex(s[i+2]))
		i += 2
	}
	return view(b), nil
}

// unquote reads the inside of a quoted string of RFC 9110 §5.6.4.
func unquote(s string) (string, bool) {
	if !strings.ContainsAny(s, `"\`) {
		return s, true
	}
	if len(s) > 6*MaxAttributeValue {
		return s, true // too long anyway
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return "", false
		case '\\':
			if i++; i == len(s) {
				return "", false
			}
		}
		b = append(b, s[i])
	}
	return view(b), true
}
