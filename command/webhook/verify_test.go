package webhook_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/command/webhook"
)

// The vector of the reference libraries of Standard Webhooks (TestWebhookSign of the one
// for Go).
const (
	vectorSecret    = webhook.Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	vectorID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorTime      = 1614265330
	vectorBody      = `{"test": 2432232314}`
	vectorSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

// foreign is a signature of the right shape by another key, as in the same tests.
const foreign = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="

func headers(id, timestamp, signature string) http.Header {
	h := http.Header{}
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", timestamp)
	h.Set("Webhook-Signature", signature)
	return h
}

func vector() http.Header { return headers(vectorID, strconv.Itoa(vectorTime), vectorSignature) }

var vectorNow = time.Unix(vectorTime, 0)

func verify(h http.Header, body string, now time.Time, secrets ...webhook.Secret) error {
	return webhook.Verify(secrets, h, []byte(body), now)
}

func TestVerifyKnownVector(t *testing.T) {
	require.NoError(t, verify(vector(), vectorBody, vectorNow, vectorSecret))
}

// Whatever is changed of what was signed is noticed.
func TestVerifyChanged(t *testing.T) {
	for name, c := range map[string]struct {
		change func(h http.Header)
		body   string
	}{
		"body":      {func(http.Header) {}, `{"test": 2432232315}`},
		"space":     {func(http.Header) {}, `{"test":2432232314}`},
		"no body":   {func(http.Header) {}, ""},
		"id":        {func(h http.Header) { h.Set("Webhook-Id", "msg_other") }, vectorBody},
		"timestamp": {func(h http.Header) { h.Set("Webhook-Timestamp", "1614265331") }, vectorBody},
		"zeros":     {func(h http.Header) { h.Set("Webhook-Timestamp", "01614265330") }, vectorBody},
		"signature": {func(h http.Header) { h.Set("Webhook-Signature", foreign) }, vectorBody},
		"moved stop": {func(h http.Header) {
			h.Set("Webhook-Id", vectorID+".1614265330")
			h.Set("Webhook-Timestamp", "1614265330")
		}, vectorBody},
	} {
		t.Run(name, func(t *testing.T) {
			h := vector()
			c.change(h)
			require.ErrorIs(t, verify(h, c.body, vectorNow, vectorSecret), webhook.ErrSignature)
		})
	}
	other := webhook.NewSecret()
	require.ErrorIs(t, verify(vector(), vectorBody, vectorNow, other), webhook.ErrSignature)
}

func TestVerifyHeaders(t *testing.T) {
	for name, change := range map[string]func(h http.Header){
		"no id":               func(h http.Header) { h.Del("Webhook-Id") },
		"empty id":            func(h http.Header) { h.Set("Webhook-Id", "") },
		"two ids":             func(h http.Header) { h.Add("Webhook-Id", "msg_2") },
		"no timestamp":        func(h http.Header) { h.Del("Webhook-Timestamp") },
		"two timestamps":      func(h http.Header) { h.Add("Webhook-Timestamp", "1") },
		"a date":              func(h http.Header) { h.Set("Webhook-Timestamp", "2021-02-25T15:02:10Z") },
		"a sign":              func(h http.Header) { h.Set("Webhook-Timestamp", "+1614265330") },
		"before 1970":         func(h http.Header) { h.Set("Webhook-Timestamp", "-1") },
		"beyond all":          func(h http.Header) { h.Set("Webhook-Timestamp", "9223372036854775807") },
		"no signature":        func(h http.Header) { h.Del("Webhook-Signature") },
		"another version":     func(h http.Header) { h.Set("Webhook-Signature", "v2"+vectorSignature[2:]) },
		"asymmetric":          func(h http.Header) { h.Set("Webhook-Signature", "v1a"+vectorSignature[2:]) },
		"no version":          func(h http.Header) { h.Set("Webhook-Signature", vectorSignature[3:]) },
		"not base64":          func(h http.Header) { h.Set("Webhook-Signature", "v1,"+strings.Repeat("!", 44)) },
		"short":               func(h http.Header) { h.Set("Webhook-Signature", "v1,AAAA") },
		"separated otherwise": func(h http.Header) { h.Set("Webhook-Signature", foreign+","+vectorSignature) },
	} {
		t.Run(name, func(t *testing.T) {
			h := vector()
			change(h)
			require.ErrorIs(t, verify(h, vectorBody, vectorNow, vectorSecret), webhook.ErrHeader)
		})
	}
}

// A webhook can be verified within five minutes, by a clock that is behind as well.
func TestVerifyTolerance(t *testing.T) {
	for skew, want := range map[time.Duration]error{
		0:                                 nil,
		webhook.Tolerance:                 nil,
		-webhook.Tolerance:                nil,
		webhook.Tolerance + 1:             webhook.ErrTimestamp,
		-webhook.Tolerance - 1:            webhook.ErrTimestamp,
		30 * 365 * 24 * time.Hour:         webhook.ErrTimestamp,
		-30 * 365 * 24 * time.Hour:        webhook.ErrTimestamp,
		webhook.Tolerance - 1:             nil,
		webhook.Tolerance + 1*time.Second: webhook.ErrTimestamp,
	} {
		require.ErrorIs(t, verify(vector(), vectorBody, vectorNow.Add(skew), vectorSecret), want, skew)
	}
}

// While a secret changes, either side may be the first to have the new one.
func TestVerifyRotation(t *testing.T) {
	other := webhook.NewSecret()
	for name, c := range map[string]struct {
		header  string
		secrets []webhook.Secret
	}{
		"receiver has both, new one signs": {vectorSignature, []webhook.Secret{vectorSecret, other}},
		"receiver has both, old one signs": {vectorSignature, []webhook.Secret{other, vectorSecret}},
		"both sign, receiver has one":      {foreign + " " + vectorSignature, []webhook.Secret{vectorSecret}},
		"among other versions":             {"v2,x v1a,abc= " + foreign + " " + vectorSignature + " v1,", []webhook.Secret{vectorSecret}},
		"more spaces":                      {"  " + vectorSignature + "  ", []webhook.Secret{vectorSecret}},
	} {
		t.Run(name, func(t *testing.T) {
			h := headers(vectorID, strconv.Itoa(vectorTime), c.header)
			require.NoError(t, verify(h, vectorBody, vectorNow, c.secrets...))
		})
	}
	many := strings.Repeat(foreign+" ", 1000)
	h := headers(vectorID, strconv.Itoa(vectorTime), many+vectorSignature)
	require.ErrorIs(t, verify(h, vectorBody, vectorNow, vectorSecret), webhook.ErrSignature, "no more than 32 are looked at")
}

func secretOf(n int) webhook.Secret {
	return webhook.Secret("whsec_" + base64.StdEncoding.EncodeToString(make([]byte, n)))
}

func TestSecrets(t *testing.T) {
	for _, n := range []int{24, 25, 32, 64} {
		require.ErrorIs(t, verify(vector(), vectorBody, vectorNow, secretOf(n)), webhook.ErrSignature, n)
	}
	for name, s := range map[string]webhook.Secret{
		"empty":      "",
		"no prefix":  vectorSecret[len("whsec_"):],
		"prefix":     "whsec_",
		"short":      secretOf(23),
		"long":       secretOf(65),
		"very long":  secretOf(1 << 20),
		"not base64": "whsec_" + webhook.Secret(strings.Repeat("*", 32)),
		"url base64": "whsec_" + webhook.Secret(strings.Repeat("-_", 16)),
		"a break":    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZI\no2LaLaSw",
	} {
		t.Run(name, func(t *testing.T) {
			err := verify(vector(), vectorBody, vectorNow, vectorSecret, s)
			require.ErrorIs(t, err, webhook.ErrSecret)
			require.Contains(t, err.Error(), "number 2")
			if len(s) > 10 {
				require.NotContains(t, err.Error(), string(s[6:]))
			}
			_, err = webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{s}})
			require.ErrorIs(t, err, webhook.ErrSecret)
		})
	}
	require.ErrorIs(t, verify(vector(), vectorBody, vectorNow), webhook.ErrSecret)
	_, err := webhook.NewVerifier(webhook.VerifierConfig{})
	require.ErrorIs(t, err, webhook.ErrSecret)
	one, other := webhook.NewSecret(), webhook.NewSecret()
	require.NotEqual(t, one, other)
	require.Len(t, one, len("whsec_")+44)
}

