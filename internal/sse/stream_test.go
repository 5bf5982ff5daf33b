package sse

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// There is room for so many in all and of each owner, and owners that have none leave nothing.
func TestLimit(t *testing.T) {
	l := NewLimit[string](3, 2)
	require.Equal(t, Free, l.Enter("a"))
	require.Equal(t, Free, l.Enter("a"))
	require.Equal(t, Own, l.Enter("a"))
	require.Equal(t, Free, l.Enter("b"))
	require.Equal(t, Total, l.Enter("c"))
	l.Leave("a")
	require.Equal(t, Free, l.Enter("c"))
	for _, owner := range []string{"a", "b", "c"} {
		l.Leave(owner)
	}
	require.Empty(t, l.by)
	require.Zero(t, l.all)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			for range 100 {
				if l.Enter("a") == Free {
					l.Leave("a")
				}
			}
		})
	}
	wg.Wait()
	require.Empty(t, l.by)
}

// wire is a ResponseWriter that notes what is done to it, and fails at will.
type wire struct {
	http.ResponseWriter

	done []string
	fail string
}

func (w *wire) do(what string) error {
	w.done = append(w.done, what)
	if what == w.fail {
		return errors.New(what)
	}
	return nil
}

func (w *wire) SetWriteDeadline(at time.Time) error {
	if at.Before(time.Now()) {
		return errors.New("a deadline that is over")
	}
	return w.do("deadline")
}
func (w *wire) FlushError() error           { return w.do("flush") }
func (w *wire) Write(b []byte) (int, error) { return len(b), w.do(string(b)) }

// Each write has a deadline and is flushed; one that fails ends the stream.
func TestWriter(t *testing.T) {
	w := &wire{ResponseWriter: httptest.NewRecorder()}
	s, err := Begin(w, time.Minute)
	require.NoError(t, err)
	require.Equal(t, "text/event-stream", w.Header().Get("Content-Type"))
	require.Equal(t, "no", w.Header().Get("X-Accel-Buffering"))
	require.NoError(t, s.Write([]byte("a")))
	require.Equal(t, []string{"deadline", "deadline", "a", "flush"}, w.done)
	for _, fail := range []string{"deadline", "a", "flush"} {
		w.fail = fail
		require.EqualError(t, s.Write([]byte("a")), fail)
	}
	w = &wire{ResponseWriter: httptest.NewRecorder(), fail: "deadline"}
	_, err = Begin(w, time.Minute)
	require.Error(t, err)
	require.Empty(t, w.Header())
	_, err = Begin(httptest.NewRecorder(), time.Minute)
	require.ErrorIs(t, err, http.ErrNotSupported)
}
