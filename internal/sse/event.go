package sse

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// Event is a server-sent event (WHATWG HTML, section 9.2).
type Event struct {
	ID   string // "": it has none
	Name string // "": message
	Data []byte
}

// Append appends the event to b as it goes over the wire: one event, whatever is in it. What
// would end a field early is a space, the data keeps its lines, and what is no UTF-8 is
// U+FFFD, as the reader would have it.
func (e Event) Append(b []byte) []byte {
	if e.ID != "" {
		b = appendField(b, "id: ", e.ID)
	}
	if e.Name != "" {
		b = appendField(b, "event: ", e.Name)
	}
	rest, more := e.Data, true
	for more {
		var line []byte
		line, rest, more = cutLine(rest)
		b = append(b, "data: "...)
		b = append(b, bytes.ToValidUTF8(line, []byte("\uFFFD"))...)
		b = append(b, '\n')
	}
	return append(b, '\n')
}

func appendField(b []byte, field, value string) []byte {
	value = strings.Map(func(c rune) rune { // which makes U+FFFD of what is no UTF-8
		if c == '\r' || c == '\n' || c == 0 {
			return ' '
		}
		return c
	}, value)
	b = append(b, field...)
	b = append(b, value...)
	return append(b, '\n')
}

// cutLine returns the first line, and what is behind its end: CR, LF, or both. more says that
// there was an end.
func cutLine(data []byte) (line, rest []byte, more bool) {
	i := bytes.IndexAny(data, "\r\n")
	if i < 0 {
		return data, nil, false
	}
	line, rest = data[:i], data[i+1:]
	if data[i] == '\r' && len(rest) > 0 && rest[0] == '\n' {
		rest = rest[1:]
	}
	return line, rest, true
}

// Retry tells a client how long to wait before it comes again.
func Retry(d time.Duration) []byte {
	return []byte("retry: " + strconv.FormatInt(max(0, d.Milliseconds()), 10) + "\n\n")
}

// Heartbeat is a comment, which clients skip.
const Heartbeat = ":\n\n"
