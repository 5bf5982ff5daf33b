// Package webanswer answers HTTP requests with what went wrong (RFC 9457), and has what all
// answers have in common.
package webanswer

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Problem is an answer that isn't what was asked for.
type Problem struct {
	Status  int
	Code    string          // for programs
	Detail  string          // for people; it never has what the request had
	Details json.RawMessage // of an answer that is an error; left out unless it is JSON
	After   time.Duration   // when to try again; 0: that isn't said
}

// body is a problem as it is written. The type is left out, which means about:blank: the code
// tells problems apart.
type body struct {
	Title   string          `json:"title"`
	Status  int             `json:"status"`
	Detail  string          `json:"detail,omitempty"`
	Code    string          `json:"code"`
	Details json.RawMessage `json:"details,omitempty"`
}

// Write answers a request.
func (p Problem) Write(w http.ResponseWriter) {
	Header(w)
	w.Header().Set("Content-Type", "application/problem+json")
	if p.After > 0 {
		RetryAfter(w, p.After)
	}
	WriteJSON(w, p.Status, body{http.StatusText(p.Status), p.Status, p.Detail, p.Code, Sound(p.Details)})
}

// Sound returns JSON that can be written, or nil.
func Sound(raw json.RawMessage) json.RawMessage {
	if !json.Valid(raw) {
		return nil
	}
	return raw
}

// Header sets what every answer has: none is to be kept by those in between, or taken for
// anything but what it says it is.
func Header(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "private, no-store")
	h.Set("X-Content-Type-Options", "nosniff")
}

// RetryAfter says when to ask again, in whole seconds.
func RetryAfter(w http.ResponseWriter, d time.Duration) {
	seconds := (d + time.Second - 1) / time.Second
	w.Header().Set("Retry-After", strconv.FormatInt(int64(max(1, seconds)), 10))
}

// WriteJSON writes a body that is known to be encodable. Who doesn't read it isn't there
// any more.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
