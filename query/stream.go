package query

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/internal/sse"
	"github.com/leat-go/leat/internal/webanswer"
)

// StreamConfig says how a [Stream] streams. The zero value is ready for use.
type StreamConfig struct {
	Event   string        // the name of the events; "": "answer"
	Refresh time.Duration // as the option [Refresh]

	Heartbeat    time.Duration // without an event, until a sign of life; 0: 15 seconds
	Reconnect    time.Duration // what a client is told to wait before it comes again; 0: 2 seconds
	WriteTimeout time.Duration // how long a client may leave what is sent unread; 0: 10 seconds
	MaxAge       time.Duration // after which a stream ends, and who comes again is asked who it is; 0: an hour

	Streams         int                        // at a time; 0: 10,000
	Owner           func(*http.Request) string // whose stream it is; nil: nobody's, and only Streams counts
	StreamsPerOwner int                        // at a time; 0: 20

	Status  func(code string) int      // the HTTP status of an event.Error; 0: none of its own; nil: of common codes
	OnError func(*http.Request, error) // is told what clients aren't; nil: nobody is. It is called concurrently
}

// Stream returns a handler that streams the answer to a query as server-sent events: as it is
// now, and each time that it is another, as [Watch] does. request makes the query of a
// request, and is where it is decided who may see what: Stream asks nobody else. A nil request
// panics. The tenant is that of the request's context ([event.WithOrigin]). GET streams, HEAD
// tells that it would; there are no headers for other origins.
//
// The data of an event is the answer as JSON, its id a hash of that. Who comes again with the
// id of the answer as it is, in Last-Event-ID or ?lastEventId, isn't sent it again. Who is slow
// misses answers in between, never the last; nothing is queued. A stream ends with its request,
// with the Bus, after MaxAge, and when what is sent stays unread for WriteTimeout.
//
// Before the first event an error is a problem (RFC 9457) with a code for programs. What
// request returns is a 400 without a word of it, unless it is an [event.Error] with a Status. An error of the
// query has the Status of its code, or 422; one that is no event.Error is a 503, as are too many
// streams; too many of an Owner are a 429. Later errors are events named "problem" with
// the code alone, as {"code":"failed"}, one until something else happens.
//
// A stream is the goroutine of its request and no other. Middlewares around the handler have to
// let [net/http.ResponseController] through.
func Stream[R, Q any](b *bus.Bus, request func(*http.Request) (Q, error), cfg StreamConfig) http.Handler {
	if request == nil {
		panic("query: Stream: nil request: it says who may see what")
	}
	cfg.Event = cmp.Or(cfg.Event, "answer")
	cfg.Heartbeat = orDefault(cfg.Heartbeat, 15*time.Second)
	cfg.Reconnect = orDefault(cfg.Reconnect, 2*time.Second)
	cfg.WriteTimeout = orDefault(cfg.WriteTimeout, 10*time.Second)
	cfg.MaxAge = orDefault(cfg.MaxAge, time.Hour)
	cfg.Streams = orDefault(cfg.Streams, 10_000)
	cfg.StreamsPerOwner = orDefault(cfg.StreamsPerOwner, 20)
	if cfg.Owner == nil {
		cfg.StreamsPerOwner = cfg.Streams
		cfg.Owner = func(*http.Request) string { return "" }
	}
	if cfg.Status == nil {
		cfg.Status = statusOf
	}
	return &streams[R, Q]{b: b, request: request, cfg: cfg, limit: sse.NewLimit[string](cfg.Streams, cfg.StreamsPerOwner)}
}

func orDefault[N int | time.Duration](n, otherwise N) N {
	if n <= 0 {
		return otherwise
	}
	return n
}

// streams is the handler.
type streams[R, Q any] struct {
	b       *bus.Bus
	request func(*http.Request) (Q, error)
	cfg     StreamConfig
	limit   *sse.Limit[string]
}

// ServeHTTP implements [http.Handler].
func (ss *streams[R, Q]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		webanswer.Problem{Status: http.StatusMethodNotAllowed, Code: "method_not_allowed"}.Write(w)
		return
	}
	if p := ss.serve(w, r); p.Status != 0 {
		p.Write(w)
	}
}

// serve streams, or returns what is said instead. A problem without a status is none.
func (ss *streams[R, Q]) serve(w http.ResponseWriter, r *http.Request) webanswer.Problem {
	q, err := ss.request(r)
	if err != nil {
		return ss.refused(err)
	}
	if r.Method == http.MethodHead {
		webanswer.Header(w)
		sse.Header(w)
		return webanswer.Problem{}
	}
	owner := ss.cfg.Owner(r)
	switch ss.limit.Enter(owner) {
	case sse.Own:
		return webanswer.Problem{Status: http.StatusTooManyRequests, Code: "too_many_streams", After: ss.cfg.Reconnect}
	case sse.Total:
		return ss.unavailable()
	case sse.Free:
	}
	defer ss.limit.Leave(owner)
	ctx, cancel := context.WithTimeout(r.Context(), ss.cfg.MaxAge)
	defer cancel()
	watcher, err := watch[R](ctx, ss.b, q, watching{refresh: ss.cfg.Refresh})
	if err != nil {
		return ss.failed(r, err)
	}
	defer watcher.leave()
	first, err := watcher.wait(ctx, nil)
	if err == nil {
		err = first.err
	}
	if err != nil {
		return ss.failed(r, err)
	}
	webanswer.Header(w)
	wire, err := sse.Begin(w, ss.cfg.WriteTimeout)
	if err != nil {
		ss.tell(r, err)
		return webanswer.Problem{Status: http.StatusInternalServerError, Code: "no_streams", Detail: "streams aren't possible here"}
	}
	s := &stream[R]{cfg: &ss.cfg, r: r, wire: wire, seen: lastID(r)}
	if !s.write(sse.Retry(ss.cfg.Reconnect)) || !s.show(first) {
		return webanswer.Problem{}
	}
	follow(ctx, watcher, s)
	return webanswer.Problem{}
}

// lastID returns the id of the event that a client had last.
func lastID(r *http.Request) string {
	return cmp.Or(r.Header.Get("Last-Event-ID"), r.URL.Query().Get("lastEventId"))
}

// follow sends what comes, until one of the two sides ends it.
func follow[R, Q any](ctx context.Context, w *watcher[R, Q], s *stream[R]) {
	beat := time.NewTimer(s.silence())
	defer beat.Stop()
	for {
		news, err := w.wait(ctx, beat.C)
		switch {
		case err != nil:
			return
		case news != nil && !s.show(news):
			return
		case s.silence() <= 0 && !s.write([]byte(sse.Heartbeat)):
			return
		}
		beat.Reset(s.silence())
	}
}
