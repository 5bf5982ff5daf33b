package fcm

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/leat-go/leat/internal/notify"
)

// The error codes of FCM that decide something (FCM reference, ErrorCode).
const (
	codeUnregistered = "UNREGISTERED"
	codeInvalid      = "INVALID_ARGUMENT"
	codeMismatch     = "SENDER_ID_MISMATCH"
	codeQuota        = "QUOTA_EXCEEDED"
	codeThirdParty   = "THIRD_PARTY_AUTH_ERROR"

	// fcmError is the type of the detail that has the code.
	fcmError = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
)

// answer is what the API said.
type answer struct {
	status int
	header http.Header
	code   string // of FCM, or the canonical one of Google's APIs; "": none that can be read
	fcm    bool   // the code is of FCM
}

// code is how error codes look. What doesn't look so might be anything, and isn't told.
var code = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`)

// codeOf reads the error code of an answer. Its message is left alone: it quotes the request.
func codeOf(body []byte) (name string, fcm bool) {
	var b struct {
		Error struct {
			Status  string            `json:"status"`
			Details []json.RawMessage `json:"details"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &b) != nil {
		return "", false
	}
	for _, raw := range b.Error.Details {
		var d struct {
			Type string `json:"@type"`
			Code string `json:"errorCode"`
		}
		if json.Unmarshal(raw, &d) == nil && d.Type == fcmError && code.MatchString(d.Code) {
			return d.Code, true
		}
	}
	if code.MatchString(b.Error.Status) {
		return b.Error.Status, false
	}
	return "", false
}

// outcome is what became of one token.
type outcome struct {
	notify.Failure

	gone bool
}

// refused reports whether the API didn't take the access token.
func (a answer) refused() bool {
	return a.status == http.StatusUnauthorized && a.code != codeThirdParty
}

// outcome tells what an answer means.
func (a answer) outcome(maxWait time.Duration) outcome {
	if a.status >= 200 && a.status < 300 {
		return outcome{}
	}
	if a.fcm && a.code == codeUnregistered {
		return outcome{gone: true}
	}
	f := notify.Failure{Err: fmt.Errorf("answered %d", a.status)}
	if a.code != "" {
		f.Err = fmt.Errorf("answered %d %s", a.status, a.code)
	}
	switch {
	case a.code == codeInvalid, a.fcm && a.code == codeMismatch:
		f.ForGood = true
	case a.status == http.StatusTooManyRequests, a.code == codeQuota:
		f.Timed = true
		var said bool
		if f.After, said = notify.RetryAfter(a.header, time.Now(), maxWait); !said {
			f.After = min(quotaWait, maxWait)
		}
	case a.status >= 500:
		f.After, f.Timed = notify.RetryAfter(a.header, time.Now(), maxWait)
	}
	return outcome{Failure: f}
}
