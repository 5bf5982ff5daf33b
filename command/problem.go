package command

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/webanswer"
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
	if p.header[0] != "" {
		w.Header().Set(p.header[0], p.header[1])
	}
	webanswer.Problem{Status: p.status, Code: p.code, Detail: p.detail, Details: p.extra, After: p.after}.Write(w)
}
