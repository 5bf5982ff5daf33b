package sse

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// heard is what a reader of a stream has: section 9.2.6 of WHATWG HTML, word by word.
type heard struct {
	events []heardEvent
	last   string // the last event id
	retry  string

	data, name, id string
}

type heardEvent struct{ id, name, data string }

// hear reads a stream that has ended: what no empty line closes is dropped.
func hear(stream []byte) *heard {
	h := &heard{}
	s := strings.ToValidUTF8(string(stream), "\uFFFD")
	s = strings.TrimPrefix(s, "\uFEFF")
	for s != "" {
		i := strings.IndexAny(s, "\r\n")
		if i < 0 {
			break
		}
		line := s[:i]
		if s[i] == '\r' && strings.HasPrefix(s[i+1:], "\n") {
			i++
		}
		s = s[i+1:]
		h.line(line)
	}
	return h
}

func (h *heard) line(line string) {
	if line == "" {
		h.dispatch()
		return
	}
	field, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch field {
	case "event":
		h.name = value
	case "data":
		h.data += value + "\n"
	case "id":
		if !strings.Contains(value, "\x00") {
			h.id = value
		}
	case "retry":
		if value != "" && strings.Trim(value, "0123456789") == "" {
			h.retry = value
		}
	}
}

func (h *heard) dispatch() {
	h.last = h.id
	if h.data == "" {
		h.name = ""
		return
	}
	e := heardEvent{id: h.last, name: h.name, data: strings.TrimSuffix(h.data, "\n")}
	if e.name == "" {
		e.name = "message"
	}
	h.events = append(h.events, e)
	h.data, h.name = "", ""
}

// oneLine is a text as a field of a line can have it.
func oneLine(s string) string {
	s = string([]rune(s)) // each byte that is no UTF-8 is U+FFFD
	return strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ").Replace(s)
}

// lines is data as a reader gets it.
func lines(b []byte) string {
	s := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(b))
	parts := strings.Split(s, "\n")
	for i := range parts {
		parts[i] = strings.ToValidUTF8(parts[i], "\uFFFD")
	}
	return strings.Join(parts, "\n")
}

// holds checks that an event between two others is one event.
func holds(t *testing.T, id, name string, data []byte) {
	t.Helper()
	b := Retry(1500 * time.Millisecond)
	b = Event{ID: "1", Name: "first", Data: []byte("a")}.Append(b)
	b = append(b, Heartbeat...)
	start := len(b)
	b = Event{ID: id, Name: name, Data: data}.Append(b)
	require.True(t, utf8.Valid(b[start:]))
	require.NotContains(t, string(b[start:]), "\r")
	b = append(b, Heartbeat...)
	b = Event{ID: "3", Name: "last", Data: []byte("z")}.Append(b)
	want := heardEvent{id: "1", name: "message", data: lines(data)}
	if id != "" {
		want.id = oneLine(id)
	}
	if name != "" {
		want.name = oneLine(name)
	}
	got := hear(b)
	require.Equal(t, []heardEvent{{"1", "first", "a"}, want, {"3", "last", "z"}}, got.events)
	require.Equal(t, "1500", got.retry)
}

func TestOneEventInOneEventOut(t *testing.T) {
	for _, s := range []string{
		"", " ", "a", ":", ": a", "a\nb", "a\rb", "a\r\nb", "\n", "\r", "\r\n", "\n\n", "\r\r", "\n\r", "\r\n\r\n", "a\n", "\na",
		"a\n\ndata: b\n\n", "a\r\rid: 7\r\r", "\x00", "a\x00b", "\xff", "a\xffb", "\xe2\x80", "\uFEFF", "\uFEFFa", "\u2028", "\u0085",
		"retry: 1", "\nretry: 1\n", "event: x\n\n", " leading", "trailing ", "\xff\n\xfe", strings.Repeat("\n", 1000),
	} {
		holds(t, s, "n", []byte("d"))
		holds(t, "i", s, []byte("d"))
		holds(t, "i", "n", []byte(s))
		holds(t, s, s, []byte(s))
	}
}

// Bytes are drawn from those that mean something, so that they meet.
func TestAnyBytes(t *testing.T) {
	const alphabet = "\r\n\r\n:: \x00\xff\xc3\xa9ab0datievnry\uFEFF"
	random := rand.New(rand.NewPCG(1, 2))
	some := func() string {
		b := make([]byte, random.IntN(12))
		for i := range b {
			b[i] = alphabet[random.IntN(len(alphabet))]
		}
		return string(b)
	}
	for range 50_000 {
		holds(t, some(), some(), []byte(some()))
		if t.Failed() {
			return
		}
	}
}

func FuzzSSE(f *testing.F) {
	f.Add("7", "operation", []byte(`{"id":"42"}`))
	f.Add("1\r\ndata: x", "a\n\n", []byte("a\r\rb\n"))
	f.Add("\x00", "\xff", []byte("\xff\r\n\xfe\x00"))
	f.Add("", "", []byte(""))
	f.Fuzz(holds)
}

func TestRetry(t *testing.T) {
	require.Equal(t, "retry: 0\n\n", string(Retry(-time.Second)))
	require.Equal(t, "retry: 2000\n\n", string(Retry(2*time.Second)))
}

// What a client doesn't read to the end of doesn't count: it comes again with the id before.
func TestHalfAnEventIsNone(t *testing.T) {
	whole := Event{ID: "2", Name: "n", Data: []byte("a\nb")}.Append(nil)
	for i := range whole {
		require.Empty(t, hear(whole[:i]).events, strconv.Quote(string(whole[:i])))
	}
	require.Len(t, hear(whole).events, 1)
	require.Equal(t, 1, bytes.Count(whole, []byte("\n\n")))
}
