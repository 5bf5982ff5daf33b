package webhook_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/command/webhook"
	"github.com/leat-go/leat/event"
)

// receiver is a server that notes what it got, and answers what it is told to.
type receiver struct {
	*httptest.Server

	answer http.HandlerFunc

	mu  sync.Mutex
	got []received
}

type received struct {
	header http.Header
	body   string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	r.got = append(r.got, received{req.Header, string(body)})
	r.mu.Unlock()
	if req.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if r.answer != nil {
		r.answer(w, req)
	}
}

func (r *receiver) all() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got
}

func (r *receiver) target(secrets ...webhook.Secret) webhook.Target {
	if len(secrets) == 0 {
		secrets = []webhook.Secret{vectorSecret}
	}
	return webhook.Target{URL: r.URL + "/hook?token=hush", Secrets: secrets}
}

func receive(t *testing.T, answer http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "hush: the answer")
	}
}

func to(targets ...webhook.Target) func(context.Context, command.Operation) ([]webhook.Target, error) {
	return func(context.Context, command.Operation) ([]webhook.Target, error) { return targets, nil }
}

// local returns a notifier for receivers on this machine.
func local(t *testing.T, cfg webhook.Config) *webhook.Notifier {
	t.Helper()
	cfg.AllowPrivate, cfg.AllowPlain = true, true
	n, err := webhook.New(cfg)
	require.NoError(t, err)
	t.Cleanup(n.Close)
	return n
}

var operation = command.Operation{
	ID: "op.1", Name: "ship-order", State: command.Succeeded, Version: 4, Subject: "ada", Tenant: "acme", Attempt: 2,
	Created: time.Date(2026, 3, 1, 13, 0, 0, 5, time.FixedZone("CET", 3600)), Updated: time.Date(2026, 3, 1, 12, 0, 1, 0, time.UTC),
	Result: &event.Result{ContentType: "application/json", Data: []byte(`{"parcel": 7}`)}, Sent: true, Fingerprint: "f",
}

func TestNeedsTargets(t *testing.T) {
	_, err := webhook.New(webhook.Config{})
	require.ErrorContains(t, err, "Targets")
}

// What is sent can be verified with each of the target's secrets, and has the headers and the
// shape of the specification.
func TestNotify(t *testing.T) {
	before := time.Now().Truncate(time.Second)
	r := receive(t, nil)
	other := webhook.NewSecret()
	n := local(t, webhook.Config{Targets: to(r.target(other, vectorSecret))})
	require.NoError(t, n.Notify(t.Context(), operation))
	got := r.all()
	require.Len(t, got, 1)
	require.JSONEq(t, `{
		"type": "operation.succeeded",
		"timestamp": "2026-03-01T12:00:01Z",
		"data": {
			"id": "op.1", "name": "ship-order", "state": "succeeded", "version": 4, "attempt": 2,
			"created": "2026-03-01T12:00:00.000000005Z", "updated": "2026-03-01T12:00:01Z",
			"result": {"content_type": "application/json", "json": {"parcel": 7}}
		}
	}`, got[0].body)
	h := got[0].header
	require.Equal(t, "application/json", h.Get("Content-Type"))
	require.Regexp(t, `^msg_[A-Z2-7]{26}$`, h.Get("Webhook-Id"))
	require.Regexp(t, `^v1,[A-Za-z0-9+/]{43}= v1,[A-Za-z0-9+/]{43}=$`, h.Get("Webhook-Signature"))
	seconds, err := strconv.ParseInt(h.Get("Webhook-Timestamp"), 10, 64)
	require.NoError(t, err)
	require.WithinRange(t, time.Unix(seconds, 0), before, time.Now())
	for _, s := range []webhook.Secret{other, vectorSecret} {
		require.NoError(t, webhook.Verify([]webhook.Secret{s}, h, []byte(got[0].body), time.Now()))
	}
	require.ErrorIs(t, webhook.Verify([]webhook.Secret{webhook.NewSecret()}, h, []byte(got[0].body), time.Now()), webhook.ErrSignature)
}

