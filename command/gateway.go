package command

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/internal/sse"
	"github.com/leat-go/leat/payload"
)

// GatewayConfig says how commands come in over HTTP. Only Authorize, and Operations where no
// [Use] has said them, are required.
type GatewayConfig struct {
	Operations Operations     // as in [Config]; nil: what Use has said
	Payloads   payload.Store  // as in [Config]
	Payload    payload.Config // as in [Config]

	Authorize Authorizer // nil: every request is refused
	Challenge string     // of an answer that asks who it is, its WWW-Authenticate; "": Bearer
	Base      string     // what http.StripPrefix takes off in front of the gateway: "/api"

	MaxBody     int64         // bytes of a command; 0: 1 MiB
	MaxWait     time.Duration // how long a request can wait for its outcome (Prefer: wait); 0: 30 s
	SendTimeout time.Duration // for the stores and the channel together; 0: 10 s

	Heartbeat         time.Duration // between two signs of life on a stream; 0: 15 s
	Reconnect         time.Duration // what a stream tells clients to wait before they come again; 0: 2 s
	WriteTimeout      time.Duration // how long a client may leave what is sent to it unread; 0: 10 s
	Streams           int           // at once, requests that wait among them; 0: 20,000
	StreamsPerSubject int           // the same for each subject; 0: 64

	// ProblemStatus returns the HTTP status, 400 to 599, for the code of a command that
	// failed, where a request gets its outcome. Any other number, and nil, mean 500 for
	// "failed" and 422 for the rest: answers of handlers, "expired", "cancelled".
	ProblemStatus func(code string) int

	// OnError is told what the client isn't: why a store, the channel, or the Authorizer
	// couldn't do its work. It may be called concurrently.
	OnError func(r *http.Request, err error)
}

const (
	defaultChallenge   = "Bearer"
	defaultMaxBody     = 1 << 20
	defaultMaxWait     = 30 * time.Second
	defaultSendTimeout = 10 * time.Second
	defaultHeartbeat   = 15 * time.Second
	defaultReconnect   = 2 * time.Second
	defaultWrite       = 10 * time.Second
	defaultStreams     = 20_000
	defaultPerSubject  = 64
)

func (cfg GatewayConfig) withDefaults() GatewayConfig {
	cfg.Challenge = cmp.Or(cfg.Challenge, defaultChallenge)
	cfg.MaxBody = positive(cfg.MaxBody, defaultMaxBody)
	cfg.MaxWait = positive(cfg.MaxWait, defaultMaxWait)
	cfg.SendTimeout = positive(cfg.SendTimeout, defaultSendTimeout)
	cfg.Heartbeat = positive(cfg.Heartbeat, defaultHeartbeat)
	cfg.Reconnect = positive(cfg.Reconnect, defaultReconnect)
	cfg.WriteTimeout = positive(cfg.WriteTimeout, defaultWrite)
	cfg.Streams = positive(cfg.Streams, defaultStreams)
	cfg.StreamsPerSubject = positive(cfg.StreamsPerSubject, defaultPerSubject)
	return cfg
}

func positive[N int | int64 | time.Duration](n, otherwise N) N {
	if n > 0 {
		return n
	}
	return otherwise
}

// Gateway lets commands come in over HTTP that were named by [Expose], and shows what became of
// them to who has sent them. It is made before Start; mistakes in the configuration are reported
// by Start. The section about the gateway in the package's documentation has the requests.
//
// Streams, and requests that wait, end with their request's context, and when the Bus is shut
// down. An http.Server waits for them in its Shutdown: let its BaseContext end first.
func Gateway(b *bus.Bus, cfg GatewayConfig) http.Handler {
	style := b.Style()
	style.MustBeNew("command.Gateway")
	life, end := context.WithCancel(context.Background())
	style.OnClose(func(context.Context) error { end(); return nil })
	g := &gateway{commands: of(b), cfg: cfg.withDefaults(), life: life}
	g.streams = sse.NewLimit[owner](g.cfg.Streams, g.cfg.StreamsPerSubject)
	g.setUp()
	return g
}

type gateway struct {
	*commands

	cfg     GatewayConfig
	life    context.Context //nolint:containedctx // of the Bus: what streams end with
	streams *sse.Limit[owner]
}

