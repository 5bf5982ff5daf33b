package command_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/payload"
)

// A body has to be the command, once and whole. What is wrong is told by its place.
func TestGatewayBodies(t *testing.T) {
	s := newSite(t)
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, c := range []struct{ body, code, detail string }{
		{" ", "bad_body", "empty"},
		{"null", "bad_body", "null"},
		{"[]", "bad_body", "isn't what the command takes"},
		{`"secret"`, "bad_body", "isn't what the command takes"},
		{"7", "bad_body", "isn't what the command takes"},
		{"{", "bad_body", "byte 1"},
		{`{"item":`, "bad_body", "byte 8"},
		{`{"item" "secret"}`, "bad_body", "byte"},
		{`{item:1}`, "bad_body", "byte 1"},
		{`{"item":"secret"}}`, "bad_body", "byte 17"},
		{`{"item":"secret"} {}`, "bad_body", "byte 17"},
		{`{"item":"secret"} x`, "bad_body", "byte 17"},
		{"{\"item\":\"\xff\"}", "bad_body", "UTF-8"},
		{"{\"item\":\"\n\"}", "bad_body", "byte"},
		{"\uFEFF{}", "bad_body", "byte"},
		{`{"secret":1}`, "unknown_field", "byte 9"},
		{`{"item":"a","self":{"self":{"secret":1}}}`, "unknown_field", "byte"},
		{`{"parts":[{"name":"a"},{"secret":1}]}`, "unknown_field", "byte 32"},
		{`{"item":"a","item":"secret"}`, "repeated_field", "byte 18"},
		{`{"item":"a","ITEM":"secret"}`, "repeated_field", "byte 18"},
		{`{"item":"a","\u0069tem":"secret"}`, "repeated_field", "byte"},
		{`{"parts":[{"name":"a","Name":"b"}]}`, "repeated_field", "byte"},
		{`{"labels":{"secret":"1","secret":"2"}}`, "repeated_field", "byte"},
		{`{"any":{"x":{"secret":"1","secret":"2"}}}`, "repeated_field", "byte"},
		{`{"count":"secret"}`, "bad_field", "count"},
		{`{"count":300}`, "bad_field", "count"},
		{`{"count":1.5}`, "bad_field", "count"},
		{`{"count":1e999}`, "bad_field", "count"},
		{`{"parts":[{"name":7}]}`, "bad_field", "the field parts."},
		{`{"until":"secret"}`, "bad_body", "isn't what the command takes"},
		{`{"any":` + deep(64) + `}`, "bad_body", "too deep"},
		{`{"any":` + deep(100_000) + `}`, "bad_body", "too deep"},
	} {
		a := s.ask(http.MethodPost, "/commands/reserve", c.body)
		require.Equal(t, c.code, s.problem(a, http.StatusBadRequest), c.body[:min(len(c.body), 50)])
		require.Contains(t, a.text, c.detail, c.body[:min(len(c.body), 50)])
		require.NotContains(t, a.text, "300")
	}
	for _, body := range []string{
		`{}`, " \n{ } \t", `{"item":null}`, `{"Base":"b"}`, `{"base":"b"}`, `{"item":"\ud83d\ude00"}`,
		`{"labels":{"a":"1","A":"2"}}`, `{"any":{"a":1,"A":2}}`, `{"any":` + deep(63) + `}`,
		`{"until":"2026-01-02T03:04:05Z","self":{"item":"x","parts":[{"NAME":"y"},null]}}`,
	} {
		a := s.ask(http.MethodPost, "/commands/reserve", body, "Prefer: wait=20")
		require.Equal(t, http.StatusNoContent, a.StatusCode, "%s: %s", body, a.text)
	}
}