// Repeats of a state have the same id and the same body, for all targets; another state has
// another id.
func TestIDs(t *testing.T) {
	r := receive(t, nil)
	n := local(t, webhook.Config{Targets: to(r.target(), r.target())})
	require.NoError(t, n.Notify(t.Context(), operation))
	require.NoError(t, n.Notify(t.Context(), operation))
	first := r.all()
	require.Len(t, first, 4)
	for _, g := range first {
		require.Equal(t, first[0].body, g.body)
		require.Equal(t, first[0].header.Get("Webhook-Id"), g.header.Get("Webhook-Id"))
	}
	ids := map[string]bool{first[0].header.Get("Webhook-Id"): true}
	for _, change := range []func(o *command.Operation){
		func(o *command.Operation) { o.Version = 5 },
		func(o *command.Operation) { o.ID = "op.14"; o.Version = 4 },
		func(o *command.Operation) { o.ID = "op.1\x0014"; o.Version = 4 },
		func(o *command.Operation) { o.ID = "op."; o.Version = 14 },
	} {
		o := operation
		change(&o)
		require.NoError(t, n.Notify(t.Context(), o))
		ids[r.all()[len(r.all())-1].header.Get("Webhook-Id")] = true
	}
	require.Len(t, ids, 5)
}

func TestBody(t *testing.T) {
	r := receive(t, nil)
	sent := func(maxResult int, o command.Operation) webhook.Body {
		t.Helper()
		n := local(t, webhook.Config{Targets: to(r.target()), MaxResult: maxResult})
		require.NoError(t, n.Notify(t.Context(), o))
		all := r.all()
		var b webhook.Body
		require.NoError(t, json.Unmarshal([]byte(all[len(all)-1].body), &b))
		require.NotContains(t, all[len(all)-1].body, "ada")
		require.NotContains(t, all[len(all)-1].body, "acme")
		return b
	}
	o := operation
	o.State, o.Result = command.Failed, nil
	o.Problem = event.NewError("sold_out", "there is none").WithDetails(1)
	o.Progress = &command.Stage{Percent: 40, Note: "n"}
	o.Expires, o.NotBefore = o.Updated.In(time.FixedZone("x", 60)), o.Updated
	b := sent(0, o)
	require.Equal(t, "operation.failed", b.Type)
	require.Equal(t, o.Problem, b.Data.Problem)
	require.Equal(t, o.Progress, b.Data.Progress)
	require.Equal(t, o.Updated, b.Data.Expires)
	require.Equal(t, o.Updated, b.Data.NotBefore)
	require.Nil(t, b.Data.Result)
	require.False(t, b.Data.Large)

	large := []byte(`"` + strings.Repeat("x", 98) + `"`)
	for name, c := range map[string]struct {
		contentType string
		data        []byte
		max         int
		want        *webhook.Result
	}{
		"json with charset": {"application/json; charset=utf-8", []byte("1"), 0, &webhook.Result{JSON: json.RawMessage("1")}},
		"a kind of json":    {"application/problem+json", []byte("{}"), 0, &webhook.Result{JSON: json.RawMessage("{}")}},
		"not json":          {"application/json", []byte("{"), 0, &webhook.Result{Base64: []byte("{")}},
		"text":              {"text/plain", []byte("1"), 0, &webhook.Result{Base64: []byte("1")}},
		"no type":           {"", []byte("1"), 0, &webhook.Result{Base64: []byte("1")}},
		"empty":             {"", nil, 0, &webhook.Result{}},
		"at the bound":      {"application/json", large, 100, &webhook.Result{JSON: large}},
		"above":             {"application/json", large, 99, nil},
		"never":             {"application/json", []byte("1"), -1, nil},
		"16 KiB":            {"text/plain", make([]byte, 16<<10), 0, &webhook.Result{Base64: make([]byte, 16<<10)}},
		"more":              {"text/plain", make([]byte, 16<<10+1), 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			o.Result = &event.Result{ContentType: c.contentType, Data: c.data}
			if c.want != nil {
				c.want.ContentType = c.contentType
			}
			b := sent(c.max, o)
			require.Equal(t, c.want, b.Data.Result)
			require.Equal(t, c.want == nil, b.Data.Large)
		})
	}

	o.Problem = &event.Error{Code: "x", Details: json.RawMessage("hush")}
	err := local(t, webhook.Config{Targets: to(r.target())}).Notify(t.Context(), o)
	require.Equal(t, event.FailedForGood, event.VerdictOf(err).Kind)
	require.EqualError(t, err, "permanent: webhook: the operation can't be written as JSON")
}

