package command_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/command"
)

// told is an event of a stream.
type told struct {
	id, name string
	view     struct {
		State    string
		Final    bool
		Progress *command.Stage
	}
}

// listener reads a stream.
type listener struct {
	t     *testing.T
	resp  *http.Response
	lines *bufio.Reader
	retry string
	beats int
}

func (s *site) listen(path string, headers ...string) *listener {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	s.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, http.NoBody)
	require.NoError(s.t, err)
	r.Header.Set("X-User", "ann@acme")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r) //nolint:bodyclose // who listens closes it
	require.NoError(s.t, err)
	return &listener{t: s.t, resp: resp, lines: bufio.NewReader(resp.Body)}
}

// next returns the next event, and false at the end.
func (l *listener) next() (told, bool) {
	l.t.Helper()
	var e told
	for {
		line, err := l.lines.ReadString('\n')
		if err != nil {
			require.ErrorIs(l.t, err, io.EOF)
			require.Empty(l.t, line)
			return e, false
		}
		line = strings.TrimSuffix(line, "\n")
		field, value, _ := strings.Cut(line, ": ")
		switch field {
		case "retry":
			l.retry = value
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			require.NoError(l.t, json.Unmarshal([]byte(value), &e.view))
		case ":":
			l.beats++
		case "":
			if e.id != "" {
				return e, true
			}
		default:
			require.Fail(l.t, "what is this?", line)
		}
	}
}

// rest returns what is left of a stream.
func (l *listener) rest() []told {
	l.t.Helper()
	var all []told
	for {
		e, ok := l.next()
		if !ok {
			require.NoError(l.t, l.resp.Body.Close())
			return all
		}
		all = append(all, e)
	}
}

// operate puts an operation of ann into the store, as of a command that runs.
func operate(t *testing.T, ops command.Operations, id string) {
	t.Helper()
	_, err := ops.Create(t.Context(), command.Operation{ID: id, Name: "n", State: command.Running, Subject: "ann", Tenant: "acme", Sent: true})
	require.NoError(t, err)
}

// turn changes an operation.
func turn(t *testing.T, ops command.Operations, id string, change func(*command.Operation)) {
	t.Helper()
	_, err := command.Change(context.WithoutCancel(t.Context()), ops, id, func(o *command.Operation) bool { change(o); return true })
	require.NoError(t, err)
}

func finish(o *command.Operation) { o.State = command.Succeeded }

func progress(n int) func(*command.Operation) {
	return func(o *command.Operation) { o.Progress = &command.Stage{Percent: n} }
}

// A stream begins with what is, has each change, and ends with the last.
func TestStream(t *testing.T) {
	s := newSite(t)
	operate(t, s.ops, "1")
	l := s.listen("/operations/1/events")
	h := l.resp.Header
	require.Equal(t, http.StatusOK, l.resp.StatusCode)
	require.Equal(t, "text/event-stream", h.Get("Content-Type"))
	require.Equal(t, "no", h.Get("X-Accel-Buffering"))
	require.Equal(t, "private, no-store", h.Get("Cache-Control"))
	e, ok := l.next()
	require.True(t, ok)
	require.Equal(t, "2000", l.retry)
	require.Equal(t, "1", e.id)
	require.Equal(t, "operation", e.name)
	require.Equal(t, "running", e.view.State)
	for i := range 5 {
		turn(t, s.ops, "1", progress(i))
		e, _ = l.next()
		require.Equal(t, fmt.Sprint(i+2), e.id)
		require.Equal(t, i, e.view.Progress.Percent)
	}
	turn(t, s.ops, "1", finish)
	rest := l.rest()
	require.Len(t, rest, 1)
	require.Equal(t, "7", rest[0].id)
	require.True(t, rest[0].view.Final)
}

