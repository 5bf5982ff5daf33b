package command_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/command"
)

// details are what is said of a body: its place, and the names of the command's own fields.
var details = regexp.MustCompile(`^(the command is too large` +
	`|the body (is empty: it has to be JSON|isn't valid UTF-8|isn't what the command takes)` +
	`|(the body (isn't JSON|is null|goes on behind its value|is nested too deep|has a field twice|has a field that the command hasn't)` +
	`|the field [A-Za-z.]{1,200} has a value of another type), at byte \d+)$`)

// FuzzGatewayBody sends any body. One that is accepted is the JSON of a command; the answer to
// another says why and has nothing of it.
func FuzzGatewayBody(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, `[]`, `{"item":"a"}`, `{"item":"a","ITEM":"b"}`, `{"x":1}`, `{} {}`, `{"count":300}`, `{"self":{"self":{}}}`,
		`{"labels":{"a":"b"},"parts":[{"name":"c"}],"until":"2026-01-02T03:04:05Z"}`, "\xff", `{"any":[[[[1e999]]]]}`, `{"a":`, `}`, "\uFEFF{}",
		`{"item":"\ud800"}`, `{"any":{"a":1,"a":2}}`, `{"Base":"b","base":"c"}`, `{"ſelf":{},"self":{}}`,
	} {
		f.Add([]byte(seed))
	}
	b := bus.New(bus.Config{Channel: memory.New()})
	g := command.Gateway(b, command.GatewayConfig{
		Operations: command.NewMemory(command.MemoryConfig{Keep: time.Millisecond}),
		Authorize:  allow, MaxBody: 4 << 10,
	})
	command.Expose[reserve](b)
	command.Handle(b, func(context.Context, reserve) error { return nil })
	require.NoError(f, b.Start(f.Context()))
	f.Cleanup(func() { require.NoError(f, b.Shutdown(context.Background())) })
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/commands/reserve", bytes.NewReader(body))
		r.Header.Set("X-User", "ann")
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.DisallowUnknownFields()
		unfit := dec.Decode(new(reserve))
		if w.Code == http.StatusAccepted {
			require.True(t, json.Valid(body))
			require.NoError(t, unfit)
			return
		}
		if len(body) > 4<<10 {
			require.Equal(t, http.StatusRequestEntityTooLarge, w.Code)
		} else {
			require.Equal(t, http.StatusBadRequest, w.Code, w.Body)
		}
		var p struct{ Code, Detail string }
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
		if p.Code == "unknown_field" || p.Code == "bad_field" {
			require.Error(t, unfit)
		}
		require.Regexp(t, details, p.Detail)
	})
}