func TestAnswers(t *testing.T) {
	failed, timed := event.Failed, func(d time.Duration) event.Verdict {
		return event.Verdict{Kind: event.Failed, Timed: true, After: d}
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   event.Verdict
	}{
		"200":                     {status(200), event.Verdict{}},
		"202":                     {status(202), event.Verdict{}},
		"299":                     {status(299), event.Verdict{}},
		"300":                     {status(300), event.Verdict{Kind: failed}},
		"304":                     {status(304), event.Verdict{Kind: failed}},
		"400":                     {status(400), event.Verdict{Kind: failed}},
		"400 with a wait":         {status(400, "Retry-After", "7"), event.Verdict{Kind: failed}},
		"404":                     {status(404), event.Verdict{Kind: failed}},
		"410":                     {status(410), event.Verdict{}},
		"429":                     {status(429), event.Verdict{Kind: failed}},
		"429 with a wait":         {status(429, "Retry-After", "7"), timed(7 * time.Second)},
		"429 with too long a one": {status(429, "Retry-After", "86400"), timed(time.Hour)},
		"500":                     {status(500), event.Verdict{Kind: failed}},
		"502 with a wait":         {status(502, "Retry-After", "7"), timed(7 * time.Second)},
		"503 with a wait":         {status(503, "Retry-After", "7"), timed(7 * time.Second)},
		"503 with a date":         {status(503, "Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"), timed(0)},
		"504 with a wait":         {status(504, "Retry-After", "7"), timed(7 * time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			r := receive(t, c.answer)
			err := local(t, webhook.Config{Targets: to(r.target())}).Notify(t.Context(), operation)
			require.Equal(t, c.want, event.VerdictOf(err))
			require.Len(t, r.all(), 1, "asked once")
			if err != nil {
				require.Contains(t, err.Error(), strings.TrimPrefix(r.URL, "http://")+" answered "+name[:3])
				require.NotContains(t, err.Error(), "hush")
			}
		})
	}
	r := receive(t, status(429, "Retry-After", "60"))
	err := local(t, webhook.Config{Targets: to(r.target()), MaxWait: time.Minute / 2}).Notify(t.Context(), operation)
	require.Equal(t, timed(time.Minute/2), event.VerdictOf(err))
}

// Whoever wants no more is reported; that this fails is a failure.
func TestGone(t *testing.T) {
	r := receive(t, status(http.StatusGone))
	var gone []webhook.Target
	var fails error
	n := local(t, webhook.Config{Targets: to(r.target()), OnGone: func(_ context.Context, t webhook.Target) error {
		gone = append(gone, t)
		return fails
	}})
	require.NoError(t, n.Notify(t.Context(), operation))
	require.Equal(t, []webhook.Target{r.target()}, gone)

	fails = errors.New("the database is away")
	err := n.Notify(t.Context(), operation)
	require.ErrorIs(t, err, fails)
	require.Equal(t, event.Failed, event.VerdictOf(err).Kind)
	require.NotContains(t, err.Error(), "hush")
	fails = event.RetryAfter(time.Minute, fails)
	require.Equal(t, time.Minute, event.VerdictOf(n.Notify(t.Context(), operation)).After)
}

