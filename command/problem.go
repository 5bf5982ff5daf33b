package command

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/leat-go/leat/event"
)

// refusal is an answer of a [Gateway] that isn't what was asked for.
type refusal struct {
	status int
	code   string          // for programs
	detail string          // for people; it never has what the request had
	extra  json.RawMessage // of an answer that is an error: its details
	after  time.Duration   // when to try again; 0: that isn't said
	header [2]string       // another header: name and value
}

// Error names the refusal, without what the request had.
func (p refusal) Error() string { return "command: refused: " + p.code }

// problemBody is a refusal as RFC 9457 has it. The type is left out, which means
// about:blank: the code tells problems apart.
type problemBody struct {
	Title   string          `json:"title"`
	Status  int             `json:"status"`
	Detail  string          `json:"detail,omitempty"`
	Code    string          `json:"code"`
	Details json.RawMessage `json:"details,omitempty"`
}

// The refusals that are always the same.
var (
	// One answer for what isn't there, for what is somebody else's, and for what could never
	// be there: nobody learns which it is.
	errNotFound  = refusal{status: http.StatusNotFound, code: "not_found", detail: "there is nothing here"}
	errGone      = refusal{status: http.StatusGone, code: "gone", detail: "the operation is over for longer than it is kept"}
	errForbidden = refusal{status: http.StatusForbidden, code: "forbidden", detail: "this isn't allowed"}
	errBusy      = refusal{status: http.StatusServiceUnavailable, code: "unavailable", detail: "try again later", after: pollAfter}
)

// pollAfter is when somebody should ask again.
const pollAfter = time.Second

func badRequest(code, detail string) refusal {
	return refusal{status: http.StatusBadRequest, code: code, detail: detail}
}

// refusalOf is what is said of an operation that failed, with the status that its code has.
func refusalOf(e *event.Error, status int) refusal {
	return refusal{status: status, code: e.Code, detail: e.Message, extra: e.Details}
}

// write answers a request.
func (p refusal) write(w http.ResponseWriter) {
	header(w)
	w.Header().Set("Content-Type", "application/problem+json")
	if p.after > 0 {
		retryAfter(w, p.after)
	}
	if p.header[0] != "" {
		w.Header().Set(p.header[0], p.header[1])
	}
	body := problemBody{http.StatusText(p.status), p.status, p.detail, p.code, sound(p.extra)}
	writeJSON(w, p.status, body)
}

// sound returns JSON that can be written, or nil.
func sound(raw json.RawMessage) json.RawMessage {
	if !json.Valid(raw) {
		return nil
	}
	return raw
}

// header sets what every answer has: none is to be kept by those in between, or taken for
// anything but what it says it is.
func header(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "private, no-store")
	h.Set("X-Content-Type-Options", "nosniff")
}

// retryAfter says when to ask again, in whole seconds.
func retryAfter(w http.ResponseWriter, d time.Duration) {
	seconds := (d + time.Second - 1) / time.Second
	w.Header().Set("Retry-After", strconv.FormatInt(int64(max(1, seconds)), 10))
}

// writeJSON writes a body that is known to be encodable. Who doesn't read it isn't there
// any more.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
