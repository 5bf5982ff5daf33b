package webhook

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"mime"
	"strconv"
	"strings"
	"time"

	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/event"
)

// Body is what a webhook says, in JSON: its shape is the one that Standard Webhooks
// recommends ("Payload structure").
type Body struct {
	Type      string    `json:"type"`      // operation. and the state: operation.succeeded
	Timestamp time.Time `json:"timestamp"` // when it came to that, in UTC
	Data      Data      `json:"data"`      // the operation
}

// Data is an operation as it is told to others: without who sent it, whose it is, and what
// the store needs for itself.
type Data struct {
	ID        string         `json:"id"`                         // of the operation
	Name      string         `json:"name"`                       // the type of the command
	State     command.State  `json:"state"`                      // how far it is
	Version   int64          `json:"version"`                    // one more for each change
	Created   time.Time      `json:"created"`                    // when it was sent
	Updated   time.Time      `json:"updated"`                    // when it changed last
	NotBefore time.Time      `json:"not_before,omitzero"`        // when it was to run
	Expires   time.Time      `json:"expires,omitzero"`           // when it was to begin at the latest
	Attempt   int            `json:"attempt,omitempty"`          // of the handler; 1 for the first
	Progress  *command.Stage `json:"progress,omitempty"`         // what the handler said last
	Result    *Result        `json:"result,omitempty"`           // what the handler answered
	Large     bool           `json:"result_too_large,omitempty"` // there is a result above Config.MaxResult
	Problem   *event.Error   `json:"problem,omitempty"`          // why it failed
}

// Result is what a handler answered. One of JSON and Base64 is there.
type Result struct {
	ContentType string          `json:"content_type"`     // of the answer
	JSON        json.RawMessage `json:"json,omitempty"`   // where it is JSON
	Base64      []byte          `json:"base64,omitempty"` // where it is not
}

// errBody is the error of an operation that can't be told: a part of it that should be JSON
// isn't.
var errBody = errors.New("webhook: the operation can't be written as JSON")

// bodyOf returns the same bytes for the same version of an operation.
func bodyOf(o command.Operation, maxResult int) ([]byte, error) {
	d := Data{
		ID: o.ID, Name: o.Name, State: o.State, Version: o.Version,
		Created: o.Created.UTC(), Updated: o.Updated.UTC(), NotBefore: utc(o.NotBefore), Expires: utc(o.Expires),
		Attempt: o.Attempt, Progress: o.Progress, Problem: o.Problem,
	}
	switch {
	case o.Result == nil:
	case len(o.Result.Data) > maxResult:
		d.Large = true
	default:
		d.Result = resultOf(o.Result)
	}
	body, err := json.Marshal(Body{"operation." + string(o.State), d.Updated, d})
	if err != nil {
		return nil, errBody // without err, which quotes
	}
	return body, nil
}

// utc leaves the zero time as it is, which is not written.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}

func resultOf(r *event.Result) *Result {
	if isJSON(r.ContentType) && json.Valid(r.Data) {
		return &Result{ContentType: r.ContentType, JSON: r.Data}
	}
	return &Result{ContentType: r.ContentType, Base64: r.Data}
}

// isJSON tells whether a content type is JSON (RFC 6839, section 3.1, for +json).
func isJSON(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	return err == nil && (t == "application/json" || strings.HasSuffix(t, "+json"))
}

// idOf names a version of an operation. It is a hash, since an operation's id may have been
// chosen by a user, and the signature needs one without full stops ("Signature scheme").
func idOf(o command.Operation) string {
	sum := sha256.Sum256([]byte(o.ID + "\x00" + strconv.FormatInt(o.Version, 10)))
	return "msg_" + base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:16])
}
