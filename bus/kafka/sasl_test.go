package kafka_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"

	"github.com/leat-go/leat/bus/kafka"
)

const canary = "canary-7f3a" // must be seen nowhere

// login is a login that changes.
type login struct {
	mu sync.Mutex
	l  kafka.Login
}

func (l *login) set(user, password string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.l = kafka.Login{User: user, Password: password}
}

func (l *login) ask(context.Context) (kafka.Login, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.l, nil
}

// within returns a context that ends long after a bounded call.
func within(tb testing.TB, d time.Duration) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), d)
	tb.Cleanup(cancel)
	return ctx
}

func closed(tb testing.TB, ch *kafka.Channel) *kafka.Channel {
	tb.Helper()
	tb.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = ch.Close(ctx)
	})
	return ch
}

func produces(tb testing.TB, cfg kafka.Config) error {
	tb.Helper()
	_, err := closed(tb, kafka.New(cfg)).Producer(within(tb, 30*time.Second), "orders")
	return err
}

func TestSASL(t *testing.T) {
	for name, m := range map[string]struct {
		fixed, asked func(user, password string) sasl.Mechanism
	}{
		"PLAIN": {kafka.Plain, func(u, p string) sasl.Mechanism { return kafka.PlainFrom(asks(u, p)) }},
		"SCRAM-SHA-256": {kafka.ScramSHA256, func(u, p string) sasl.Mechanism {
			return kafka.ScramSHA256From(asks(u, p))
		}},
		"SCRAM-SHA-512": {kafka.ScramSHA512, func(u, p string) sasl.Mechanism {
			return kafka.ScramSHA512From(asks(u, p))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := fake(t, kfake.EnableSASL(), kfake.Superuser(name, "ann", "right"))
			for _, signIn := range []func(user, password string) sasl.Mechanism{m.fixed, m.asked} {
				cfg := kafka.Config{Brokers: c.ListenAddrs(), SASLWithoutTLS: true, SASL: signIn("ann", "right")}
				require.Equal(t, name, cfg.SASL.Name())
				require.NoError(t, produces(t, cfg))
			}
			// This broker hangs up without a word.
			err := produces(t, kafka.Config{Brokers: c.ListenAddrs(), SASLWithoutTLS: true, SASL: m.fixed("ann", canary)})
			require.ErrorContains(t, err, "SASL "+name)
			require.ErrorContains(t, err, c.ListenAddrs()[0])
			require.NotContains(t, err.Error(), canary)
		})
	}
}

func asks(user, password string) func(context.Context) (kafka.Login, error) {
	var l login
	l.set(user, password)
	return l.ask
}

// Each new connection asks for the password.
func TestSASLReloads(t *testing.T) {
	c := fake(t, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "ann", "old"), kfake.Superuser("SCRAM-SHA-256", "bob", "new"))
	var l login
	var w wires
	l.set("ann", "old")
	ch := closed(t, kafka.New(kafka.Config{Brokers: c.ListenAddrs(), SASL: kafka.ScramSHA256From(l.ask), SASLWithoutTLS: true, Dialer: w.dial}))
	_, err := ch.Producer(t.Context(), "orders")
	require.NoError(t, err)
	l.set("bob", "wrong")
	w.cut()
	_, err = ch.Producer(within(t, 30*time.Second), "parcels")
	require.Error(t, err)
	l.set("bob", "new")
	_, err = ch.Producer(within(t, 30*time.Second), "parcels")
	require.NoError(t, err)
}

func TestSASLAsksInVain(t *testing.T) {
	c := fake(t, kfake.EnableSASL())
	none := errors.New("the vault is locked")
	for _, m := range []sasl.Mechanism{
		kafka.PlainFrom(func(context.Context) (kafka.Login, error) { return kafka.Login{}, none }),
		kafka.ScramSHA256From(func(context.Context) (kafka.Login, error) { return kafka.Login{}, none }),
		kafka.ScramSHA512From(func(context.Context) (kafka.Login, error) { return kafka.Login{}, none }),
	} {
		require.ErrorIs(t, produces(t, kafka.Config{Brokers: c.ListenAddrs(), SASLWithoutTLS: true, SASL: m}), none)
	}
	wire := newWire(t)
	require.ErrorIs(t, produces(t, wire.config(kafka.OAuthBearer(func(context.Context) (string, error) { return "", none }))), none)
	require.ErrorIs(t, produces(t, wire.config(kafka.MSKIAM(func(context.Context) (kafka.AWSCredentials, error) { return kafka.AWSCredentials{}, none }))), none)
	require.ErrorContains(t, produces(t, wire.config(kafka.MSKIAM(func(context.Context) (kafka.AWSCredentials, error) {
		return kafka.AWSCredentials{AccessKeyID: "AKIA"}, nil
	}))), "non-empty")
}

