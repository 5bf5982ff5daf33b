package fcm_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/command/fcm"
	"github.com/leat-go/leat/event"
)

// An access token is fetched once for as long as it is valid.
func TestAccessToken(t *testing.T) {
	g := newGoogle(t)
	n := g.notifier(fcm.Config{Tokens: tokensOf("ada", "hush-a")})
	for range 3 {
		require.NoError(t, n.Notify(t.Context(), operation))
	}
	grants, messages := g.counts()
	require.Equal(t, 1, grants)
	require.Equal(t, 3, messages)
}

// One that ends within a minute isn't kept.
func TestAccessTokenEnds(t *testing.T) {
	g := newGoogle(t)
	g.granted = func(w http.ResponseWriter, n int) bool {
		access := fmt.Sprintf("hush-access-%d", n)
		g.mu.Lock()
		g.valid[access] = true
		g.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token": %q, "token_type": "Bearer", "expires_in": 59}`, access)
		return true
	}
	n := g.notifier(fcm.Config{Tokens: tokensOf("ada", "hush-a")})
	for range 3 {
		require.NoError(t, n.Notify(t.Context(), operation))
	}
	grants, _ := g.counts()
	require.Equal(t, 3, grants)
}

// A token that isn't taken any more is fetched again, once for all who were refused.
func TestRefused(t *testing.T) {
	g := newGoogle(t)
	tokens := tokensOf("ada", "hush-a", "hush-b", "hush-c", "hush-d", "hush-e")
	n := g.notifier(fcm.Config{Tokens: tokens})
	require.NoError(t, n.Notify(t.Context(), operation))
	g.revoke()
	require.NoError(t, n.Notify(t.Context(), operation))
	grants, _ := g.counts()
	require.Equal(t, 2, grants)
	require.Len(t, g.sent, 10)
}

// If the next one isn't taken either that is a failure; a certificate of somebody else's is
// no reason to fetch one.
func TestRefusedAgain(t *testing.T) {
	for code, want := range map[string]struct {
		grants, messages int
		text             string
	}{
		"":                       {2, 2, "fcm: token 1: answered 401 UNAUTHENTICATED"},
		"THIRD_PARTY_AUTH_ERROR": {1, 1, "fcm: token 1: answered 401 THIRD_PARTY_AUTH_ERROR"},
	} {
		g := newGoogle(t)
		g.answer = func(w http.ResponseWriter, _ string) { failed(w, 401, "UNAUTHENTICATED", code) }
		tokens := tokensOf("ada", "hush-a")
		err := g.notifier(fcm.Config{Tokens: tokens}).Notify(t.Context(), operation)
		require.EqualError(t, err, want.text)
		require.Equal(t, event.Failed, event.VerdictOf(err).Kind)
		grants, messages := g.counts()
		require.Equal(t, want.grants, grants)
		require.Equal(t, want.messages, messages)
		require.Empty(t, tokens.removed)
	}
}

// Without an access token nothing is sent, and the answer isn't quoted.
func TestGrantFails(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		text   string
	}{
		"revoked":    {400, `{"error": "invalid_grant", "error_description": "hush"}`, "answered 400 invalid_grant"},
		"away":       {503, "hush", "answered 503"},
		"strange":    {400, `{"error": "hush: a secret"}`, "answered 400"},
		"not json":   {200, "hush", "the answer can't be read"},
		"empty":      {200, `{}`, "the answer has none"},
		"redirected": {307, `{"error": "hush me"}`, "answered 307"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGoogle(t)
			g.granted = func(w http.ResponseWriter, _ int) bool {
				w.Header().Set("Location", g.URL+"/elsewhere")
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
				return true
			}
			err := g.notifier(fcm.Config{Tokens: tokensOf("ada", "hush-a")}).Notify(t.Context(), operation)
			require.EqualError(t, err, "fcm: token 1: access token: "+c.text)
			require.Equal(t, event.Failed, event.VerdictOf(err).Kind)
			_, messages := g.counts()
			require.Zero(t, messages)
		})
	}
	g := newGoogle(t)
	account := g.account(map[string]any{"token_uri": "http://127.0.0.1:1/hush"})
	err := g.notifier(fcm.Config{Tokens: tokensOf("ada", "hush-a"), ServiceAccount: account}).Notify(t.Context(), operation)
	require.ErrorContains(t, err, "refused")
	require.NotContains(t, err.Error(), "hush")
}

