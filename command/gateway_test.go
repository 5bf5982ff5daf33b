package command_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/command"
)

// A command is accepted, its operation can be looked at, and leads to the result.
func TestGatewayRoundTrip(t *testing.T) {
	s := newSite(t)
	a := s.ask(http.MethodPost, "/commands/place-order", `{"Item":"slow","Count":1}`)
	require.Equal(t, http.StatusAccepted, a.StatusCode, a.text)
	require.Equal(t, "1", a.Header.Get("Retry-After"))
	require.Empty(t, a.Header.Get("Preference-Applied"))
	require.Equal(t, "private, no-store", a.Header.Get("Cache-Control"))
	at := a.Header.Get("Location")
	require.True(t, strings.HasPrefix(at, "/operations/"), at)
	v := s.operation(a)
	require.Equal(t, idOf(at), v["id"])
	require.Equal(t, "place-order", v["name"])
	require.Equal(t, false, v["final"])
	require.Equal(t, map[string]any{"self": at, "events": at + "/events"}, v["links"])
	for _, hidden := range []string{"ann", "acme", "ingerprint", "ersion", "sent", "slow"} {
		require.NotContains(t, a.text, hidden)
	}

	a = s.ask(http.MethodGet, at, "")
	require.Equal(t, http.StatusOK, a.StatusCode)
	require.Equal(t, "1", a.Header.Get("Retry-After"))
	require.Equal(t, "no_result", s.problem(s.ask(http.MethodGet, at+"/result", ""), http.StatusNotFound))

	close(s.goOn)
	o := s.final(at)
	require.Equal(t, "ann", o.Subject)
	require.Equal(t, "acme", o.Tenant)
	a = s.ask(http.MethodGet, at, "")
	require.Equal(t, http.StatusSeeOther, a.StatusCode)
	require.Equal(t, at+"/result", a.Header.Get("Location"))
	require.Empty(t, a.Header.Get("Retry-After"))
	v = s.operation(a)
	require.Equal(t, true, v["final"])
	require.Equal(t, "succeeded", v["state"])

	a = s.ask(http.MethodGet, at+"/result", "")
	require.Equal(t, http.StatusOK, a.StatusCode)
	require.Equal(t, "application/json", a.Header.Get("Content-Type"))
	require.JSONEq(t, `{"Number":"r-slow"}`, a.text)
	tag := a.Header.Get("ETag")
	require.NotEmpty(t, tag)
	require.Equal(t, http.StatusNotModified, s.ask(http.MethodGet, at+"/result", "", "If-None-Match: "+tag).StatusCode)
}

// What is as large as a body may be goes through, beside the channel.
func TestGatewayLargeBody(t *testing.T) {
	s := newSite(t)
	body := func(n int) string {
		const frame = `{"Item":"","Count":1}`
		return `{"Item":"` + strings.Repeat("x", n-len(frame)) + `","Count":1}`
	}
	require.Equal(t, command.Succeeded, s.final(s.send(body(1<<20))).State)
	a := s.ask(http.MethodPost, "/commands/place-order", body(1<<20+1))
	require.Equal(t, "too_large", s.problem(a, http.StatusRequestEntityTooLarge))
}

// A result that says that it is a page is none.
func TestGatewayResultIsData(t *testing.T) {
	s := newSite(t)
	a := s.ask(http.MethodPost, "/commands/render", `{"Page":"<script>alert(1)</script>"}`, "Prefer: wait=20")
	require.Equal(t, http.StatusOK, a.StatusCode, a.text)
	b := s.ask(http.MethodGet, a.Header.Get("Location")+"/result", "")
	require.Equal(t, http.StatusOK, b.StatusCode)
	for _, got := range []answer{a, b} {
		require.Equal(t, "<script>alert(1)</script>", got.text)
		require.Equal(t, "text/html", got.Header.Get("Content-Type"))
		require.Equal(t, "nosniff", got.Header.Get("X-Content-Type-Options"))
		require.Equal(t, "default-src 'none'; sandbox", got.Header.Get("Content-Security-Policy"))
		require.Equal(t, "attachment", got.Header.Get("Content-Disposition"))
	}
}