// Of several targets each is asked once, whatever the others do; the longest wait counts.
func TestTargets(t *testing.T) {
	good, bad := receive(t, nil), receive(t, status(500))
	busy, busier := receive(t, status(429, "Retry-After", "7")), receive(t, status(503, "Retry-After", "9"))
	wrong := webhook.Target{URL: "gopher://hush", Secrets: []webhook.Secret{vectorSecret}}
	for name, c := range map[string]struct {
		targets []webhook.Target
		want    event.Verdict
	}{
		"none":                    {nil, event.Verdict{}},
		"good ones":               {[]webhook.Target{good.target(), good.target()}, event.Verdict{}},
		"one is bad":              {[]webhook.Target{good.target(), bad.target(), good.target()}, event.Verdict{Kind: event.Failed}},
		"the longest wait":        {[]webhook.Target{busy.target(), busier.target(), bad.target()}, event.Verdict{Kind: event.Failed, Timed: true, After: 9 * time.Second}},
		"one can't be helped":     {[]webhook.Target{good.target(), wrong}, event.Verdict{Kind: event.FailedForGood}},
		"one of two can't":        {[]webhook.Target{wrong, bad.target()}, event.Verdict{Kind: event.Failed}},
		"more than at a time":     {slicesRepeat(good.target(), 40), event.Verdict{}},
		"one without any secret":  {[]webhook.Target{{URL: good.URL}}, event.Verdict{Kind: event.FailedForGood}},
		"one with a wrong secret": {[]webhook.Target{good.target("whsec_hush")}, event.Verdict{Kind: event.FailedForGood}},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(good.all())
			want := 0
			for _, x := range c.targets {
				if x.URL == good.target().URL && x.Secrets[0] == vectorSecret {
					want++
				}
			}
			err := local(t, webhook.Config{Targets: to(c.targets...)}).Notify(t.Context(), operation)
			require.Equal(t, c.want, event.VerdictOf(err))
			require.Len(t, good.all(), before+want)
			if err != nil {
				require.NotContains(t, err.Error(), "hush")
			}
		})
	}
	away := errors.New("away")
	n := local(t, webhook.Config{Targets: func(context.Context, command.Operation) ([]webhook.Target, error) {
		return nil, event.Postpone(time.Minute, away)
	}})
	err := n.Notify(t.Context(), operation)
	require.ErrorIs(t, err, away)
	require.Equal(t, event.Postponed, event.VerdictOf(err).Kind)
}

func slicesRepeat(x webhook.Target, n int) []webhook.Target {
	all := make([]webhook.Target, n)
	for i := range all {
		all[i] = x
	}
	return all
}

func TestURLs(t *testing.T) {
	n, err := webhook.New(webhook.Config{Targets: func(_ context.Context, o command.Operation) ([]webhook.Target, error) {
		return []webhook.Target{{URL: o.ID, Secrets: []webhook.Secret{vectorSecret}}}, nil
	}})
	require.NoError(t, err)
	for _, u := range []string{
		"", "hush", "/hush", "http://hush.example", "HTTP://hush.example", "ftp://hush.example", "file:///hush", "https:hush", "https:///hush",
		"https://:443/hush", "https://user:hush@a.example/", "https://hush@a.example/", "https://a.example/%zzhush", "https://a.example:hush/", "https://a\x00hush/",
	} {
		err := n.Notify(t.Context(), command.Operation{ID: u})
		require.Error(t, err, u)
		require.Equal(t, event.FailedForGood, event.VerdictOf(err).Kind, u)
		require.NotContains(t, err.Error(), "hush", u)
	}
}

// Addresses of this machine and of networks around it are refused, however they are written.
func TestPrivateAddresses(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("reached") }))
	defer srv.Close()
	port := srv.URL[strings.LastIndex(srv.URL, ":"):]
	for _, host := range []string{
		"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]", "127.1.2.3",
		"[64:ff9b::7f00:1]", "10.0.0.1", "169.254.169.254", "[fd00:ec2::254]",
	} {
		n, err := webhook.New(webhook.Config{Targets: to(webhook.Target{URL: "https://" + host + port, Secrets: []webhook.Secret{vectorSecret}})})
		require.NoError(t, err)
		err = n.Notify(t.Context(), operation)
		require.ErrorIs(t, err, webhook.ErrAddress, host)
		require.Equal(t, event.FailedForGood, event.VerdictOf(err).Kind, host)
	}
}