// What isn't a request of the gateway is refused with what it would take.
func TestGatewayRefuses(t *testing.T) {
	s := newSite(t)
	at := s.send(`{"Item":"tea"}`)
	post, get := http.MethodPost, http.MethodGet
	for _, c := range []struct {
		method, path, body string
		headers            []string
		status             int
		code               string
		header             string // that the answer has
	}{
		{get, "/", "", nil, 404, "not_found", ""},
		{get, "/operations", "", nil, 404, "not_found", ""},
		{get, "/operations/", "", nil, 404, "not_found", ""},
		{get, at + "/", "", nil, 404, "not_found", ""},
		{get, at + "/x", "", nil, 404, "not_found", ""},
		{get, at + "/events/x", "", nil, 404, "not_found", ""},
		{post, "/commands/place-order/x", "{}", nil, 404, "not_found", ""},
		{get, "/x" + at, "", nil, 404, "not_found", ""},
		{post, "/commands/no-such", "{}", nil, 404, "unknown_command", ""},
		{post, "/commands/hidden", "{}", nil, 404, "unknown_command", ""},
		{post, "/commands/" + strings.Repeat("x", 5000), "{}", nil, 404, "unknown_command", ""},
		{get, "/commands/place-order", "", nil, 405, "method_not_allowed", "Allow: POST"},
		{http.MethodOptions, "/commands/place-order", "", []string{"Origin: https://evil.example"}, 405, "method_not_allowed", "Allow: POST"},
		{http.MethodPut, at, "{}", nil, 405, "method_not_allowed", "Allow: DELETE, GET, HEAD"},
		{post, at + "/result", "{}", nil, 405, "method_not_allowed", "Allow: GET, HEAD"},
		{post, at + "/events", "{}", nil, 405, "method_not_allowed", "Allow: GET"},
		{post, "/commands/place-order", "{}", []string{"Content-Type: text/plain"}, 415, "unsupported_media_type", "Accept-Post: application/json"},
		{post, "/commands/place-order", "{}", []string{"Content-Type: application/json; charset=latin1"}, 415, "unsupported_media_type", ""},
		{post, "/commands/place-order", "{}", []string{"Content-Type: "}, 415, "unsupported_media_type", ""},
		{post, "/commands/place-order", "{}", []string{"Content-Encoding: gzip"}, 415, "unsupported_media_type", ""},
		{post, "/commands/place-order", "{}", []string{"X-User: "}, 401, "unauthenticated", "WWW-Authenticate: Bearer"},
		{post, "/commands/place-order", "{}", []string{"X-User: late"}, 401, "unauthenticated", "WWW-Authenticate: Bearer"},
		{post, "/commands/place-order", "{}", []string{"X-User: mallory"}, 403, "forbidden", ""},
		{post, "/commands/no-such", "{}", []string{"X-User: mallory"}, 403, "forbidden", ""},
		{post, "/commands/place-order", "{}", []string{"X-User: broken"}, 403, "forbidden", ""},
		{post, "/commands/place-order", "{}", []string{"X-User: nobody"}, 403, "forbidden", ""},
		{post, "/commands/place-order", "{}", []string{"X-User: " + strings.Repeat("x", 513)}, 403, "forbidden", ""},
		{post, "/commands/place-order", "{}", []string{"X-User: ann\u0085@a"}, 403, "forbidden", ""},
		{get, at, "", []string{"X-User: mallory"}, 403, "forbidden", ""},
		{get, at + "/result", "", []string{"X-User: "}, 401, "unauthenticated", ""},
		{get, at + "/events", "", []string{"X-User: mallory"}, 403, "forbidden", ""},
		{http.MethodDelete, at, "", []string{"X-User: mallory"}, 403, "forbidden", ""},
		{post, "/commands/orphan", "{}", nil, 503, "unavailable", "Retry-After: 1"},
	} {
		a := s.ask(c.method, c.path, c.body, c.headers...)
		require.Equal(t, c.code, s.problem(a, c.status), c)
		if name, value, ok := strings.Cut(c.header, ": "); ok {
			require.Equal(t, value, a.Header.Get(name), c)
		}
		for name := range a.Header {
			require.False(t, strings.HasPrefix(name, "Access-Control-"), "other sites see nothing")
		}
	}
	a := s.ask(post, "/commands/place-order", "{}", "Content-Type: Application/JSON; charset=UTF-8")
	require.Equal(t, http.StatusAccepted, a.StatusCode)
}