// Who comes again gets what is missing; who has it all is told to stay away.
func TestStreamResume(t *testing.T) {
	s := newSite(t)
	operate(t, s.ops, "1")
	for i := range 9 {
		turn(t, s.ops, "1", progress(i))
	}
	first := func(path string, headers ...string) string {
		l := s.listen(path, headers...)
		defer l.resp.Body.Close()
		e, _ := l.next()
		return e.id
	}
	const path = "/operations/1/events"
	for _, ignored := range []string{"11", "0", "-1", "+5", "05", "5 ", "x", "99999999999999999999", `"5"`} {
		require.Equal(t, "10", first(path, "Last-Event-ID: "+ignored), ignored)
		require.Equal(t, "10", first(path+"?lastEventId="+strings.NewReplacer("+", "%2B", " ", "%20").Replace(ignored)), ignored)
	}
	require.Equal(t, "10", first(path, "Last-Event-ID: 9"))
	require.Equal(t, "10", first(path+"?lastEventId=10", "Last-Event-ID: 9"), "the header is newer")
	for _, l := range []*listener{s.listen(path, "Last-Event-ID: 10"), s.listen(path + "?lastEventId=10")} {
		turn(t, s.ops, "1", progress(50))
		e, _ := l.next()
		require.NotEqual(t, "10", e.id, "it has that")
		require.NoError(t, l.resp.Body.Close())
	}
	turn(t, s.ops, "1", finish)
	require.Equal(t, "13", first(path, "Last-Event-ID: 12"))
	l := s.listen(path)
	require.Len(t, l.rest(), 1, "what is over is told, and the stream ends")
	l = s.listen(path, "Last-Event-ID: 13")
	require.Equal(t, http.StatusNoContent, l.resp.StatusCode, "an EventSource doesn't come again after that")
	require.Empty(t, l.rest())
}

// So many streams, and requests that wait, has a subject; and so many there are in all.
func TestStreamLimits(t *testing.T) {
	s := newSite(t, func(cfg *command.GatewayConfig) { cfg.Streams, cfg.StreamsPerSubject = 3, 2 })
	operate(t, s.ops, "1")
	const path = "/operations/1/events"
	a, b := s.listen(path), s.listen(path)
	c := s.ask(http.MethodGet, path, "")
	require.Equal(t, "too_many_streams", s.problem(c, http.StatusTooManyRequests))
	require.NotEmpty(t, c.Header.Get("Retry-After"))
	c = s.ask(http.MethodPost, "/commands/place-order", `{"Item":"slow"}`, "Prefer: respond-async, wait=30")
	require.Equal(t, http.StatusAccepted, c.StatusCode, "it doesn't wait")
	require.Equal(t, "respond-async", c.Header.Get("Preference-Applied"))

	_, err := s.ops.Create(t.Context(), command.Operation{ID: "2", State: command.Running, Subject: "bob"})
	require.NoError(t, err)
	bob := s.listen("/operations/2/events", "X-User: bob")
	require.Equal(t, http.StatusOK, bob.resp.StatusCode)
	d := s.ask(http.MethodGet, "/operations/2/events", "", "X-User: bob")
	require.Equal(t, "unavailable", s.problem(d, http.StatusServiceUnavailable))
	require.NotEmpty(t, d.Header.Get("Retry-After"))

	require.NoError(t, a.resp.Body.Close()) // a client that goes away makes room
	require.Eventually(t, func() bool {
		a = s.listen(path)
		return a.resp.StatusCode == http.StatusOK
	}, time.Minute, time.Millisecond)
	turn(t, s.ops, "1", finish)
	require.NotEmpty(t, a.rest())
	require.NotEmpty(t, b.rest())
	require.Equal(t, http.StatusOK, s.listen(path).resp.StatusCode, "so does a stream that ends")
	require.NoError(t, bob.resp.Body.Close())
	require.Eventually(t, func() bool { return s.ops.open.Load() == 0 }, time.Minute, time.Millisecond, "nobody watches any more")
	close(s.goOn)
}

