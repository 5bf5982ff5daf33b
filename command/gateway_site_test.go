package command_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/payload"
)

// render is a command whose result says that it is a page.
type render struct{ Page string }

// hidden is a command that is handled and not exposed.
type hidden struct{}

// orphan is a command that is exposed and that nobody handles.
type orphan struct{ Item string }

// reserve has fields of many kinds.
type reserve struct {
	Item   string            `json:"item"`
	Count  int8              `json:"count"`
	Labels map[string]string `json:"labels"`
	Parts  []part            `json:"parts"`
	Until  time.Time         `json:"until"`
	Any    any               `json:"any"`
	Self   *reserve          `json:"self"`
	base
}

type part struct{ Name string }

type base struct{ Base string }

// site is a gateway with a worker behind it.
type site struct {
	t       *testing.T
	b       *bus.Bus
	ops     *flaky
	ch      *failing
	url     string
	server  *httptest.Server // to be changed before start
	handler http.Handler
	runs    atomic.Int32
	goOn    chan struct{} // lets the command with the item "slow" end

	mu   sync.Mutex
	told []error
}

// allow knows who says who it is: "ann" or "ann@acme".
func allow(r *http.Request, _ command.Access) (command.Principal, error) {
	subject, tenant, _ := strings.Cut(r.Header.Get("X-User"), "@")
	switch subject {
	case "":
		return command.Principal{}, command.ErrUnauthenticated
	case "mallory":
		return command.Principal{Subject: "mallory"}, command.ErrForbidden
	case "nobody":
		return command.Principal{}, nil
	case "broken":
		return command.Principal{}, errors.New("the directory is away: secret")
	case "late":
		return command.Principal{Subject: subject, Expires: time.Now().Add(-time.Second)}, nil
	}
	return command.Principal{Subject: subject, Tenant: tenant}, nil
}

// newSite returns a site that has started. change works on what it is made of.
func newSite(t *testing.T, change ...func(*command.GatewayConfig)) *site {
	t.Helper()
	s := prepareSite(t, command.NewMemory(command.MemoryConfig{}), change...)
	s.start()
	return s
}

func prepareSite(t *testing.T, ops command.Operations, change ...func(*command.GatewayConfig)) *site {
	t.Helper()
	s := &site{t: t, ops: &flaky{Operations: ops}, ch: &failing{Channel: memory.New(memory.Encode())}, goOn: make(chan struct{})}
	s.b = bus.New(bus.Config{App: "shop", Channel: s.ch, CancelGrace: time.Millisecond})
	cfg := command.GatewayConfig{
		Operations: s.ops,
		Payloads:   payload.NewMemory(payload.MemoryConfig{}), Payload: payload.Config{Above: 1000},
		Authorize: allow,
		OnError: func(_ *http.Request, err error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.told = append(s.told, err)
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	s.handler = command.Gateway(s.b, cfg)
	s.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }))
	command.Expose[placeOrder](s.b)
	command.Expose[render](s.b)
	command.Expose[orphan](s.b)
	command.Expose[reserve](s.b)
	command.HandleResult(s.b, s.place, quickly(1), bus.Workers(8))
	command.Handle(s.b, func(ctx context.Context, c render) error {
		return event.SetResult(ctx, "text/html", []byte(c.Page))
	})
	command.Handle(s.b, func(context.Context, hidden) error { return nil })
	command.Handle(s.b, func(context.Context, reserve) error { s.runs.Add(1); return nil })
	return s
}

func (s *site) start() {
	s.t.Helper()
	require.NoError(s.t, s.b.Start(s.t.Context()))
	s.server.Start()
	s.url = s.server.URL
	s.t.Cleanup(func() {
		s.server.CloseClientConnections()
		s.server.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		require.NoError(s.t, s.b.Shutdown(ctx))
	})
}

func (s *site) place(ctx context.Context, c placeOrder) (receipt, error) {
	s.runs.Add(1)
	switch c.Item {
	case "last":
		return receipt{}, errSoldOut.WithDetails(map[string]int{"left": 0})
	case "boom":
		return receipt{}, errors.New("secret")
	case "slow":
		select {
		case <-s.goOn:
		case <-ctx.Done():
			return receipt{}, ctx.Err()
		}
	}
	return receipt{"r-" + c.Item[:min(len(c.Item), 10)]}, nil
}

// answer is what a request got.
type answer struct {
	*http.Response

	text string
}

