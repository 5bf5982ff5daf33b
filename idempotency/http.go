package idempotency

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/leat-go/leat/event"
)

// HandlerConfig says how [Once.Handler] reads requests. The zero value is usable.
type HandlerConfig struct {
	// Scope returns whose key it is: the tenant or the user, as it was authenticated.
	// Keys of different scopes are different. nil: all are in one.
	Scope func(*http.Request) string
	// Required refuses requests without a key, with 400; else they pass as they are.
	Required bool
	// MaxBytes is the longest body of a request, and of an answer that is kept; 0: 1 MiB.
	MaxBytes int64
}

// KeyHeader is the header that names a request (draft-ietf-httpapi-idempotency-key-header).
const KeyHeader = "Idempotency-Key"

const (
	maxKey         = 255
	defaultMaxBody = 1 << 20
)

// Handler returns next with an answer for each Idempotency-Key that a request brings: the
// first that next gave. That is said by the header Idempotency-Replayed: true.
//
// While the first request runs the others get 409 with Retry-After; a key that comes with
// another request, by method, path, query, content type and body, gets 422; one that is no
// key gets 400; while the store doesn't answer nothing runs, and there is 503. An answer of
// 500 or more is not kept, nor is one that is too long, or a panic: the next request runs
// again. GET, HEAD, OPTIONS and TRACE pass as they are: they have no effect.
func (o *Once) Handler(next http.Handler, cfg HandlerConfig) http.Handler {
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = defaultMaxBody
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.Header.Get(KeyHeader)
		switch {
		case safe(r.Method) || name == "" && !cfg.Required:
			next.ServeHTTP(w, r)
			return
		case name == "" || len(name) > maxKey || len(r.Header.Values(KeyHeader)) > 1:
			http.Error(w, "the request needs one "+KeyHeader+" of 1 to 255 bytes", http.StatusBadRequest)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, cfg.MaxBytes))
		if err != nil {
			http.Error(w, "the body of the request can't be read, or is too long", http.StatusRequestEntityTooLarge)
			return
		}
		key := Key{Group: "http", ID: name}
		if cfg.Scope != nil {
			key.Tenant = cfg.Scope(r)
		}
		o.serve(w, r, next, key, body, cfg.MaxBytes)
	})
}

func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions || method == http.MethodTrace
}

// serve answers a request that has a key.
func (o *Once) serve(w http.ResponseWriter, r *http.Request, next http.Handler, key Key, body []byte, most int64) {
	var given *response
	result, err := o.Do(r.Context(), key, printOf(r, body), func(ctx context.Context) (event.Result, error) {
		again := r.WithContext(ctx)
		again.Body = io.NopCloser(bytes.NewReader(body))
		given = &response{Header: make(http.Header)}
		next.ServeHTTP(&recording{given, false}, again)
		if given.Status == 0 {
			given.Status = http.StatusOK
		}
		if given.Status >= http.StatusInternalServerError || int64(len(given.Body)) > most {
			return event.Result{}, errNotKept
		}
		b, err := json.Marshal(given)
		return event.Result{ContentType: "application/json", Data: b}, err
	})
	busy, isBusy := errors.AsType[*BusyError](err)
	switch {
	case isBusy:
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(busy.Left.Seconds())))))
		http.Error(w, "the first request with this "+KeyHeader+" still runs", http.StatusConflict)
	case errors.Is(err, ErrMismatch):
		http.Error(w, "the "+KeyHeader+" was used for another request", http.StatusUnprocessableEntity)
	case given != nil: // it ran here, whatever became of the record
		given.write(w)
	case err != nil:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "try again later", http.StatusServiceUnavailable)
	default:
		replayed(w, result.Data)
	}
}

var errNotKept = errors.New("idempotency: the answer is not kept")

// replayed writes an answer that was kept.
func replayed(w http.ResponseWriter, kept []byte) {
	var first response
	if err := json.Unmarshal(kept, &first); err != nil {
		http.Error(w, "the answer can't be read", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Idempotency-Replayed", "true")
	first.write(w)
}

// printOf tells requests apart.
func printOf(r *http.Request, body []byte) string {
	h := sha256.New()
	for _, part := range []string{r.Method, r.URL.Path, r.URL.RawQuery, strings.ToLower(r.Header.Get("Content-Type"))} {
		_, _ = io.WriteString(h, part+"\x00")
	}
	h.Write(body)
	return base64.RawStdEncoding.EncodeToString(h.Sum(nil)[:16])
}

// response is an answer.
type response struct {
	Status int         `json:"status"`
	Header http.Header `json:"header"`
	Body   []byte      `json:"body"`
}

func (a *response) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.Header)
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body)
}

// recording takes an answer down.
type recording struct {
	to    *response
	begun bool
}

// Header implements [http.ResponseWriter].
func (r *recording) Header() http.Header { return r.to.Header }

// WriteHeader implements [http.ResponseWriter]. What only informs is left out.
func (r *recording) WriteHeader(status int) {
	informs := status >= 100 && status < 200 && status != http.StatusSwitchingProtocols
	if !r.begun && !informs {
		r.to.Status, r.begun = status, true
	}
}

// Write implements [http.ResponseWriter].
func (r *recording) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	r.to.Body = append(r.to.Body, b...)
	return len(b), nil
}
