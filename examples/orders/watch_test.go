package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// seen is what a buyer sees of an operation.
type seen struct {
	State    string
	Final    bool
	Progress struct{ Note string }
	Problem  struct{ Code, Message string }
	Links    struct{ Result string }
}

// stream is one of server-sent events.
type stream struct {
	t      *testing.T
	answer *http.Response
	lines  *bufio.Scanner
}

// watch opens the stream of an operation.
func (b *buyer) watch(at string) *stream {
	b.t.Helper()
	answer := b.get(at + "/events")
	b.t.Cleanup(func() { _ = answer.Body.Close() })
	require.Equal(b.t, http.StatusOK, answer.StatusCode)
	require.Equal(b.t, "text/event-stream", answer.Header.Get("Content-Type"))
	return &stream{b.t, answer, bufio.NewScanner(answer.Body)}
}

// next returns the next event of the stream.
func (s *stream) next() (o seen) {
	s.t.Helper()
	for s.lines.Scan() {
		if data, ok := strings.CutPrefix(s.lines.Text(), "data: "); ok {
			require.NoError(s.t, json.Unmarshal([]byte(data), &o))
			return o
		}
	}
	s.t.Fatal("the stream has ended: ", s.lines.Err())
	return o
}

// until returns the first event that is what the test waits for, and all notes up to it.
func (s *stream) until(is func(seen) bool) (o seen, notes []string) {
	s.t.Helper()
	for {
		o = s.next()
		notes = append(notes, o.Progress.Note)
		if is(o) {
			return o, notes
		}
		require.False(s.t, o.Final, "%+v", o)
	}
}

func final(o seen) bool { return o.Final }

// receipt returns the number of an order that succeeded.
func (b *buyer) receipt(o seen) int64 {
	b.t.Helper()
	answer := b.get(o.Links.Result)
	defer answer.Body.Close()
	var r Receipt
	require.NoError(b.t, json.NewDecoder(answer.Body).Decode(&r))
	return r.Number
}
