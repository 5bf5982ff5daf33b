package query

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/sse"
	"github.com/leat-go/leat/internal/webanswer"
)

// stream is a connection that somebody watches by.
type stream[R any] struct {
	cfg  *StreamConfig
	r    *http.Request
	wire *sse.Writer
	seen string    // the id of the answer that the client has; "": none, or a problem came after it
	code string    // of the problem that it has; "": none
	last time.Time // when something was sent
}

// write sends bytes, and reports whether the stream goes on.
func (s *stream[R]) write(b []byte) bool {
	s.last = time.Now()
	return s.wire.Write(b) == nil
}

// silence is how long until a sign of life is due.
func (s *stream[R]) silence() time.Duration { return s.cfg.Heartbeat - time.Since(s.last) }

// show sends a state, unless the client has it, and reports whether the stream goes on.
func (s *stream[R]) show(st *state[R]) bool {
	data, err := st.json()
	if err != nil {
		return s.problem(err)
	}
	id := base64.RawURLEncoding.EncodeToString(st.sum[:12])
	if id == s.seen {
		return true
	}
	s.seen, s.code = id, ""
	return s.write(sse.Event{ID: id, Name: s.cfg.Event, Data: data}.Append(nil))
}

// json returns the answer as JSON. What the codec of the Bus has made is shared by all streams.
func (st *state[R]) json() ([]byte, error) {
	if st.err != nil || st.media == event.JSON.ContentType() {
		return st.data, st.err
	}
	return json.Marshal(st.answer)
}

// problem sends an error, once. Who comes again with its id is sent the answer.
func (s *stream[R]) problem(err error) bool {
	code := event.CodeOf(err)
	if code == "" {
		code = "unavailable"
	}
	if code == s.code {
		return true
	}
	if event.CodeOf(err) == "" && s.cfg.OnError != nil {
		s.cfg.OnError(s.r, err)
	}
	s.seen, s.code = "", code
	data, err := json.Marshal(struct {
		Code string `json:"code"`
	}{code})
	return err == nil && s.write(sse.Event{ID: "problem", Name: "problem", Data: data}.Append(nil))
}

// refused is what is said when a request isn't made a query of.
func (ss *streams[R, Q]) refused(err error) webanswer.Problem {
	if no, ok := errors.AsType[*event.Error](err); ok {
		if status := ss.cfg.Status(no.Code); status != 0 {
			return problemOf(no, status)
		}
	}
	return webanswer.Problem{Status: http.StatusBadRequest, Code: "bad_request"}
}

// failed is what is said when there is no first answer.
func (ss *streams[R, Q]) failed(r *http.Request, err error) webanswer.Problem {
	if no, ok := errors.AsType[*event.Error](err); ok {
		status := ss.cfg.Status(no.Code)
		if status == 0 {
			status = http.StatusUnprocessableEntity
		}
		return problemOf(no, status)
	}
	if r.Context().Err() == nil { // else the client is gone
		ss.tell(r, err)
	}
	return ss.unavailable()
}

func problemOf(no *event.Error, status int) webanswer.Problem {
	p := webanswer.Problem{Status: status, Code: no.Code, Detail: no.Message, Details: no.Details}
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		p.After = time.Second
	}
	return p
}

func (ss *streams[R, Q]) unavailable() webanswer.Problem {
	return webanswer.Problem{
		Status: http.StatusServiceUnavailable, Code: "unavailable", Detail: "try again later", After: ss.cfg.Reconnect,
	}
}

func (ss *streams[R, Q]) tell(r *http.Request, err error) {
	if ss.cfg.OnError != nil {
		ss.cfg.OnError(r, err)
	}
}

// statusOf returns the status of common codes.
func statusOf(code string) int {
	switch code {
	case "unauthorized", "unauthenticated":
		return http.StatusUnauthorized
	case "forbidden":
		return http.StatusForbidden
	case "not_found":
		return http.StatusNotFound
	case "gone":
		return http.StatusGone
	case "failed":
		return http.StatusInternalServerError
	case "unavailable":
		return http.StatusServiceUnavailable
	case "timed_out":
		return http.StatusGatewayTimeout
	}
	return 0
}