func TestGatewayKeySyntax(t *testing.T) {
	s := newSite(t)
	for i, key := range []string{
		`""`, `"a`, `"a"b`, `"a";p=1`, `"a\b"`, `"a\"`, `a b`, `a"b`, `a, b`, "\u00e9", "\"\u00e9\"",
		strings.Repeat("x", 256), `"` + strings.Repeat("x", 256) + `"`,
	} {
		a := s.ask(http.MethodPost, "/commands/place-order", fmt.Sprintf(`{"Count":%d}`, i), "Idempotency-Key: "+key)
		require.Equal(t, "bad_key", s.problem(a, http.StatusBadRequest), key)
	}
	a := s.ask(http.MethodPost, "/commands/place-order", "{}", "Idempotency-Key: a", "Idempotency-Key: a")
	require.Equal(t, "bad_key", s.problem(a, http.StatusBadRequest))
	for i, key := range []string{`"a b"`, `"a\"b\\"`, `8e03978e-40d5-43dd-bc93-6894a57f9324`, strings.Repeat("x", 255), `"` + strings.Repeat("y", 255) + `"`} {
		s.send(fmt.Sprintf(`{"Count":%d}`, i), "Idempotency-Key: "+key)
	}
}

// Of what is somebody else's nobody learns anything: every answer is that to an id that never
// was, byte by byte.
func TestGatewayOthers(t *testing.T) {
	s := newSite(t)
	at := s.send(`{"Item":"tea"}`)
	s.final(at)
	plain := func(a answer) string {
		a.Header.Del("Date")
		var b bytes.Buffer
		fmt.Fprintln(&b, a.StatusCode)
		require.NoError(t, a.Header.Write(&b))
		return b.String() + a.text
	}
	for _, who := range []string{"bob@acme", "ann@other", "ann", "acme@ann"} {
		for _, c := range []struct{ method, suffix string }{
			{http.MethodGet, ""},
			{http.MethodDelete, ""},
			{http.MethodGet, "/result"},
			{http.MethodGet, "/events"},
		} {
			never := plain(s.ask(c.method, "/operations/never-was"+c.suffix, "", "X-User: "+who))
			require.True(t, strings.HasPrefix(never, "404\n"), never)
			for _, id := range []string{idOf(at), "a%2Fb"} {
				got := plain(s.ask(c.method, "/operations/"+id+c.suffix, "", "X-User: "+who))
				require.Equal(t, never, got, "%s %s %s", who, c.method, id)
			}
			asked := s.ops.got.Load()
			for _, id := range []string{"%00", "%0a", "%ff", strings.Repeat("x", 257)} {
				got := plain(s.ask(c.method, "/operations/"+id+c.suffix, "", "X-User: "+who))
				require.Equal(t, never, got, "%s %s %s", who, c.method, id)
			}
			require.Equal(t, asked, s.ops.got.Load(), "no store is asked for what can't be an id")
		}
	}
	require.Equal(t, http.StatusSeeOther, s.ask(http.MethodGet, at, "").StatusCode)
	o, err := s.ops.Get(t.Context(), idOf(at))
	require.NoError(t, err)
	require.Equal(t, command.Succeeded, o.State)
}

// What is kept no longer is gone, for who had it. For others it never was.
func TestGatewayGone(t *testing.T) {
	s := prepareSite(t, command.NewMemory(command.MemoryConfig{Keep: 200 * time.Millisecond}))
	s.start()
	for _, key := range []string{"", "Idempotency-Key: k"} {
		var headers []string
		if key != "" {
			headers = append(headers, key)
		}
		at := s.send(`{"Item":"tea"}`, headers...)
		require.Eventually(t, func() bool { return s.ask(http.MethodGet, at, "").StatusCode == http.StatusGone }, time.Minute, time.Millisecond)
		if key != "" {
			a := s.ask(http.MethodPost, "/commands/place-order", `{"Item":"tea"}`, key)
			require.Equal(t, "gone", s.problem(a, http.StatusGone), "it isn't sent again")
		}
		require.Equal(t, "not_found", s.problem(s.ask(http.MethodGet, at, "", "X-User: bob@acme"), http.StatusNotFound))
		require.Equal(t, "not_found", s.problem(s.ask(http.MethodGet, at, "", "X-User: ann"), http.StatusNotFound))
	}
}

