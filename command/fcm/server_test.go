package fcm_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/command/fcm"
)

// google is a server that takes what the documentation of FCM and of OAuth for service
// accounts has, and answers 418 to all else.
type google struct {
	*httptest.Server

	t   *testing.T
	key *rsa.PrivateKey

	// What it answers, if not 200. Both may be set before anything is sent.
	answer  func(w http.ResponseWriter, token string) // to a message
	granted func(w http.ResponseWriter, n int) bool   // to a grant; true: it has answered

	mu       sync.Mutex
	grants   int             // access tokens are hush-access-1, hush-access-2, …
	valid    map[string]bool // those that messages may come with
	sent     []sent
	messages int // requests, taken or not
	wrong    []string
}

// sent is a message that was taken.
type sent struct {
	Token        string            `json:"token"`
	Notification *shown            `json:"notification"`
	Data         map[string]string `json:"data"`
}

type shown struct {
	Title string `json:"title"`
	Body  string `json:"body"`
}

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func newGoogle(t *testing.T) *google {
	t.Helper()
	g := &google{t: t, key: testKey(), valid: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", g.token)
	mux.HandleFunc("POST /v1/projects/shop-1/messages:send", g.send)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { g.refusef(w, "%s %s", r.Method, r.URL) })
	g.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		g.Close()
		require.Empty(t, g.wrong, "requests that aren't as they are documented")
	})
	return g
}

func (g *google) refusef(w http.ResponseWriter, format string, args ...any) {
	g.mu.Lock()
	g.wrong = append(g.wrong, fmt.Sprintf(format, args...))
	g.mu.Unlock()
	w.WriteHeader(http.StatusTeapot)
}

// token is the token endpoint: RFC 7523, as in Google's "Using OAuth 2.0 for Server to Server
// Applications".
func (g *google) token(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		g.refusef(w, "grant: not a form")
		return
	}
	if len(r.PostForm) != 2 || r.PostForm.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		g.refusef(w, "grant: %v", r.PostForm)
		return
	}
	if err := g.checkJWT(r.PostForm.Get("assertion")); err != nil {
		g.refusef(w, "grant: %v", err)
		return
	}
	g.mu.Lock()
	g.grants++
	n := g.grants
	g.mu.Unlock()
	if g.granted != nil && g.granted(w, n) {
		return
	}
	access := fmt.Sprintf("hush-access-%d", n)
	g.mu.Lock()
	g.valid[access] = true
	g.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"access_token": %q, "token_type": "Bearer", "expires_in": 3599}`, access)
}

func (g *google) checkJWT(assertion string) error {
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 {
		return fmt.Errorf("%d parts", len(parts))
	}
	raw := make([][]byte, 3)
	for i, p := range parts {
		var err error
		if raw[i], err = base64.RawURLEncoding.DecodeString(p); err != nil {
			return err
		}
	}
	var head struct{ Alg, Typ, Kid string }
	var claims struct {
		Iss, Scope, Aud string
		Iat, Exp        int64
	}
	if err := json.Unmarshal(raw[0], &head); err != nil {
		return err
	}
	if err := json.Unmarshal(raw[1], &claims); err != nil {
		return err
	}
	digest, now := sha256.Sum256([]byte(parts[0]+"."+parts[1])), time.Now().Unix()
	switch {
	case head.Alg != "RS256", head.Typ != "JWT", head.Kid != "hush-kid":
		return fmt.Errorf("header %+v", head)
	case claims.Iss != "leat@shop-1.iam.example", claims.Aud != g.URL+"/token", claims.Scope != "https://www.googleapis.com/auth/firebase.messaging":
		return fmt.Errorf("claims %+v", claims)
	case claims.Exp-claims.Iat > 3600+10, claims.Iat > now, claims.Exp <= now:
		return fmt.Errorf("times %d and %d at %d", claims.Iat, claims.Exp, now)
	}
	return rsa.VerifyPKCS1v15(&g.key.PublicKey, crypto.SHA256, digest[:], raw[2])
}

func (g *google) send(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Header.Get("Content-Type") != "application/json" || len(r.Header.Values("Authorization")) != 1 || r.URL.RawQuery != "" {
		g.refusef(w, "message: %v, headers %v", err, r.Header)
		return
	}
	g.mu.Lock()
	g.messages++
	ok := g.valid[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	g.mu.Unlock()
	if !ok || !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
		failed(w, 401, "UNAUTHENTICATED", "")
		return
	}
	var m struct {
		Message sent `json:"message"`
	}
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil || dec.More() || m.Message.Token == "" {
		g.refusef(w, "message: %v: %s", err, body)
		return
	}
	if g.answer != nil {
		g.answer(w, m.Message.Token)
		return
	}
	g.take(w, m.Message)
}

func (g *google) take(w http.ResponseWriter, m sent) {
	g.mu.Lock()
	g.sent = append(g.sent, m)
	n := len(g.sent)
	g.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"name": "projects/shop-1/messages/%d"}`, n)
}

func (g *google) revoke() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.valid)
}

func (g *google) counts() (grants, messages int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.grants, g.messages
}

// failed answers as Google's APIs do, with the detail of FCM if there is a code.
func failed(w http.ResponseWriter, status int, canonical, code string) {
	details := ""
	if code != "" {
		details = fmt.Sprintf(`, "details": [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"field": "hush"}]},
			{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": %q}]`, code)
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"error": {"code": %d, "message": "Invalid value 'hush-token'", "status": %q%s}}`, status, canonical, details)
}

// account returns the file of a service account of this server, with changes.
func (g *google) account(changes ...map[string]any) []byte {
	key, err := x509.MarshalPKCS8PrivateKey(g.key)
	require.NoError(g.t, err)
	f := map[string]any{
		"type": "service_account", "project_id": "shop-1", "client_email": "leat@shop-1.iam.example", "private_key_id": "hush-kid",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})), "token_uri": g.URL + "/token",
	}
	for _, c := range changes {
		for k, v := range c {
			if f[k] = v; v == nil {
				delete(f, k)
			}
		}
	}
	file, err := json.Marshal(f)
	require.NoError(g.t, err)
	return file
}

func (g *google) notifier(cfg fcm.Config) *fcm.Notifier {
	g.t.Helper()
	cfg.Endpoint = g.URL
	if cfg.ServiceAccount == nil {
		cfg.ServiceAccount = g.account()
	}
	n, err := fcm.New(cfg)
	require.NoError(g.t, err)
	return n
}
