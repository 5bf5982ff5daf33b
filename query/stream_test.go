package query_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/query"
)

// spot is where a test streams from: a server, with a Bus and a desk.
type spot struct {
	t    *testing.T
	s    *desk
	b    *bus.Bus
	url  string
	mu   sync.Mutex
	told []error
}

// of makes the query of a request.
func itemOf(r *http.Request) (priceOf, error) {
	switch item := r.URL.Query().Get("item"); item {
	case "":
		return priceOf{}, errors.New("secret: " + r.URL.RawQuery)
	case "hidden":
		return priceOf{}, event.NewError("forbidden", "not for you")
	case "odd":
		return priceOf{}, fmt.Errorf("secret: %w", event.NewError("odd", "secret"))
	default:
		return priceOf{item}, nil
	}
}

func newPlace(t *testing.T, cfg query.StreamConfig) *spot {
	t.Helper()
	p := &spot{t: t, s: newDesk()}
	p.b = p.s.open(t, memory.New(memory.Encode()))
	cfg.OnError = func(_ *http.Request, err error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.told = append(p.told, err)
	}
	server := httptest.NewUnstartedServer(query.Stream[price](p.b, itemOf, cfg))
	server.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetWriteBuffer(4 << 10)
		}
		return ctx
	}
	server.Start()
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func (p *spot) errors() []error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.told
}

// change sets a price and tells.
func (p *spot) change(item string, cents int) {
	p.t.Helper()
	p.s.set(item, cents)
	require.NoError(p.t, query.Changed(p.t.Context(), p.b, priceOf{item}))
}

// listener is a client of a stream.
type listener struct {
	*http.Response

	lines *bufio.Scanner
}

func (p *spot) do(method, path string, header ...string) *listener {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, http.NoBody)
	require.NoError(p.t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(p.t, err)
	p.t.Cleanup(func() { _ = resp.Body.Close() })
	return &listener{resp, bufio.NewScanner(resp.Body)}
}

// next returns the fields of the next event, without heartbeats; nil: the stream has ended.
func (l *listener) next() map[string]string {
	fields := make(map[string]string)
	for l.lines.Scan() {
		name, value, _ := strings.Cut(l.lines.Text(), ": ")
		if name != "" && name != ":" {
			fields[name] = value
		} else if len(fields) > 0 {
			return fields
		}
	}
	return nil
}

// problem returns status and code of an answer that is one.
func (l *listener) problem(t *testing.T) string {
	t.Helper()
	require.Equal(t, "application/problem+json", l.Header.Get("Content-Type"))
	body, err := io.ReadAll(l.Body)
	require.NoError(t, err)
	require.NotContains(t, string(body), "secret")
	var p struct {
		Status int
		Code   string
	}
	require.NoError(t, json.Unmarshal(body, &p))
	require.Equal(t, l.StatusCode, p.Status)
	return fmt.Sprint(p.Status, " ", p.Code, " ", l.Header.Get("Retry-After"))
}

// The answer comes, and each other one; who comes again with its id gets what it doesn't have.
func TestStream(t *testing.T) {
	p := newPlace(t, query.StreamConfig{Event: "price", Reconnect: 3 * time.Second})
	l := p.do(http.MethodGet, "?item=tea")
	require.Equal(t, http.StatusOK, l.StatusCode)
	for name, value := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff",
		"X-Accel-Buffering": "no", "Access-Control-Allow-Origin": "",
	} {
		require.Equal(t, value, l.Header.Get(name), name)
	}
	require.Equal(t, map[string]string{"retry": "3000"}, l.next())
	first := l.next()
	require.Equal(t, "price", first["event"])
	require.Equal(t, `{"Cents":0}`, first["data"])
	require.Len(t, first["id"], 16)
	p.change("tea", 0)
	p.change("tea", 5)
	second := l.next()
	require.Equal(t, `{"Cents":5}`, second["data"])
	require.NotEqual(t, first["id"], second["id"])

	for _, again := range []*listener{
		p.do(http.MethodGet, "?item=tea", "Last-Event-ID", second["id"]),
		p.do(http.MethodGet, "?item=tea&lastEventId="+second["id"]),
	} {
		again.next()
		p.change("tea", 6)
		require.Equal(t, `{"Cents":6}`, again.next()["data"], "and not what it has")
		p.change("tea", 5)
		require.Equal(t, second, again.next(), "the same answer has the same id")
	}
	old := p.do(http.MethodGet, "?item=tea", "Last-Event-ID", first["id"])
	old.next()
	require.Equal(t, second, old.next())
}

