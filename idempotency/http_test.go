package idempotency_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
)

// ask sends a request and returns the answer.
func ask(h http.Handler, method, key, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/orders?x=1", strings.NewReader(body))
	if key != "" {
		r.Header.Set(idempotency.KeyHeader, key)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		once := idempotency.Middleware(idempotency.NewMemory(idempotency.MemoryConfig{}))
		runs := 0
		h := once.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			runs++
			body, _ := io.ReadAll(r.Body)
			switch string(body) {
			case "fail":
				http.Error(w, "no", http.StatusInternalServerError)
				return
			case "long":
				time.Sleep(time.Minute) // virtual
			}
			w.Header().Set("Location", "/orders/1")
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintf(w, "run %d of %s", runs, body)
		}), idempotency.HandlerConfig{Required: true, Scope: func(r *http.Request) string { return r.Header.Get("User") }})

		first := ask(h, http.MethodPost, "k", "a")
		require.Equal(t, http.StatusCreated, first.Code)
		require.Empty(t, first.Header().Get("Idempotency-Replayed"))
		again := ask(h, http.MethodPost, "k", "a")
		require.Equal(t, first.Code, again.Code)
		require.Equal(t, "run 1 of a", again.Body.String())
		require.Equal(t, "/orders/1", again.Header().Get("Location"))
		require.Equal(t, "true", again.Header().Get("Idempotency-Replayed"))
		require.Equal(t, 1, runs)

		require.Equal(t, http.StatusUnprocessableEntity, ask(h, http.MethodPost, "k", "b").Code)
		require.Equal(t, http.StatusUnprocessableEntity, ask(h, http.MethodPut, "k", "a").Code)
		require.Equal(t, http.StatusBadRequest, ask(h, http.MethodPost, "", "a").Code)
		require.Equal(t, http.StatusBadRequest, ask(h, http.MethodPost, strings.Repeat("k", 256), "a").Code)
		require.Equal(t, http.StatusRequestEntityTooLarge, ask(h, http.MethodPost, "large", strings.Repeat("x", 2<<20)).Code)
		require.Equal(t, 1, runs)
		require.Equal(t, http.StatusCreated, ask(h, http.MethodGet, "", "").Code, "it has no effect")

		runs = 0
		require.Equal(t, http.StatusInternalServerError, ask(h, http.MethodPost, "f", "fail").Code)
		require.Equal(t, http.StatusInternalServerError, ask(h, http.MethodPost, "f", "fail").Code)
		require.Equal(t, 2, runs, "what failed runs again")

		done := make(chan *httptest.ResponseRecorder)
		go func() { done <- ask(h, http.MethodPost, "l", "long") }()
		synctest.Wait()
		busy := ask(h, http.MethodPost, "l", "long")
		require.Equal(t, http.StatusConflict, busy.Code)
		require.Equal(t, "30", busy.Header().Get("Retry-After"))
		require.Equal(t, http.StatusCreated, (<-done).Code)
	})
}

// Another user's key is another key.
func TestHandlerScopes(t *testing.T) {
	once := idempotency.Middleware(idempotency.NewMemory(idempotency.MemoryConfig{}))
	runs, user := 0, "ada"
	h := once.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { runs++ }),
		idempotency.HandlerConfig{Scope: func(*http.Request) string { return user }})
	ask(h, http.MethodPost, "k", "a")
	user = "bob"
	require.Equal(t, http.StatusOK, ask(h, http.MethodPost, "k", "a").Code)
	require.Equal(t, 2, runs)
	ask(h, http.MethodPost, "", "a")
	require.Equal(t, 3, runs, "without a key it passes, unless it is required")
}

func TestDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		once := idempotency.Middleware(idempotency.NewMemory(idempotency.MemoryConfig{}))
		runs := 0
		do := func(key, of string, err error) (event.Result, error) {
			return once.Do(t.Context(), idempotency.StringKey(key), of, func(context.Context) (event.Result, error) {
				runs++
				return event.Result{ContentType: "text/plain", Data: []byte("done")}, err
			})
		}
		_, err := do("a", "1", errNo)
		require.ErrorIs(t, err, errNo)
		for range 3 {
			r, err := do("a", "1", nil)
			require.NoError(t, err)
			require.Equal(t, "done", string(r.Data))
		}
		require.Equal(t, 2, runs)
		_, err = do("a", "2", nil)
		require.ErrorIs(t, err, idempotency.ErrMismatch)
		soldOut := event.NewError("sold_out", "none left")
		for range 2 {
			_, err = do("b", "", event.Reject(soldOut))
			require.ErrorIs(t, err, soldOut)
			require.Equal(t, event.Rejected, event.VerdictOf(err).Kind)
		}
		require.Equal(t, 3, runs)
		require.NotErrorIs(t, err, idempotency.ErrBusy)
	})
}

// An answer that only informs is not the one that is kept.
func TestHandlerInforms(t *testing.T) {
	once := idempotency.Middleware(idempotency.NewMemory(idempotency.MemoryConfig{}))
	runs := 0
	h := once.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		runs++
		w.WriteHeader(http.StatusEarlyHints)
		if runs == 1 {
			http.Error(w, "no", http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}), idempotency.HandlerConfig{})
	require.Equal(t, http.StatusInternalServerError, ask(h, http.MethodPost, "k", "a").Code)
	require.Equal(t, http.StatusCreated, ask(h, http.MethodPost, "k", "a").Code)
	require.Equal(t, http.StatusCreated, ask(h, http.MethodPost, "k", "a").Code)
	require.Equal(t, 2, runs)
}