// wire is a broker that lets everybody in and keeps what they said.
type wire struct {
	cluster *kfake.Cluster
	answer  []byte

	mu        sync.Mutex
	mechanism string
	said      []byte
}

func newWire(t *testing.T) *wire {
	t.Helper()
	w := &wire{cluster: fake(t)}
	w.cluster.ControlKey(int16(kmsg.SASLHandshake), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.mechanism = req.(*kmsg.SASLHandshakeRequest).Mechanism
		return req.ResponseKind(), nil, true
	})
	w.cluster.ControlKey(int16(kmsg.SASLAuthenticate), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.said = bytes.Clone(req.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes)
		res := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		res.SASLAuthBytes = w.answer
		return res, nil, true
	})
	return w
}

func (w *wire) config(m sasl.Mechanism) kafka.Config {
	return kafka.Config{Brokers: w.cluster.ListenAddrs(), SASLWithoutTLS: true, SASL: m}
}

func TestOAuthBearerOnTheWire(t *testing.T) {
	w := newWire(t)
	asked := 0
	m := kafka.OAuthBearer(func(context.Context) (string, error) {
		asked++
		return "token-1", nil
	})
	require.NoError(t, produces(t, w.config(m)))
	require.Equal(t, "OAUTHBEARER", w.mechanism)
	require.Equal(t, "n,,\x01auth=Bearer token-1\x01\x01", string(w.said)) // RFC 7628, 4.1
	require.Positive(t, asked)

	w.answer = []byte(`{"status":"invalid_token"}`)
	err := produces(t, w.config(m))
	require.ErrorContains(t, err, "invalid_token")
	require.NotContains(t, err.Error(), "token-1")
}

func TestMSKIAMOnTheWire(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-central-1")
	w := newWire(t)
	w.answer = []byte(`{"version":"2020_10_22"}`)
	require.NoError(t, produces(t, w.config(kafka.MSKIAM(func(context.Context) (kafka.AWSCredentials, error) {
		return kafka.AWSCredentials{AccessKeyID: "AKIA", SecretAccessKey: canary, SessionToken: "for a while"}, nil
	}))))
	require.Equal(t, "AWS_MSK_IAM", w.mechanism)
	require.NotContains(t, string(w.said), canary)
	var said map[string]string
	require.NoError(t, json.Unmarshal(w.said, &said))
	require.Equal(t, "2020_10_22", said["version"])
	require.Equal(t, "127.0.0.1", said["host"])
	require.Equal(t, "kafka-cluster:Connect", said["action"])
	require.Equal(t, "for a while", said["x-amz-security-token"])
	require.Equal(t, signature(said, canary), said["x-amz-signature"])
}

// signature signs as version 4 of AWS's signatures does.
func signature(said map[string]string, secret string) string {
	query := url.Values{}
	for _, name := range []string{"Action", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-Security-Token", "X-Amz-SignedHeaders"} {
		query.Set(name, said[strings.ToLower(name)])
	}
	date := said["x-amz-date"]
	scope := date[:8] + "/eu-central-1/kafka-cluster/aws4_request"
	request := "GET\n/\n" + strings.ReplaceAll(query.Encode(), "+", "%20") + "\nhost:" + said["host"] + "\n\nhost\n" + fmt.Sprintf("%x", sha256.Sum256(nil))
	toSign := "AWS4-HMAC-SHA256\n" + date + "\n" + scope + "\n" + fmt.Sprintf("%x", sha256.Sum256([]byte(request)))
	key := []byte("AWS4" + secret)
	for _, part := range append(strings.Split(scope, "/"), toSign) {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(part))
		key = h.Sum(nil)
	}
	return hex.EncodeToString(key)
}

func TestCredentialsPrintWithoutSecrets(t *testing.T) {
	for _, v := range []any{kafka.Login{User: "ann", Password: canary}, kafka.AWSCredentials{AccessKeyID: "ann", SecretAccessKey: canary, SessionToken: canary}} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			out := fmt.Sprintf(format, v)
			assert.NotContains(t, out, canary)
			assert.Contains(t, out, "ann")
		}
	}
}

func TestSASLWithoutTLSIsRefused(t *testing.T) {
	c := fake(t)
	err := produces(t, kafka.Config{Brokers: c.ListenAddrs(), SASL: kafka.Plain("ann", canary)})
	require.ErrorContains(t, err, "Config.TLS is nil")
	require.ErrorContains(t, err, "PLAIN")
	require.NotContains(t, err.Error(), canary)
}