// What can't be done now can be tried again later, and why is for operators.
func TestGatewayUnavailable(t *testing.T) {
	s := prepareSite(t, command.NewMemory(command.MemoryConfig{}), func(cfg *command.GatewayConfig) {
		cfg.SendTimeout = 50 * time.Millisecond
	})
	early := httptest.NewServer(s.handler)
	s.url = early.URL
	refused := func(why error) {
		t.Helper()
		a := s.ask(http.MethodPost, "/commands/place-order", `{"Item":"secret"}`)
		require.Equal(t, "unavailable", s.problem(a, http.StatusServiceUnavailable))
		require.Equal(t, "1", a.Header.Get("Retry-After"))
		s.mu.Lock()
		defer s.mu.Unlock()
		require.NotEmpty(t, s.told)
		require.ErrorIs(t, s.told[len(s.told)-1], why)
	}
	refused(bus.ErrNotStarted)
	early.Close()
	s.start()

	s.ops.down.Store(true)
	refused(errDown)
	for _, path := range []string{"", "/result", "/events"} {
		a := s.ask(http.MethodGet, "/operations/x"+path, "")
		require.Equal(t, "unavailable", s.problem(a, http.StatusServiceUnavailable))
	}
	require.Equal(t, "unavailable", s.problem(s.ask(http.MethodDelete, "/operations/x", ""), http.StatusServiceUnavailable))
	s.ops.down.Store(false)
	s.ops.full.Store(true)
	refused(command.ErrFull)
	s.ops.full.Store(false)
	s.ch.set(func(context.Context) error { return event.ErrFull })
	refused(event.ErrFull)
	s.ch.set(func(ctx context.Context) error {
		<-ctx.Done()
		return &event.FullError{Topic: "secret", Err: ctx.Err()}
	})
	refused(context.DeadlineExceeded)
	s.ch.set(func(context.Context) error {
		return &event.ProduceError{Failed: []event.ProduceFailure{{Err: event.ErrTooLarge}}}
	})
	a := s.ask(http.MethodPost, "/commands/place-order", `{}`)
	require.Equal(t, "too_large", s.problem(a, http.StatusRequestEntityTooLarge))
	s.ch.set(nil)
	require.NoError(t, s.b.Shutdown(t.Context()))
	refused(event.ErrClosed)
}

