package kafka_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
)

// authority makes a CA, and a certificate of it for the name or address host.
func authority(tb testing.TB, host string) (*x509.CertPool, tls.Certificate) {
	tb.Helper()
	roots, cert, err := newAuthority(host)
	require.NoError(tb, err)
	return roots, cert
}

func newAuthority(host string) (*x509.CertPool, tls.Certificate, error) {
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a test's own"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, tls.Certificate{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return nil, tls.Certificate{}, err
	}
	if ca, err = x509.ParseCertificate(der); err != nil {
		return nil, tls.Certificate{}, err
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature}
	if ip := net.ParseIP(host); ip != nil {
		leaf.IPAddresses = []net.IP{ip}
	} else {
		leaf.DNSNames = []string{host}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, tls.Certificate{}, err
	}
	if der, err = x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey); err != nil {
		return nil, tls.Certificate{}, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	return roots, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

func TestTLS(t *testing.T) {
	roots, cert := authority(t, "127.0.0.1")
	c := fake(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert}}))
	ch := closed(t, kafka.New(kafka.Config{Brokers: c.ListenAddrs(), TLS: &tls.Config{RootCAs: roots}}))
	p, err := ch.Producer(t.Context(), "orders")
	require.NoError(t, err)
	require.NoError(t, p.Produce(t.Context(), event.New("/shop", "made", nil)))

	others, _ := authority(t, "127.0.0.1")
	err = produces(t, kafka.Config{Brokers: c.ListenAddrs(), TLS: &tls.Config{RootCAs: others}})
	require.ErrorAs(t, err, new(x509.UnknownAuthorityError))
	require.ErrorContains(t, err, c.ListenAddrs()[0])

	err = produces(t, kafka.Config{Brokers: c.ListenAddrs(), TLS: new(tls.Config)})
	require.ErrorAs(t, err, new(*tls.CertificateVerificationError)) // verified by default

	require.ErrorContains(t, produces(t, kafka.Config{Brokers: c.ListenAddrs()}), "TLS") // we speak plain
}

func TestTLSOfAnotherName(t *testing.T) {
	roots, cert := authority(t, "kafka.example")
	c := fake(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert}}))
	err := produces(t, kafka.Config{Brokers: c.ListenAddrs(), TLS: &tls.Config{RootCAs: roots}})
	require.ErrorAs(t, err, new(x509.HostnameError))
	require.NoError(t, produces(t, kafka.Config{Brokers: c.ListenAddrs(), TLS: &tls.Config{RootCAs: roots, ServerName: "kafka.example"}}))
}

// A server without TLS gets nothing but a greeting that it can't read.
func TestTLSWithAPlainServer(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(c, make([]byte, 4)) // a length that is too large
			_ = c.Close()
		}
	}()
	err = produces(t, kafka.Config{Brokers: []string{l.Addr().String()}, TLS: new(tls.Config), SASL: kafka.Plain("ann", canary)})
	require.ErrorContains(t, err, "TLS")
	require.ErrorContains(t, err, l.Addr().String())
}

func TestTLSVersions(t *testing.T) {
	roots, cert := authority(t, "127.0.0.1")
	c := fake(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}))
	require.ErrorContains(t, produces(t, kafka.Config{Brokers: c.ListenAddrs(), TLS: &tls.Config{RootCAs: roots}}), "version")
	for _, low := range []*tls.Config{{MinVersion: tls.VersionTLS11}, {MaxVersion: tls.VersionTLS11}} {
		require.ErrorContains(t, produces(t, kafka.Config{Brokers: c.ListenAddrs(), TLS: low}), "at least TLS 1.2")
	}
}
