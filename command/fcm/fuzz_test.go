package fcm

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Whatever the API answers, what is told of it is a code, and a token is removed by the one
// code alone that says so.
func FuzzAnswer(f *testing.F) {
	f.Add(404, "", []byte(`{"error": {"status": "NOT_FOUND", "details": [{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": "UNREGISTERED"}]}}`))
	f.Add(429, "7", []byte(`{"error": {"status": "RESOURCE_EXHAUSTED"}}`))
	f.Add(400, "x", []byte(`{"error": {"details": [1, null, [], "x", {}]}}`))
	f.Add(503, "-1", []byte(`[]`))
	f.Fuzz(func(t *testing.T, status int, wait string, body []byte) {
		name, ofFCM := codeOf(body)
		require.True(t, name == "" && !ofFCM || code.MatchString(name), name)
		a := answer{status: status, header: http.Header{"Retry-After": {wait}}, code: name, fcm: ofFCM}
		x := a.outcome(time.Hour)
		require.True(t, x.After >= 0 && x.After <= time.Hour)
		if x.gone {
			require.True(t, ofFCM && name == "UNREGISTERED")
			require.NoError(t, x.Err)
		}
		require.Equal(t, status >= 200 && status < 300 || x.gone, x.Err == nil)
	})
}