// What isn't a stream is a problem, which quotes nothing.
func TestStreamRefuses(t *testing.T) {
	p := newPlace(t, query.StreamConfig{})
	post := p.do(http.MethodPost, "?item=tea")
	require.Equal(t, "GET, HEAD", post.Header.Get("Allow"))
	require.Equal(t, "405 method_not_allowed ", post.problem(t))
	head := p.do(http.MethodHead, "?item=tea")
	require.Equal(t, http.StatusOK, head.StatusCode)
	require.Equal(t, "text/event-stream", head.Header.Get("Content-Type"))
	require.Equal(t, "private, no-store", head.Header.Get("Cache-Control"))
	require.Equal(t, http.StatusForbidden, p.do(http.MethodHead, "?item=hidden").StatusCode)
	require.Zero(t, p.s.asks("tea"))
	require.Equal(t, "400 bad_request ", p.do(http.MethodGet, "").problem(t))
	require.Equal(t, "403 forbidden ", p.do(http.MethodGet, "?item=hidden").problem(t))
	require.Equal(t, "400 bad_request ", p.do(http.MethodGet, "?item=odd").problem(t))
	require.Empty(t, p.errors())
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("secret"), "503 unavailable 2"},
		{event.NewError("sold_out", "it is gone"), "422 sold_out "},
		{fmt.Errorf("secret: %w", event.NewError("not_found", "there is none")), "404 not_found "},
		{query.ErrFailed, "500 failed "},
		{query.ErrTimedOut, "504 timed_out "},
		{event.NewError("unavailable", ""), "503 unavailable 1"},
	} {
		p.s.fail(c.err)
		require.Equal(t, c.want, p.do(http.MethodGet, "?item=tea").problem(t))
	}
	require.Len(t, p.errors(), 1)
	p = newPlace(t, query.StreamConfig{Status: func(code string) int { return map[string]int{"odd": 418}[code] }})
	require.Equal(t, "400 bad_request ", p.do(http.MethodGet, "?item=hidden").problem(t))
	require.Equal(t, http.StatusTeapot, p.do(http.MethodGet, "?item=odd").StatusCode)
	require.NoError(t, p.b.Shutdown(t.Context()))
	require.Equal(t, "503 unavailable 2", p.do(http.MethodGet, "?item=tea").problem(t))
	require.Panics(t, func() { query.Stream[price, priceOf](p.b, nil, query.StreamConfig{}) })
}

// An error in the middle is an event with its code, once; then the answer comes, also to
// who comes again meanwhile.
func TestStreamErrors(t *testing.T) {
	p := newPlace(t, query.StreamConfig{Refresh: time.Millisecond})
	l := p.do(http.MethodGet, "?item=tea")
	l.next()
	first := l.next()
	p.s.fail(errors.New("secret"))
	problem := map[string]string{"event": "problem", "id": "problem", "data": `{"code":"unavailable"}`}
	require.Equal(t, problem, l.next())
	n := p.s.asks("tea")
	require.Eventually(t, func() bool { return p.s.asks("tea") > n+10 }, time.Minute, time.Millisecond)
	p.s.fail(event.NewError("sold_out", "secret"))
	require.JSONEq(t, `{"code":"sold_out"}`, l.next()["data"])
	p.s.fail(nil)
	require.Equal(t, first, l.next())
	again := p.do(http.MethodGet, "?item=tea", "Last-Event-ID", "problem")
	again.next()
	require.Equal(t, first, again.next())
	require.Len(t, p.errors(), 1)
}

// There is a bound of streams, and of those of an owner; who leaves makes room.
func TestStreamLimits(t *testing.T) {
	p := newPlace(t, query.StreamConfig{
		Streams: 3, StreamsPerOwner: 2, Owner: func(r *http.Request) string { return r.Header.Get("X-User") },
	})
	var open []*listener
	for _, user := range []string{"ann", "ann", "bob"} {
		l := p.do(http.MethodGet, "?item=tea", "X-User", user)
		require.Equal(t, http.StatusOK, l.StatusCode)
		open = append(open, l)
	}
	require.Equal(t, "429 too_many_streams 2", p.do(http.MethodGet, "?item=tea", "X-User", "ann").problem(t))
	require.Equal(t, "503 unavailable 2", p.do(http.MethodGet, "?item=tea", "X-User", "bob").problem(t))
	require.NoError(t, open[0].Body.Close())
	require.Eventually(t, func() bool {
		l := p.do(http.MethodGet, "?item=tea", "X-User", "ann")
		return l.StatusCode == http.StatusOK
	}, time.Minute, time.Millisecond)
}

// Two hundred streams of one query: each change is asked for once, and all get it.
func TestStreamMany(t *testing.T) {
	p := newPlace(t, query.StreamConfig{})
	var all []*listener
	for range 200 {
		l := p.do(http.MethodGet, "?item=tea")
		l.next()
		require.Equal(t, `{"Cents":0}`, l.next()["data"])
		all = append(all, l)
	}
	require.Equal(t, 1, p.s.asks("tea"))
	p.change("tea", 1)
	for _, l := range all {
		require.Equal(t, `{"Cents":1}`, l.next()["data"])
	}
	require.Equal(t, 2, p.s.asks("tea"))
	require.NoError(t, p.b.Shutdown(t.Context()))
	for _, l := range all {
		require.Nil(t, l.next(), "the Bus is shut down")
	}
}

// large is an answer that fills buffers.
type large struct{ Text string }