// A secret isn't printed by accident.
func TestSecretIsNotPrinted(t *testing.T) {
	target := webhook.Target{URL: "https://a.example", Secrets: []webhook.Secret{vectorSecret}}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", vectorSecret, "target", target)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", vectorSecret)
	for _, text := range []string{
		fmt.Sprint(vectorSecret), fmt.Sprintf("%v %+v %#v %s %q", target, target, target, target, target) + fmt.Sprintf("%x %q", vectorSecret, vectorSecret), log.String(),
	} {
		require.NotContains(t, text, "MfKQ")
		require.NotContains(t, text, fmt.Sprintf("%x", "MfKQ"))
		require.Contains(t, text, "whsec_")
	}
}

// A verifier reads a request's body up to its bound, and has the time from package time.
func TestVerifier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(vectorNow)) // virtual
		v, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{vectorSecret}})
		require.NoError(t, err)
		time.Sleep(webhook.Tolerance) // virtual
		require.NoError(t, v.Verify(vector(), []byte(vectorBody)))
		time.Sleep(time.Second) // virtual
		require.ErrorIs(t, v.Verify(vector(), []byte(vectorBody)), webhook.ErrTimestamp)
	})
	century := 100 * 365 * 24 * time.Hour
	v, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{vectorSecret}, Tolerance: century, MaxBody: int64(len(vectorBody))})
	require.NoError(t, err)
	request := func(body string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header = vector()
		return r
	}
	body, err := v.Read(request(vectorBody))
	require.NoError(t, err)
	require.Equal(t, vectorBody, string(body))

	body, err = v.Read(request(vectorBody + " "))
	require.ErrorIs(t, err, webhook.ErrBody)
	require.Nil(t, body)
	body, err = v.Read(request(vectorBody[1:]))
	require.ErrorIs(t, err, webhook.ErrSignature)
	require.Nil(t, body)

	r := httptest.NewRequest(http.MethodPost, "/", iotest.ErrReader(errors.New("secret")))
	_, err = v.Read(r)
	require.ErrorIs(t, err, webhook.ErrBody)
	require.NotContains(t, err.Error(), "secret")
}