// ask makes a request as ann. headers are "Name: value".
func (s *site) ask(method, path, body string, headers ...string) answer {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	require.NoError(s.t, err)
	r.Header.Set("X-User", "ann@acme")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if value == "" {
			r.Header.Del(name)
			continue
		}
		if name == "X-User" || name == "Content-Type" {
			r.Header.Del(name)
		}
		r.Header.Add(name, value)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return answer{resp, string(text)}
}

// operation reads the view of an operation.
func (s *site) operation(a answer) map[string]any {
	s.t.Helper()
	require.Equal(s.t, "application/json", a.Header.Get("Content-Type"), a.text)
	var v map[string]any
	require.NoError(s.t, json.Unmarshal([]byte(a.text), &v), a.text)
	return v
}

// problem checks that an answer is a problem, and returns its code.
func (s *site) problem(a answer, status int) string {
	s.t.Helper()
	require.Equal(s.t, status, a.StatusCode, a.text)
	require.Equal(s.t, "application/problem+json", a.Header.Get("Content-Type"))
	require.Equal(s.t, "nosniff", a.Header.Get("X-Content-Type-Options"))
	require.Equal(s.t, "private, no-store", a.Header.Get("Cache-Control"))
	var p struct {
		Title, Detail, Code string
		Status              int
	}
	require.NoError(s.t, json.Unmarshal([]byte(a.text), &p), a.text)
	require.Equal(s.t, status, p.Status)
	require.Equal(s.t, http.StatusText(status), p.Title)
	require.NotContains(s.t, a.text, "secret")
	return p.Code
}

// send sends a command, to be accepted, and returns where its operation is.
func (s *site) send(body string, headers ...string) string {
	s.t.Helper()
	a := s.ask(http.MethodPost, "/commands/place-order", body, headers...)
	require.Equal(s.t, http.StatusAccepted, a.StatusCode, a.text)
	return a.Header.Get("Location")
}

// final waits until an operation is over.
func (s *site) final(at string) command.Operation {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	var last command.Operation
	for o, err := range command.Watch(ctx, s.ops.Operations, idOf(at), 0) {
		require.NoError(s.t, err)
		last = o
	}
	return last
}

func idOf(location string) string { return location[strings.LastIndex(location, "/")+1:] }

// flaky is a store that doesn't answer when it is told not to.
type flaky struct {
	command.Operations

	down atomic.Bool
	full atomic.Bool

	asked    atomic.Int32 // in vain
	got      atomic.Int32
	meantime func() // runs before a watch begins
	watched  atomic.Int32
	open     atomic.Int32 // watches

	mu   sync.Mutex
	last string // the operation that was made last
}

var errDown = errors.New("the store is away: secret")

func (f *flaky) Get(ctx context.Context, id string) (command.Operation, error) {
	if f.down.Load() {
		f.asked.Add(1)
		return command.Operation{}, errDown
	}
	f.got.Add(1)
	return f.Operations.Get(ctx, id)
}

func (f *flaky) Watch(ctx context.Context, id string, wake func()) (func(), error) {
	f.watched.Add(1)
	if f.meantime != nil {
		f.meantime()
	}
	stop, err := f.Operations.Watch(ctx, id, wake)
	if err != nil {
		return nil, err
	}
	f.open.Add(1)
	return func() { f.open.Add(-1); stop() }, nil
}

func (f *flaky) Create(ctx context.Context, o command.Operation) (command.Operation, error) {
	switch {
	case f.down.Load():
		return command.Operation{}, errDown
	case f.full.Load():
		return command.Operation{}, command.ErrFull
	}
	f.mu.Lock()
	f.last = o.ID
	f.mu.Unlock()
	return f.Operations.Create(ctx, o)
}

// failing is a channel whose topic of orders takes nothing when it is told to.
type failing struct {
	*memory.Channel

	mu      sync.Mutex
	produce func(ctx context.Context) error // instead of it; nil: as it is
}

func (f *failing) set(produce func(context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.produce = produce
}

func (f *failing) Producer(ctx context.Context, topic string) (event.Producer, error) {
	p, err := f.Channel.Producer(ctx, topic)
	if topic == "place-order" {
		p = failingProducer{p, f}
	}
	return p, err
}

type failingProducer struct {
	event.Producer

	f *failing
}

func (p failingProducer) Produce(ctx context.Context, events ...event.Event) error {
	p.f.mu.Lock()
	produce := p.f.produce
	p.f.mu.Unlock()
	if produce != nil {
		if err := produce(ctx); err != nil {
			return err
		}
	}
	return p.Producer.Produce(ctx, events...)
}