// Whoever waits for the access token that another fetches can give up.
func TestGrantIsSlow(t *testing.T) {
	g := newGoogle(t)
	begun, stuck := make(chan struct{}), make(chan struct{})
	defer close(stuck)
	g.granted = func(w http.ResponseWriter, n int) bool {
		if n == 1 {
			close(begun)
			<-stuck
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	}
	n := g.notifier(fcm.Config{Tokens: tokensOf("ada", "hush-a"), Timeout: 5 * time.Second})
	first, cancelFirst := context.WithCancelCause(t.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		if err := n.Notify(first, operation); !errors.Is(err, event.ErrLeaseLost) {
			t.Errorf("the first: %v", err)
		}
	}()
	select {
	case <-begun:
	case <-over:
		t.FailNow()
	}
	second, cancelSecond := context.WithCancelCause(t.Context())
	cancelSecond(event.ErrClosed)
	require.Equal(t, event.ErrClosed, n.Notify(second, operation))
	cancelFirst(event.ErrLeaseLost)
	<-over
	require.NoError(t, n.Notify(t.Context(), operation), "the next one fetches it")
}

func TestNew(t *testing.T) {
	g := newGoogle(t)
	tokens := tokensOf("ada")
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(ec)
	require.NoError(t, err)
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	for name, c := range map[string]struct {
		cfg  fcm.Config
		text string
	}{
		"nothing":      {fcm.Config{}, "fcm: Config.ServiceAccount is no JSON file of a service account's key\nfcm: Config.Tokens is nil"},
		"not json":     {fcm.Config{Tokens: tokens, ServiceAccount: []byte("hush")}, "no JSON file"},
		"another type": {fcm.Config{Tokens: tokens, ServiceAccount: g.account(map[string]any{"type": "hush"})}, "no JSON file"},
		"a user":       {fcm.Config{Tokens: tokens, ServiceAccount: g.account(map[string]any{"type": "authorized_user"})}, "no JSON file"},
		"no email":     {fcm.Config{Tokens: tokens, ServiceAccount: g.account(map[string]any{"client_email": nil})}, "no JSON file"},
		"no key":       {fcm.Config{Tokens: tokens, ServiceAccount: g.account(map[string]any{"private_key": nil})}, "no RSA key"},
		"half a key":   {fcm.Config{Tokens: tokens, ServiceAccount: g.account(map[string]any{"private_key": encode("PRIVATE KEY", []byte("hush"))})}, "no RSA key"},
		"another key":  {fcm.Config{Tokens: tokens, ServiceAccount: g.account(map[string]any{"private_key": encode("PRIVATE KEY", der)})}, "no RSA key"},
		"no project":   {fcm.Config{Tokens: tokens, ServiceAccount: g.account(map[string]any{"project_id": nil})}, "names a project"},
		"no scheme":    {fcm.Config{Tokens: tokens, ServiceAccount: g.account(), Endpoint: "hush"}, "no URL"},
		"no host":      {fcm.Config{Tokens: tokens, ServiceAccount: g.account(), Endpoint: "https:///hush"}, "no URL"},
		"a file":       {fcm.Config{Tokens: tokens, ServiceAccount: g.account(), Endpoint: "file://hush/x"}, "no URL"},
		"no tokens":    {fcm.Config{ServiceAccount: g.account()}, "Config.Tokens is nil"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := fcm.New(c.cfg)
			require.ErrorContains(t, err, c.text)
			require.NotContains(t, err.Error(), "hush")
		})
	}
	old := g.account(map[string]any{"private_key": encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(g.key)), "project_id": "other"})
	n := g.notifier(fcm.Config{Tokens: tokensOf("ada", "hush-a"), ServiceAccount: old, Project: "shop-1"})
	require.NoError(t, n.Notify(t.Context(), operation), "by the project that was said")
	_, err = fcm.New(fcm.Config{Tokens: tokens, ServiceAccount: g.account()})
	require.NoError(t, err, "an endpoint needn't be said")
	grants, _ := g.counts()
	require.Equal(t, 1, grants, "New sends nothing")
}

// A transport of the application makes all requests.
func TestTransport(t *testing.T) {
	g := newGoogle(t)
	var mu sync.Mutex
	var paths []string
	n := g.notifier(fcm.Config{Tokens: tokensOf("ada", "hush-a"), Transport: spy(func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		paths = append(paths, r.URL.Path)
		mu.Unlock()
		return http.DefaultTransport.RoundTrip(r)
	})})
	require.NoError(t, n.Notify(t.Context(), operation))
	require.Equal(t, []string{"/token", "/v1/projects/shop-1/messages:send"}, paths)
}

type spy func(r *http.Request) (*http.Response, error)

func (s spy) RoundTrip(r *http.Request) (*http.Response, error) { return s(r) }
