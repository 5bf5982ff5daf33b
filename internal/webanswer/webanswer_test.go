package webanswer

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A problem has what RFC 9457 wants, and nothing that isn't said.
func TestProblem(t *testing.T) {
	w := httptest.NewRecorder()
	Problem{Status: 503, Code: "busy", Detail: "later", Details: []byte(`{"n":1}`), After: 1500 * time.Millisecond}.Write(w)
	require.Equal(t, 503, w.Code)
	require.JSONEq(t, `{"title":"Service Unavailable","status":503,"detail":"later","code":"busy","details":{"n":1}}`, w.Body.String())
	for name, value := range map[string]string{
		"Content-Type": "application/problem+json", "Retry-After": "2", "Cache-Control": "private, no-store",
		"X-Content-Type-Options": "nosniff",
	} {
		require.Equal(t, value, w.Header().Get(name), name)
	}
	w = httptest.NewRecorder()
	Problem{Status: http.StatusBadRequest, Code: "bad", Details: []byte(`{`)}.Write(w)
	require.JSONEq(t, `{"title":"Bad Request","status":400,"code":"bad"}`, w.Body.String())
	require.Empty(t, w.Header().Get("Retry-After"))
	w = httptest.NewRecorder()
	WriteJSON(w, http.StatusOK, func() {})
	require.Equal(t, http.StatusInternalServerError, w.Code)
}