// Who waits for the outcome and goes away leaves nothing behind.
func TestGatewayWaiterLeaves(t *testing.T) {
	s := newSite(t, func(cfg *command.GatewayConfig) { cfg.StreamsPerSubject = 1 })
	operate(t, s.ops, "1")
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/commands/place-order", strings.NewReader(`{"Item":"slow"}`))
	require.NoError(t, err)
	r.Header.Set("X-User", "ann@acme")
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Prefer", "wait=30")
	left := make(chan error, 1)
	go func() {
		resp, err := http.DefaultClient.Do(r)
		if err == nil {
			_ = resp.Body.Close()
		}
		left <- err
	}()
	require.Eventually(t, func() bool { return s.ops.watched.Load() == 1 }, time.Minute, time.Millisecond)
	full := s.listen("/operations/1/events")
	require.Equal(t, http.StatusTooManyRequests, full.resp.StatusCode)
	require.NoError(t, full.resp.Body.Close())
	cancel()
	require.ErrorIs(t, <-left, context.Canceled)
	require.Eventually(t, func() bool {
		l := s.listen("/operations/1/events")
		defer l.resp.Body.Close()
		return l.resp.StatusCode == http.StatusOK
	}, time.Minute, time.Millisecond)
	close(s.goOn)
}

// Who doesn't read is dropped, and has lost nothing when it comes again.
func TestStreamSlowReader(t *testing.T) {
	s := prepareSite(t, command.NewMemory(command.MemoryConfig{}), func(cfg *command.GatewayConfig) {
		cfg.WriteTimeout, cfg.StreamsPerSubject = 200*time.Millisecond, 1
	})
	s.server.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetWriteBuffer(4 << 10)
		}
		return ctx
	}
	s.start()
	operate(t, s.ops, "1")
	dialer := net.Dialer{}
	c, err := dialer.DialContext(t.Context(), "tcp", s.server.Listener.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.(*net.TCPConn).SetReadBuffer(4<<10))
	_, err = io.WriteString(c, "GET /operations/1/events HTTP/1.1\r\nHost: x\r\nX-User: ann@acme\r\n\r\n")
	require.NoError(t, err)
	buf := make([]byte, 200) // the beginning, and no more
	_, err = io.ReadFull(c, buf)
	require.NoError(t, err)
	busy := func() bool {
		a := s.listen("/operations/1/events")
		defer a.resp.Body.Close()
		return a.resp.StatusCode == http.StatusTooManyRequests
	}
	require.True(t, busy())
	note := strings.Repeat("x", 256<<10)
	require.Eventually(t, func() bool {
		turn(t, s.ops, "1", func(o *command.Operation) { o.Progress = &command.Stage{Note: note} })
		return !busy()
	}, time.Minute, time.Millisecond)
	turn(t, s.ops, "1", finish)
	var l *listener
	require.Eventually(t, func() bool { // a stream that was looked by needs a moment to end
		l = s.listen("/operations/1/events", "Last-Event-ID: 1")
		return l.resp.StatusCode == http.StatusOK
	}, time.Minute, time.Millisecond)
	rest := l.rest()
	require.Len(t, rest, 1)
	require.True(t, rest[0].view.Final)
}

// When the Bus is shut down the streams end, and their clients go elsewhere.
func TestStreamShutdown(t *testing.T) {
	s := newSite(t)
	operate(t, s.ops, "1")
	l := s.listen("/operations/1/events")
	_, ok := l.next()
	require.True(t, ok)
	require.NoError(t, s.b.Shutdown(t.Context()))
	require.Empty(t, l.rest())
}

// What changes between the first look and the watch isn't missed.
func TestStreamMeantime(t *testing.T) {
	s := prepareSite(t, command.NewMemory(command.MemoryConfig{}))
	s.ops.meantime = func() { turn(t, s.ops.Operations, "1", finish) }
	s.start()
	operate(t, s.ops, "1")
	rest := s.listen("/operations/1/events").rest()
	require.Len(t, rest, 1)
	require.True(t, rest[0].view.Final)
}

