package bridgenats

import (
	"errors"
	"fmt"
	"strings"
)

// errName is the error of topics and groups that can't be named on NATS.
var errName = errors.New("bridgenats: NATS can't have this name")

// checkSubject says why a topic can't be the subject of its events, which it is.
func checkSubject(topic string) error {
	for token := range strings.SplitSeq(topic, ".") {
		if token == "" {
			return fmt.Errorf("%w: %q: nothing before, behind or between dots", errName, topic)
		}
	}
	if i := strings.IndexFunc(topic, func(r rune) bool { return r <= ' ' || r == '*' || r == '>' || r == 0x7f }); i >= 0 {
		return fmt.Errorf("%w: %q: %q is not for subjects", errName, topic, topic[i])
	}
	if strings.HasPrefix(topic, "$") || strings.HasPrefix(topic, "_INBOX.") {
		return fmt.Errorf("%w: %q: the server's own subjects begin like that", errName, topic)
	}
	return nil
}

// longestName is how long the name of a stream or a consumer can be: server/jetstream_api.go
// has JSMaxNameLen.
const longestName = 255

// nameOf returns the name of a topic's stream or a group's consumer, which may not have
// dots. Letters, digits and hyphens stay, a dot is an underscore, and any other byte is =
// and its two hexadecimal digits: no two have the same name.
func nameOf(s string) (string, error) {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-':
			b.WriteByte(c)
		case c == '.':
			b.WriteByte('_')
		default:
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	if b.Len() > longestName || b.Len() == 0 {
		return "", fmt.Errorf("%w: %q: %d bytes as %q, 1 to %d are possible", errName, s, b.Len(), b.String(), longestName)
	}
	return b.String(), nil
}
