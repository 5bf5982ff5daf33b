package idempotency_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
)

// slow is a store that takes its time.
type slow struct {
	idempotency.Store

	claim, extend time.Duration
	heeds         bool // its callers' contexts
}

func (s *slow) take(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	if !s.heeds {
		<-timer.C
		return nil
	}
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *slow) Claim(ctx context.Context, k idempotency.Key, c idempotency.Claim) (idempotency.Grant, error) {
	g, err := s.Store.Claim(ctx, k, c)
	if late := s.take(ctx, s.claim); late != nil {
		return idempotency.Grant{}, late
	}
	return g, err
}

func (s *slow) Extend(ctx context.Context, k idempotency.Key, fence uint64, d time.Duration) error {
	if late := s.take(ctx, s.extend); late != nil {
		return late
	}
	return s.Store.Extend(ctx, k, fence, d)
}

// A run ends with its claim, however long the store takes to answer.
func TestClaimEndsWhileTheStoreIsSlow(t *testing.T) {
	for name, s := range map[string]slow{
		"it heeds contexts":    {extend: time.Hour, heeds: true},
		"it heeds no contexts": {extend: time.Hour},
		"the claim came late":  {claim: 900 * time.Millisecond, extend: time.Hour, heeds: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s.Store = idempotency.NewMemory(idempotency.MemoryConfig{})
				began := time.Now()
				h := idempotency.Middleware(&s, idempotency.Lease(time.Second)).Wrap(func(ctx context.Context, _ event.Event) error {
					<-ctx.Done()
					require.ErrorIs(t, context.Cause(ctx), event.ErrLeaseLost)
					require.Equal(t, time.Second, time.Since(began))
					return ctx.Err()
				})
				require.Error(t, h(t.Context(), order("1")))
				time.Sleep(2 * time.Hour) // virtual; what was asked is answered
			})
		})
	}
}

// Do doesn't wait longer for a claim than the claim would last.
func TestDoWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{Store: idempotency.NewMemory(idempotency.MemoryConfig{}), claim: time.Hour, heeds: true}
		once := idempotency.Middleware(s, idempotency.Lease(time.Second))
		began := time.Now()
		_, err := once.Do(t.Context(), idempotency.StringKey("a"), "", func(context.Context) (event.Result, error) {
			return event.Result{}, errNo
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(began))
		require.Error(t, once.Ready())
	})
}

// A request whose handler panicked can be sent again at once.
func TestHandlerPanics(t *testing.T) {
	once := idempotency.Middleware(idempotency.NewMemory(idempotency.MemoryConfig{}))
	runs := 0
	h := once.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if runs++; runs == 1 {
			panic(http.ErrAbortHandler)
		}
	}), idempotency.HandlerConfig{})
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { ask(h, http.MethodPost, "k", "a") })
	require.Equal(t, http.StatusOK, ask(h, http.MethodPost, "k", "a").Code)
	require.Equal(t, http.StatusOK, ask(h, http.MethodPost, "k", "a").Code)
	require.Equal(t, 2, runs)
}

// An answer that is too long to be kept is given, and the next request runs again.
func TestHandlerAnswersTooMuch(t *testing.T) {
	once := idempotency.Middleware(idempotency.NewMemory(idempotency.MemoryConfig{}))
	runs := 0
	h := once.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		runs++
		_, _ = w.Write(make([]byte, 11))
	}), idempotency.HandlerConfig{MaxBytes: 10})
	for range 2 {
		require.Equal(t, 11, ask(h, http.MethodPost, "k", "a").Body.Len())
	}
	require.Equal(t, 2, runs)
}