// setUp says what is kept, unless Use has, and what is wrong with that.
func (g *gateway) setUp() {
	if base := g.cfg.Base; base != "" && (!strings.HasPrefix(base, "/") || strings.HasSuffix(base, "/") || !plainPath(base)) {
		g.style.Mistake(errors.New("command: Gateway: Base is no path as /api"))
	}
	if g.cfg.Operations != nil && g.set(Config{Operations: g.cfg.Operations, Payloads: g.cfg.Payloads, Payload: g.cfg.Payload}) {
		return
	}
	used := g.used.Load()
	switch {
	case used == nil || used.Operations == nil:
		g.style.Mistake(errors.New("command: Gateway: there is no store of operations, here or in a Use before"))
	case g.cfg.Operations != nil && !same(g.cfg.Operations, used.Operations),
		g.cfg.Payloads != nil && !same(g.cfg.Payloads, used.Payloads),
		g.cfg.Payloads != nil && g.cfg.Payload != used.Payload:
		g.style.Mistake(errors.New("command: Gateway: its stores aren't those of the Use, or the Gateway, before"))
	}
}

// same reports whether two stores are one.
func same(a, b any) bool {
	return a != nil && b != nil && reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.ValueOf(a).Comparable() && a == b
}

// plainPath reports whether a path can stand in a header as it is.
func plainPath(p string) bool {
	u, err := url.Parse(p)
	return err == nil && u.Host == "" && u.EscapedPath() == p && u.RawQuery == "" && u.Fragment == ""
}

// ServeHTTP implements [http.Handler].
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := g.serve(w, r); err != nil {
		g.refusal(r, err).write(w)
	}
}

// serve answers a request, or returns why not.
func (g *gateway) serve(w http.ResponseWriter, r *http.Request) error {
	kind, name, view, ok := split(r.URL)
	switch {
	case !ok:
		return errNotFound
	case g.operations() == nil:
		return bus.ErrNotStarted // and never will be
	}
	switch kind + view {
	case "commands":
		return methods{http.MethodPost: g.post}.serve(w, r, name)
	case "operations":
		return methods{http.MethodGet: g.get, http.MethodHead: g.get, http.MethodDelete: g.cancel}.serve(w, r, name)
	case "operations/result":
		return methods{http.MethodGet: g.result, http.MethodHead: g.result}.serve(w, r, name)
	case "operations/events":
		return methods{http.MethodGet: g.events}.serve(w, r, name)
	}
	return errNotFound
}

// split takes a path apart: "/operations/42/events" into "operations", "42" and "/events". The
// name is as it was before it was escaped; it may have slashes.
func split(u *url.URL) (kind, name, view string, ok bool) {
	parts := strings.Split(u.EscapedPath(), "/")
	if len(parts) < 3 || len(parts) > 4 || parts[0] != "" {
		return "", "", "", false
	}
	name, err := url.PathUnescape(parts[2])
	if err != nil || name == "" {
		return "", "", "", false
	}
	if len(parts) == 4 {
		view = "/" + parts[3]
	}
	return parts[1], name, view, true
}

// methods are those that a resource has.
type methods map[string]func(w http.ResponseWriter, r *http.Request, name string) error

func (m methods) serve(w http.ResponseWriter, r *http.Request, name string) error {
	if serve := m[r.Method]; serve != nil {
		return serve(w, r, name)
	}
	allowed := make([]string, 0, len(m))
	for method := range m {
		allowed = append(allowed, method)
	}
	slices.Sort(allowed)
	return refusal{
		status: http.StatusMethodNotAllowed, code: "method_not_allowed", detail: "this resource has no such method",
		header: [2]string{"Allow", strings.Join(allowed, ", ")},
	}
}

// maxID bounds the ids that are looked for.
const maxID = 256

// isID reports whether a text can be the id of an operation.
func isID(s string) bool {
	return len(s) <= maxID && utf8.ValidString(s) && strings.IndexFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }) < 0
}

// path returns where an operation is.
func (g *gateway) path(id string) string { return g.cfg.Base + "/operations/" + url.PathEscape(id) }

// tell passes on an error that the client isn't told.
func (g *gateway) tell(r *http.Request, err error) {
	if g.cfg.OnError != nil {
		g.cfg.OnError(r, err)
	}
}

// bound returns a context for what a request asks of stores and channel.
func (g *gateway) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, g.cfg.SendTimeout)
}