// A redirect is an answer as any other that isn't 2xx.
func TestRedirects(t *testing.T) {
	inner := receive(t, nil)
	for _, code := range []int{301, 302, 303, 307, 308} {
		for _, location := range []string{inner.URL, "/hush", "http://hush%zz", ""} {
			r := receive(t, status(code, "Location", location))
			err := local(t, webhook.Config{Targets: to(r.target())}).Notify(t.Context(), operation)
			require.ErrorContains(t, err, "answered 30")
			require.Equal(t, event.Failed, event.VerdictOf(err).Kind)
			require.NotContains(t, err.Error(), "hush")
			require.Len(t, r.all(), 1)
		}
	}
	require.Empty(t, inner.all())
}

// A server that never answers costs the time that it is given, and one whose body never ends
// no more.
func TestSlowServers(t *testing.T) {
	silent := receive(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	endless := receive(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begun")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	long, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	err := local(t, webhook.Config{Targets: to(silent.target()), Timeout: 50 * time.Millisecond}).Notify(long, operation)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, event.Failed, event.VerdictOf(err).Kind)
	require.NotContains(t, err.Error(), "hush")
	err = local(t, webhook.Config{Targets: to(endless.target()), Timeout: time.Second}).Notify(long, operation)
	require.NoError(t, err, "its status was there in time")
	require.NoError(t, long.Err())
}

// When the handler's context ends Notify returns the cause of that.
func TestNotifyEnds(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	silent := receive(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel(event.ErrLeaseLost)
		<-r.Context().Done()
	})
	require.Equal(t, event.ErrLeaseLost, local(t, webhook.Config{Targets: to(silent.target())}).Notify(ctx, operation))
}

// Of an answer 64 KiB are read, and of its headers as much.
func TestHugeAnswers(t *testing.T) {
	var wrote atomic.Int64
	ended := make(chan struct{})
	r := receive(t, func(w http.ResponseWriter, _ *http.Request) {
		defer close(ended)
		chunk := make([]byte, 64<<10)
		for wrote.Load() < 1<<30 {
			n, err := w.Write(chunk)
			if wrote.Add(int64(n)); err != nil {
				return
			}
		}
	})
	require.NoError(t, local(t, webhook.Config{Targets: to(r.target())}).Notify(t.Context(), operation))
	<-ended
	require.Less(t, wrote.Load(), int64(1<<28), "most is in buffers of the system")

	r = receive(t, status(200, "X", strings.Repeat("hush", 1<<16)))
	err := local(t, webhook.Config{Targets: to(r.target())}).Notify(t.Context(), operation)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hush")
}

// What isn't HTTP isn't quoted.
func TestWrongAnswers(t *testing.T) {
	for _, text := range []string{"hush\r\n\r\n", "HTTP/1.1 hush\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: hush\r\n\r\n", ""} {
		r := receive(t, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, text)
				_ = conn.Close()
			}
		})
		err := local(t, webhook.Config{Targets: to(r.target())}).Notify(t.Context(), operation)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hush")
		require.Equal(t, event.Failed, event.VerdictOf(err).Kind)
	}
	closed := receive(t, nil)
	closed.Close()
	err := local(t, webhook.Config{Targets: to(closed.target())}).Notify(t.Context(), operation)
	require.ErrorContains(t, err, "refused")
	require.NotContains(t, err.Error(), "hush")
}

// Certificates are checked, by the roots that are given.
func TestTLS(t *testing.T) {
	r := &receiver{}
	r.Server = httptest.NewUnstartedServer(r)
	r.EnableHTTP2 = true
	r.Config.ErrorLog = log.New(io.Discard, "", 0)
	r.StartTLS()
	t.Cleanup(r.Close)
	notify := func(cfg *tls.Config) error {
		n, err := webhook.New(webhook.Config{Targets: to(r.target()), AllowPrivate: true, TLS: cfg})
		require.NoError(t, err)
		t.Cleanup(n.Close)
		return n.Notify(t.Context(), operation)
	}
	err := notify(nil)
	require.ErrorContains(t, err, "certificate")
	require.Empty(t, r.all())
	roots := x509.NewCertPool()
	roots.AddCert(r.Certificate())
	require.NoError(t, notify(&tls.Config{RootCAs: roots}))
	require.Len(t, r.all(), 1)
}