// Who prefers to wait gets the outcome as if the command had been done at once.
func TestGatewayPrefer(t *testing.T) {
	s := newSite(t, func(cfg *command.GatewayConfig) { cfg.MaxWait = 20 * time.Second })
	for _, c := range []struct {
		item, prefer, applied string
		status                int
	}{
		{"tea", "respond-async", "respond-async", http.StatusAccepted},
		{"tea", "respond-async, wait=0", "respond-async", http.StatusAccepted},
		{"tea", "respond-async, wait=10", "wait=10", http.StatusOK},
		{"tea", "wait=10", "wait=10", http.StatusOK},
		{"tea", "WAIT = \"9\" ; x=y, wait=1", "wait=9", http.StatusOK},
		{"tea", "wait=100000", "wait=20", http.StatusOK},
		{"tea", "wait=-1", "", http.StatusAccepted},
		{"tea", "wait=1.5", "", http.StatusAccepted},
		{"tea", "wait=99999999999999999999", "", http.StatusAccepted},
		{"tea", "handling=lenient, return=minimal", "", http.StatusAccepted},
		{"last", "wait=10", "wait=10", http.StatusUnprocessableEntity},
		{"boom", "wait=10", "wait=10", http.StatusInternalServerError},
		{"slow", "respond-async, wait=1", "respond-async, wait=1", http.StatusAccepted},
	} {
		a := s.ask(http.MethodPost, "/commands/place-order", `{"Item":"`+c.item+`"}`, "Prefer: "+c.prefer)
		require.Equal(t, c.status, a.StatusCode, c)
		require.Equal(t, c.applied, a.Header.Get("Preference-Applied"), c)
		require.NotEmpty(t, a.Header.Get("Location"), c)
		switch c.item {
		case "last":
			require.Equal(t, "sold_out", s.problem(a, c.status))
			require.Contains(t, a.text, `"details":{"left":0}`)
			require.Contains(t, a.text, errSoldOut.Message)
			b := s.ask(http.MethodGet, a.Header.Get("Location")+"/result", "")
			require.Equal(t, a.text, b.text, "the result is the same problem")
			require.Equal(t, c.status, b.StatusCode)
		case "boom":
			require.Equal(t, "failed", s.problem(a, c.status))
		}
	}
	a := s.ask(http.MethodPost, "/commands/reserve", `{"item":"a"}`, "Prefer: wait=10")
	require.Equal(t, http.StatusNoContent, a.StatusCode, "it has no result")
	at := a.Header.Get("Location")
	require.Equal(t, http.StatusNoContent, s.ask(http.MethodGet, at+"/result", "").StatusCode)
	a = s.ask(http.MethodGet, at, "")
	require.Equal(t, http.StatusOK, a.StatusCode, "it leads nowhere else")
	close(s.goOn)
}

func TestGatewayProblemStatus(t *testing.T) {
	s := newSite(t, func(cfg *command.GatewayConfig) {
		cfg.ProblemStatus = func(code string) int { return map[string]int{"sold_out": http.StatusConflict, "failed": 200}[code] }
	})
	a := s.ask(http.MethodPost, "/commands/place-order", `{"Item":"last"}`, "Prefer: wait=20")
	require.Equal(t, "sold_out", s.problem(a, http.StatusConflict))
	a = s.ask(http.MethodPost, "/commands/place-order", `{"Item":"boom"}`, "Prefer: wait=20")
	require.Equal(t, "failed", s.problem(a, http.StatusInternalServerError), "200 is no status of a problem")
}

