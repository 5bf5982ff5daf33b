package command

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/webanswer"
)

// view is what a client sees of an operation.
type view struct {
	ID        string       `json:"id"`
	Name      string       `json:"name"`
	State     State        `json:"state"`
	Final     bool         `json:"final"`
	Created   time.Time    `json:"created"`
	Updated   time.Time    `json:"updated"`
	NotBefore time.Time    `json:"not_before,omitzero"`
	Expires   time.Time    `json:"expires,omitzero"`
	Attempt   int          `json:"attempt,omitempty"`
	Progress  *Stage       `json:"progress,omitempty"`
	Problem   *event.Error `json:"problem,omitempty"`
	Links     links        `json:"links"`
}

// links are where the rest is.
type links struct {
	Self   string `json:"self"`
	Events string `json:"events"`
	Result string `json:"result,omitempty"`
}

func (g *gateway) view(o Operation) view {
	at := g.path(o.ID)
	v := view{
		ID: o.ID, Name: o.Name, State: o.State, Final: o.State.Final(), Created: o.Created.UTC(), Updated: o.Updated.UTC(),
		NotBefore: o.NotBefore, Expires: o.Expires, Attempt: o.Attempt, Progress: o.Progress, Problem: o.Problem,
		Links: links{Self: at, Events: at + "/events"},
	}
	if o.Problem != nil && webanswer.Sound(o.Problem.Details) == nil {
		v.Problem = &event.Error{Code: o.Problem.Code, Message: o.Problem.Message}
	}
	if hasResult(o) {
		v.Links.Result = at + "/result"
	}
	return v
}

func hasResult(o Operation) bool { return o.State == Succeeded && o.Result != nil }

// writeView answers with the view of an operation.
func (g *gateway) writeView(w http.ResponseWriter, status int, o Operation) {
	webanswer.Header(w)
	w.Header().Set("Content-Type", "application/json")
	if !o.State.Final() {
		webanswer.RetryAfter(w, pollAfter)
	}
	webanswer.WriteJSON(w, status, g.view(o))
}

// outcome answers with what an operation has come to, as if it had been done while the client
// waited.
func (g *gateway) outcome(w http.ResponseWriter, o Operation) error {
	switch {
	case hasResult(o):
		writeResult(w, *o.Result)
	case o.State == Succeeded:
		webanswer.Header(w)
		w.WriteHeader(http.StatusNoContent)
	default:
		no := problem(o.Problem)
		return refusalOf(no, g.status(no.Code))
	}
	return nil
}

// status returns the HTTP status of a command that failed.
func (g *gateway) status(code string) int {
	if of := g.cfg.ProblemStatus; of != nil {
		if status := of(code); status >= 400 && status <= 599 {
			return status
		}
	}
	if code == errFailed.Code {
		return http.StatusInternalServerError
	}
	return http.StatusUnprocessableEntity
}

// writeResult answers with a result. It is data, whatever it says: nothing that a handler has
// taken over from somebody may run as a page of this site.
func writeResult(w http.ResponseWriter, result event.Result) {
	webanswer.Header(w)
	h := w.Header()
	h.Set("Content-Type", mediaType(result.ContentType))
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Content-Disposition", "attachment")
	h.Set("Content-Length", strconv.Itoa(len(result.Data)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(result.Data)
}

// mediaType returns a content type that can stand in a header.
func mediaType(s string) string {
	typ, params, err := mime.ParseMediaType(s)
	if err == nil {
		s = mime.FormatMediaType(typ, params)
	}
	if err != nil || s == "" {
		return "application/octet-stream"
	}
	return s
}

// tag is the ETag of an operation as it is.
func tag(o Operation) string { return `"` + strconv.FormatInt(o.Version, 10) + `"` }

// unchanged reports whether a client has what a tag stands for.
func unchanged(h http.Header, tag string) bool {
	for one := range strings.SplitSeq(strings.Join(h.Values("If-None-Match"), ","), ",") {
		one = strings.TrimSpace(one)
		if one == "*" || strings.TrimPrefix(one, "W/") == tag {
			return true
		}
	}
	return false
}
