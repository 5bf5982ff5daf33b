package sse

import (
	"net/http"
	"time"
)

// Writer is the answer to a request that is a stream. It is used by the request's goroutine
// alone.
type Writer struct {
	w       http.ResponseWriter
	wire    *http.ResponseController
	timeout time.Duration
}

// Begin begins the stream, with the headers that it has to have beside those that are set. An
// error means that nothing was written: the connection couldn't be given up when nobody
// reads, since w, or a middleware around it, takes no write deadline.
func Begin(w http.ResponseWriter, timeout time.Duration) (*Writer, error) {
	s := &Writer{w: w, wire: http.NewResponseController(w), timeout: timeout}
	if err := s.wire.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	_ = s.wire.SetReadDeadline(time.Time{}) // a server's bound is for requests
	Header(w)
	w.WriteHeader(http.StatusOK)
	return s, nil
}

// Header sets the headers of a stream. X-Accel-Buffering keeps proxies from holding it up.
func Header(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
}

// Write sends bytes in the time that a client has to read them. After an error the stream is over.
func (s *Writer) Write(b []byte) error {
	if err := s.wire.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil {
		return err
	}
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	return s.wire.Flush()
}