// Who doesn't read is dropped; nothing is kept for it.
func TestStreamSlowReader(t *testing.T) {
	s := newDesk()
	b := bus.New(bus.Config{Channel: memory.New()})
	query.Handle(b, func(ctx context.Context, q priceOf) (large, error) {
		p, err := s.answer(ctx, q)
		return large{fmt.Sprint(p.Cents, strings.Repeat("x", 256<<10))}, err
	})
	require.NoError(t, b.Start(t.Context()))
	defer func() { require.NoError(t, b.Shutdown(context.Background())) }()
	h := query.Stream[large](b, itemOf, query.StreamConfig{WriteTimeout: 200 * time.Millisecond, Streams: 1})
	ended := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		ended <- struct{}{}
	}))
	defer server.Close()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.(*net.TCPConn).SetReadBuffer(4<<10))
	_, err = io.WriteString(c, "GET /?item=tea HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	deadline := time.After(time.Minute)
	for n := 1; ; n++ {
		s.set("tea", n)
		require.NoError(t, query.Changed(t.Context(), b, priceOf{"tea"}))
		select {
		case <-ended:
			return
		case <-deadline:
			t.Fatal("it is still there")
		case <-time.After(time.Millisecond):
		}
	}
}

// page is a ResponseWriter without a network.
type page struct {
	header http.Header
	mu     sync.Mutex
	text   strings.Builder
}

func newPage() *page { return &page{header: make(http.Header)} }

func (p *page) Header() http.Header              { return p.header }
func (p *page) WriteHeader(int)                  {}
func (p *page) FlushError() error                { return nil }
func (p *page) SetWriteDeadline(time.Time) error { return nil }

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *page) take() string {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.text.String()
	p.text.Reset()
	return s
}

// In virtual time: a sign of life after 15 seconds of silence, whatever is asked meanwhile, and
// the end after MaxAge.
func TestStreamTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDesk()
		b := s.open(t, memory.New(memory.Encode()))
		h := query.Stream[price](b, itemOf, query.StreamConfig{MaxAge: 100 * time.Second, Refresh: 7 * time.Second})
		p := newPage()
		done := make(chan struct{})
		began := time.Now()
		go func() {
			defer close(done)
			h.ServeHTTP(p, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?item=tea", http.NoBody))
		}()
		require.True(t, strings.HasPrefix(p.take(), "retry: 2000\n\nid: "))
		time.Sleep(14 * time.Second) // virtual
		s.set("tea", 1)
		require.NoError(t, query.Changed(t.Context(), b, priceOf{"tea"}))
		require.Contains(t, p.take(), "event: answer\ndata: {\"Cents\":1}\n\n")
		time.Sleep(14 * time.Second) // virtual
		require.Empty(t, p.take(), "an event is a sign of life")
		time.Sleep(time.Second) // virtual
		require.Equal(t, ":\n\n", p.take())
		time.Sleep(45 * time.Second) // virtual
		require.Equal(t, ":\n\n:\n\n:\n\n", p.take())
		<-done
		require.Equal(t, 100*time.Second, time.Since(began))
		n := s.asks("tea")
		require.GreaterOrEqual(t, n, 14, "every seven seconds")
		require.NoError(t, query.Changed(t.Context(), b, priceOf{"tea"}))
		synctest.Wait()
		require.Equal(t, n, s.asks("tea"), "nobody watches any more")
	})
}

// A writer that takes no deadline could be held for ever: that is said at once.
func TestStreamNeedsDeadlines(t *testing.T) {
	s := newDesk()
	b := s.open(t, memory.New())
	told := 0
	h := query.Stream[price](b, itemOf, query.StreamConfig{OnError: func(*http.Request, error) { told++ }})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?item=tea", http.NoBody))
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.Contains(t, w.Body.String(), "no_streams")
	require.Equal(t, 1, told)
}

// loud is a codec that isn't JSON.
type loud struct{}

func (loud) ContentType() string { return "text/x-loud" }
func (loud) Encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	return append([]byte("!"), b...), err
}
func (loud) Decode(data []byte, v any) error { return json.Unmarshal(data[1:], v) }

// The data is JSON whatever the codec of the Bus is.
func TestStreamOtherCodec(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bus.New(bus.Config{Channel: memory.New(), Codecs: []event.Codec{loud{}}})
		s := newDesk()
		query.Handle(b, s.answer)
		query.ChangedBy(b, func(e priceSet) []priceOf { return []priceOf{{e.Item}} })
		require.NoError(t, b.Start(t.Context()))
		p := newPage()
		ctx, cancel := context.WithCancel(t.Context())
		go query.Stream[price](b, itemOf, query.StreamConfig{}).ServeHTTP(p,
			httptest.NewRequestWithContext(ctx, http.MethodGet, "/?item=tea", http.NoBody))
		require.Contains(t, p.take(), "\ndata: {\"Cents\":0}\n\n")
		s.set("tea", 1)
		require.NoError(t, b.Publish(t.Context(), priceSet{"tea"}))
		require.Contains(t, p.take(), "\ndata: {\"Cents\":1}\n\n")
		s.set("tea", 2)
		require.NoError(t, query.Changed(t.Context(), b, priceOf{"tea"}))
		require.Contains(t, p.take(), "\ndata: {\"Cents\":2}\n\n")
		cancel()
		require.NoError(t, b.Shutdown(t.Context()))
	})
}
