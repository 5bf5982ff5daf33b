package command_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/event"
)

const withKey = "Idempotency-Key: k-1"

// A request that is repeated has the operation of the first, and nothing runs twice.
func TestGatewayRepeated(t *testing.T) {
	s := newSite(t)
	at := s.send(`{"Item":"tea"}`, withKey)
	s.final(at)
	for _, key := range []string{withKey, `Idempotency-Key: "k-1"`} {
		a := s.ask(http.MethodPost, "/commands/place-order", `{"Item":"tea"}`, key)
		require.Equal(t, http.StatusAccepted, a.StatusCode)
		require.Equal(t, at, a.Header.Get("Location"))
		require.Equal(t, "succeeded", s.operation(a)["state"])
		a = s.ask(http.MethodPost, "/commands/place-order", `{"Item":"tea"}`, key, "Prefer: wait=5")
		require.Equal(t, http.StatusOK, a.StatusCode)
		require.Equal(t, at, a.Header.Get("Location"))
		require.JSONEq(t, `{"Number":"r-tea"}`, a.text)
	}
	for _, body := range []string{`{"Item":"milk"}`, `{"Item":"tea" }`} {
		a := s.ask(http.MethodPost, "/commands/place-order", body, withKey)
		require.Equal(t, "key_reused", s.problem(a, http.StatusUnprocessableEntity))
	}
	require.EqualValues(t, 1, s.runs.Load())

	others := map[string]bool{at: true}
	others[s.send(`{"Item":"tea"}`, withKey, "X-User: bob@acme")] = true
	others[s.send(`{"Item":"tea"}`, withKey, "X-User: ann@other")] = true
	others[s.send(`{"Item":"tea"}`, withKey, "X-User: ann")] = true
	others[s.send(`{"Item":"tea"}`)] = true
	others[s.send(`{"Item":"tea"}`)] = true
	a := s.ask(http.MethodPost, "/commands/render", `{}`, withKey)
	require.Equal(t, http.StatusAccepted, a.StatusCode)
	others[a.Header.Get("Location")] = true
	require.Len(t, others, 7, "a key is of a subject, of a tenant, and of a command")
}

// Repetitions that come at once: one sends the command, and the others are told to come back,
// or get its operation.
func TestGatewayRepeatedAtOnce(t *testing.T) {
	s := newSite(t)
	codes := make(map[int]int)
	places := make(map[string]bool)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			a := s.ask(http.MethodPost, "/commands/place-order", `{"Item":"tea"}`, withKey)
			mu.Lock()
			defer mu.Unlock()
			codes[a.StatusCode]++
			if a.StatusCode == http.StatusAccepted {
				places[a.Header.Get("Location")] = true
			}
		})
	}
	wg.Wait()
	require.Equal(t, 32, codes[http.StatusAccepted]+codes[http.StatusConflict], codes)
	require.NotZero(t, codes[http.StatusAccepted])
	require.Len(t, places, 1)
	for at := range places {
		s.final(at)
	}
	require.EqualValues(t, 1, s.runs.Load())
}

// While the command is being sent the others wait. When who sends it can't, the next does; and
// when it is heard of no more, after a while.
func TestGatewayInProgress(t *testing.T) {
	s := newSite(t, func(cfg *command.GatewayConfig) { cfg.SendTimeout = 5 * time.Second })
	sending, fail := make(chan struct{}, 1), make(chan error)
	s.ch.set(func(context.Context) error {
		sending <- struct{}{}
		return <-fail
	})
	first := make(chan answer, 1)
	repeat := func() answer {
		return s.ask(http.MethodPost, "/commands/place-order", `{"Item":"tea"}`, withKey)
	}
	go func() { first <- repeat() }()
	<-sending
	a := repeat()
	require.Equal(t, "in_progress", s.problem(a, http.StatusConflict))
	require.Equal(t, "1", a.Header.Get("Retry-After"))
	a = s.ask(http.MethodPost, "/commands/place-order", `{"Item":"milk"}`, withKey)
	require.Equal(t, "key_reused", s.problem(a, http.StatusUnprocessableEntity))
	fail <- event.ErrFull
	require.Equal(t, http.StatusServiceUnavailable, (<-first).StatusCode)

	go func() { first <- repeat() }() // it needn't wait
	<-sending
	require.Equal(t, http.StatusConflict, repeat().StatusCode, "again one sends it")
	fail <- nil
	a = <-first
	require.Equal(t, http.StatusAccepted, a.StatusCode, a.text)
	s.final(a.Header.Get("Location"))
	require.Equal(t, a.Header.Get("Location"), repeat().Header.Get("Location"))
	require.EqualValues(t, 1, s.runs.Load())
}

// A command that may have been sent isn't sent again at once.
func TestGatewayMaybeSent(t *testing.T) {
	s := newSite(t)
	var times atomic.Int32
	s.ch.set(func(context.Context) error {
		times.Add(1)
		return &event.ProduceError{Failed: []event.ProduceFailure{{Err: errors.New("lost"), Maybe: true}}}
	})
	for i, status := range []int{http.StatusServiceUnavailable, http.StatusConflict, http.StatusConflict} {
		a := s.ask(http.MethodPost, "/commands/place-order", `{"Item":"tea"}`, withKey)
		require.Equal(t, status, a.StatusCode, i)
	}
	require.EqualValues(t, 1, times.Load())
}

// A request whose process has died between the store and the channel is sent by the one that
// repeats it.
func TestGatewayForsaken(t *testing.T) {
	s := newSite(t, func(cfg *command.GatewayConfig) { cfg.SendTimeout = 50 * time.Millisecond })
	s.ch.set(func(context.Context) error {
		return &event.ProduceError{Failed: []event.ProduceFailure{{Err: errors.New("lost"), Maybe: true}}}
	})
	a := s.ask(http.MethodPost, "/commands/place-order", `{"Item":"tea"}`, withKey)
	require.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
	s.ch.set(nil)
	require.Eventually(t, func() bool {
		a = s.ask(http.MethodPost, "/commands/place-order", `{"Item":"tea"}`, withKey)
		return a.StatusCode == http.StatusAccepted
	}, time.Minute, time.Millisecond)
	s.final(a.Header.Get("Location"))
	require.EqualValues(t, 1, s.runs.Load())
}

// What was cancelled before it was sent isn't sent.
func TestGatewayCancelledUnsent(t *testing.T) {
	s := newSite(t)
	s.ch.set(func(context.Context) error { return event.ErrFull })
	a := s.ask(http.MethodPost, "/commands/place-order", `{"Item":"tea"}`, withKey)
	require.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
	at := a.Header.Get("Location")
	require.Empty(t, at)
	s.ch.set(nil)
	id := s.lastID()
	require.Equal(t, http.StatusOK, s.ask(http.MethodDelete, "/operations/"+id, "").StatusCode)
	a = s.ask(http.MethodPost, "/commands/place-order", `{"Item":"tea"}`, withKey)
	require.Equal(t, http.StatusAccepted, a.StatusCode)
	require.Equal(t, "cancelled", s.operation(a)["state"])
	require.Zero(t, s.runs.Load())
}

// lastID is the id of the operation that was made last.
func (s *site) lastID() string {
	s.ops.mu.Lock()
	defer s.ops.mu.Unlock()
	return s.ops.last
}