// A stream lives through an outage of its store.
func TestStreamOutage(t *testing.T) {
	s := newSite(t)
	operate(t, s.ops, "1")
	l := s.listen("/operations/1/events")
	_, ok := l.next()
	require.True(t, ok)
	s.ops.down.Store(true)
	turn(t, s.ops.Operations, "1", finish) // another process can
	require.Eventually(t, func() bool { return s.ops.asked.Load() > 0 }, time.Minute, time.Millisecond)
	s.ops.down.Store(false)
	rest := l.rest()
	require.Len(t, rest, 1)
	require.True(t, rest[0].view.Final)
}

// page is a ResponseWriter without a network. What it was written is flushed to out.
type page struct {
	header http.Header
	mu     sync.Mutex
	status int
	buf    []byte
	out    strings.Builder
	writes int
}

func newPage() *page { return &page{header: make(http.Header)} }

func (p *page) Header() http.Header { return p.header }

func (p *page) WriteHeader(status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = status
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writes++
	p.buf = append(p.buf, b...)
	return len(b), nil
}

func (p *page) FlushError() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.Write(p.buf)
	p.buf = p.buf[:0]
	return nil
}

func (p *page) SetWriteDeadline(at time.Time) error {
	if time.Until(at) <= 0 {
		return errors.New("a deadline that is over")
	}
	return nil
}

func (p *page) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// In virtual time: a sign of life each 15 seconds of silence, and the end when what is known
// of the client expires.
func TestStreamTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ops := command.NewMemory(command.MemoryConfig{})
		b := bus.New(bus.Config{Channel: memory.New()})
		expires := time.Now().Add(100 * time.Second)
		g := command.Gateway(b, command.GatewayConfig{
			Operations: ops,
			Authorize: func(*http.Request, command.Access) (command.Principal, error) {
				return command.Principal{Subject: "ann", Tenant: "acme", Expires: expires}, nil
			},
		})
		require.NoError(t, b.Start(t.Context()))
		defer func() { require.NoError(t, b.Shutdown(context.Background())) }()
		operate(t, ops, "1")
		p := newPage()
		done := make(chan struct{})
		start := time.Now()
		go func() {
			defer close(done)
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "/operations/1/events", http.NoBody)
			g.ServeHTTP(p, r)
		}()
		beats := func() int { return strings.Count(p.text(), ":\n\n") }
		synctest.Wait()
		require.True(t, strings.HasPrefix(p.text(), "retry: 2000\n\nid: 1\nevent: operation\ndata: {"), p.text())
		time.Sleep(14 * time.Second) // virtual
		turn(t, ops, "1", progress(1))
		time.Sleep(14 * time.Second) // virtual
		synctest.Wait()
		require.Zero(t, beats(), "an event is a sign of life")
		time.Sleep(2 * time.Second) // virtual
		synctest.Wait()
		require.Equal(t, 1, beats())
		time.Sleep(45 * time.Second) // virtual
		synctest.Wait()
		require.Equal(t, 4, beats())
		<-done
		require.Equal(t, 100*time.Second, time.Since(start))
	})
}

// A stream of what is forgotten ends.
func TestStreamForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ops := command.NewMemory(command.MemoryConfig{Keep: time.Hour})
		b := bus.New(bus.Config{Channel: memory.New()})
		g := command.Gateway(b, command.GatewayConfig{Operations: ops, Authorize: allow})
		require.NoError(t, b.Start(t.Context()))
		defer func() { require.NoError(t, b.Shutdown(context.Background())) }()
		operate(t, ops, "1")
		start := time.Now()
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "/operations/1/events", http.NoBody)
		r.Header.Set("X-User", "ann@acme")
		g.ServeHTTP(newPage(), r)
		require.InDelta(t, time.Hour, time.Since(start), float64(5*time.Minute))
	})
}

// A writer that takes no deadline could be held for ever: that is said at once.
func TestStreamNeedsDeadlines(t *testing.T) {
	s := prepareSite(t, command.NewMemory(command.MemoryConfig{}))
	inner := s.handler
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
	})
	s.start()
	operate(t, s.ops, "1")
	require.Equal(t, "no_streams", s.problem(s.ask(http.MethodGet, "/operations/1/events", ""), http.StatusInternalServerError))
	require.NotEmpty(t, s.told)
}