// An operation has a tag, and who has it as it is gets it no more.
func TestGatewayETag(t *testing.T) {
	s := newSite(t)
	at := s.send(`{"Item":"slow"}`)
	require.Eventually(t, func() bool { return s.runs.Load() == 1 }, time.Minute, time.Millisecond)
	a := s.ask(http.MethodGet, at, "")
	tag := a.Header.Get("ETag")
	require.Regexp(t, `^"\d+"$`, tag)
	for _, match := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
		b := s.ask(http.MethodGet, at, "", "If-None-Match: "+match)
		require.Equal(t, http.StatusNotModified, b.StatusCode, match)
		require.Equal(t, tag, b.Header.Get("ETag"))
		require.Empty(t, b.text)
	}
	require.Equal(t, http.StatusOK, s.ask(http.MethodGet, at, "", `If-None-Match: "0"`).StatusCode)
	b := s.ask(http.MethodHead, at, "")
	require.Equal(t, http.StatusOK, b.StatusCode)
	require.Equal(t, tag, b.Header.Get("ETag"))
	close(s.goOn)
	s.final(at)
	require.Equal(t, http.StatusSeeOther, s.ask(http.MethodGet, at, "", "If-None-Match: "+tag).StatusCode)
}

// What waits for a worker can be cancelled, once and for all.
func TestGatewayCancel(t *testing.T) {
	s := newSite(t)
	require.NoError(t, s.b.Pause("place-order"))
	at := s.send(`{"Item":"tea"}`)
	for range 2 {
		a := s.ask(http.MethodDelete, at, "")
		require.Equal(t, http.StatusOK, a.StatusCode, a.text)
		require.Equal(t, "cancelled", s.operation(a)["state"])
	}
	a := s.ask(http.MethodGet, at+"/result", "")
	require.Equal(t, "cancelled", s.problem(a, http.StatusUnprocessableEntity))
	require.NoError(t, s.b.Resume("place-order"))
	slow := s.send(`{"Item":"slow"}`)
	require.Eventually(t, func() bool { return s.runs.Load() == 1 }, time.Minute, time.Millisecond)
	require.Equal(t, "running", s.problem(s.ask(http.MethodDelete, slow, ""), http.StatusConflict))
	close(s.goOn)
	s.final(slow)
	require.Equal(t, "over", s.problem(s.ask(http.MethodDelete, slow, ""), http.StatusConflict))
	require.EqualValues(t, 1, s.runs.Load(), "the cancelled one isn't run")
}

// Behind http.StripPrefix what is told leads back to it.
func TestGatewayBase(t *testing.T) {
	s := prepareSite(t, command.NewMemory(command.MemoryConfig{}), func(cfg *command.GatewayConfig) { cfg.Base = "/api/v1" })
	s.handler = http.StripPrefix("/api/v1", s.handler)
	s.start()
	a := s.ask(http.MethodPost, "/api/v1/commands/place-order", `{"Item":"tea"}`, "Prefer: wait=20")
	require.Equal(t, http.StatusOK, a.StatusCode, a.text)
	a = s.ask(http.MethodGet, a.Header.Get("Location"), "")
	require.Equal(t, http.StatusSeeOther, a.StatusCode)
	require.Equal(t, http.StatusOK, s.ask(http.MethodGet, a.Header.Get("Location"), "").StatusCode)
}

// Ids that others have chosen are found by what is told of them.
func TestGatewayOddIDs(t *testing.T) {
	s := newSite(t)
	for _, id := range []string{"a/b", "a b", "ü", "a%2Fb", "..", "a?b#c"} {
		_, err := s.ops.Create(t.Context(), command.Operation{ID: id, Name: "n", State: command.Accepted, Subject: "ann", Tenant: "acme", Sent: true})
		require.NoError(t, err)
		escaped := strings.NewReplacer("%", "%25", "/", "%2F", " ", "%20", "ü", "%C3%BC", "?", "%3F", "#", "%23").Replace(id)
		a := s.ask(http.MethodGet, "/operations/"+escaped, "")
		require.Equal(t, http.StatusOK, a.StatusCode, id)
		v := s.operation(a)
		require.Equal(t, id, v["id"])
		links, _ := v["links"].(map[string]any)
		require.Equal(t, "/operations/"+escaped, links["self"])
	}
}