// A body that doesn't come in time is given up.
func TestGatewaySlowBody(t *testing.T) {
	s := newSite(t, func(cfg *command.GatewayConfig) { cfg.SendTimeout = 100 * time.Millisecond })
	c, err := net.Dial("tcp", s.server.Listener.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Write([]byte("POST /commands/place-order HTTP/1.1\r\nHost: x\r\nX-User: ann\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"))
	require.NoError(t, err)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
	buf := make([]byte, 64)
	n, err := c.Read(buf)
	require.NoError(t, err)
	require.Contains(t, string(buf[:n]), "400 Bad Request")
}

// A command whose values can't be in an event is refused, not tried again.
func TestGatewayInvalidCommand(t *testing.T) {
	b := bus.New(bus.Config{Channel: memory.New()})
	g := command.Gateway(b, command.GatewayConfig{Operations: command.NewMemory(command.MemoryConfig{}), Authorize: allow})
	command.Expose[keyed](b)
	command.Handle(b, func(context.Context, keyed) error { return nil })
	require.NoError(t, b.Start(t.Context()))
	defer func() { require.NoError(t, b.Shutdown(context.Background())) }()
	r := httptest.NewRequest(http.MethodPost, "/commands/keyed", strings.NewReader(`{"Key":"secret\u0000"}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-User", "ann")
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	require.Equal(t, http.StatusBadRequest, w.Code, w.Body)
	require.Contains(t, w.Body.String(), "invalid_command")
	require.NotContains(t, w.Body.String(), "secret")
}

type keyed struct{ Key string }

func (k keyed) EventKey() string { return k.Key }

// Without an authorizer nobody gets anything.
func TestGatewayNoAuthorizer(t *testing.T) {
	s := newSite(t, func(cfg *command.GatewayConfig) { cfg.Authorize = nil })
	for _, c := range [][2]string{{http.MethodPost, "/commands/place-order"}, {http.MethodGet, "/operations/x"}, {http.MethodDelete, "/operations/x"}, {http.MethodGet, "/operations/x/events"}} {
		require.Equal(t, "forbidden", s.problem(s.ask(c[0], c[1], ""), http.StatusForbidden))
	}
	require.Zero(t, s.runs.Load())
}

// An authorizer is asked once for each request, for what is about to be done.
func TestGatewayAccess(t *testing.T) {
	var asked []command.Access
	s := newSite(t, func(cfg *command.GatewayConfig) {
		cfg.Authorize = func(_ *http.Request, a command.Access) (command.Principal, error) {
			asked = append(asked, a)
			return command.Principal{Subject: "x"}, nil
		}
	})
	s.ask(http.MethodPost, "/commands/place-order", "{}")
	s.ask(http.MethodGet, "/operations/1", "")
	s.ask(http.MethodGet, "/operations/2/result", "")
	s.ask(http.MethodGet, "/operations/3/events", "")
	s.ask(http.MethodDelete, "/operations/4", "")
	require.Equal(t, []command.Access{
		{Action: command.ActionSend, Command: "place-order"},
		{Action: command.ActionWatch, Operation: "1"},
		{Action: command.ActionWatch, Operation: "2"},
		{Action: command.ActionWatch, Operation: "3"},
		{Action: command.ActionCancel, Operation: "4"},
	}, asked)
}

// Mistakes are reported by Start.
func TestGatewayMistakes(t *testing.T) {
	ops, other := command.NewMemory(command.MemoryConfig{}), command.NewMemory(command.MemoryConfig{})
	store := payload.NewMemory(payload.MemoryConfig{})
	for name, c := range map[string]struct {
		use  *command.Config
		cfg  command.GatewayConfig
		want string
	}{
		"its own":       {nil, command.GatewayConfig{Operations: ops, Payloads: store}, ""},
		"those of Use":  {&command.Config{Operations: ops}, command.GatewayConfig{}, ""},
		"the same":      {&command.Config{Operations: ops, Payloads: store}, command.GatewayConfig{Operations: ops, Payloads: store}, ""},
		"none":          {nil, command.GatewayConfig{}, "no store of operations"},
		"no operations": {&command.Config{Payloads: store}, command.GatewayConfig{}, "no store of operations"},
		"others":        {&command.Config{Operations: ops}, command.GatewayConfig{Operations: other}, "aren't those"},
		"other payload": {&command.Config{Operations: ops}, command.GatewayConfig{Payloads: store}, "aren't those"},
		"other sizes": {
			&command.Config{Operations: ops, Payloads: store},
			command.GatewayConfig{Payloads: store, Payload: payload.Config{Above: 1}},
			"aren't those",
		},
		"uncomparable": {&command.Config{Operations: flakies{}}, command.GatewayConfig{Operations: flakies{}}, "aren't those"},
		"base":         {nil, command.GatewayConfig{Operations: ops, Base: "api"}, "Base"},
		"base of root": {nil, command.GatewayConfig{Operations: ops, Base: "/"}, "Base"},
		"base of host": {nil, command.GatewayConfig{Operations: ops, Base: "//evil.example"}, "Base"},
		"base of line": {nil, command.GatewayConfig{Operations: ops, Base: "/a\r\nb"}, "Base"},
	} {
		b := bus.New(bus.Config{Channel: memory.New()})
		if c.use != nil {
			command.Use(b, *c.use)
		}
		g := command.Gateway(b, c.cfg)
		command.Expose[placeOrder](b)
		err := b.Start(t.Context())
		if c.want == "" {
			require.NoError(t, err, name)
			require.NoError(t, b.Shutdown(t.Context()), name)
			require.Panics(t, func() { command.Gateway(b, c.cfg) }, name)
			require.Panics(t, func() { command.Expose[placeOrder](b) }, name)
			continue
		}
		require.ErrorContains(t, err, c.want, name)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/operations/1", nil))
		require.GreaterOrEqual(t, w.Code, 400, name)
	}
	b := bus.New(bus.Config{Channel: memory.New()})
	command.Expose[func()](b)
	command.Expose[*placeOrder](b)
	err := b.Start(t.Context())
	require.ErrorContains(t, err, "Expose of func()")
	require.ErrorContains(t, err, "Expose of *command_test.placeOrder")
}

// flakies is a store that can't be compared.
type flakies struct {
	command.Operations

	_ []int
}
