package bridgeamqp_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy stands between a client and the broker, and can part them.
type proxy struct {
	to       string
	listener net.Listener

	mu       sync.Mutex
	away     bool
	ice      chan struct{} // nothing passes until it is closed; nil: all does
	conns    map[net.Conn]bool
	accepted int
	opened   int // channels of AMQP
}

// through returns the URI of the broker behind a proxy.
func through(tb testing.TB) (string, *proxy) {
	tb.Helper()
	u, err := url.Parse(uri(tb))
	require.NoError(tb, err)
	p := &proxy{to: u.Host, conns: make(map[net.Conn]bool)}
	p.listener, err = new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = p.listener.Close(); p.part() })
	u.Host = p.listener.Addr().String()
	go p.serve()
	return u.String(), p
}

// encrypted returns the URI of the broker behind a proxy that speaks TLS, and whom to
// trust for it.
func encrypted(tb testing.TB) (string, *tls.Config) {
	tb.Helper()
	at, p := through(tb)
	server := httptest.NewTLSServer(nil) // it has a certificate
	server.Close()
	outer, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	front := &proxy{to: p.listener.Addr().String(), conns: make(map[net.Conn]bool)}
	front.listener = tls.NewListener(outer, &tls.Config{Certificates: server.TLS.Certificates})
	tb.Cleanup(func() { _ = front.listener.Close(); front.part() })
	go front.serve()
	u, err := url.Parse(at)
	require.NoError(tb, err)
	u.Scheme, u.Host = "amqps", outer.Addr().String()
	return u.String(), server.Client().Transport.(*http.Transport).TLSClientConfig
}

func (p *proxy) serve() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.accepted++
		p.mu.Unlock()
		go p.join(c)
	}
}

func (p *proxy) join(client net.Conn) {
	server, err := new(net.Dialer).Dial("tcp", p.to)
	if err != nil {
		_ = client.Close()
		return
	}
	if !p.note(client, server) {
		return
	}
	go p.pass(server, client, true)
	p.pass(client, server, false)
}

// note keeps connections to be parted, and closes them if they are.
func (p *proxy) note(cs ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range cs {
		if p.away {
			_ = c.Close()
			continue
		}
		p.conns[c] = true
	}
	return !p.away
}

// channelOpen is the frame that opens a channel of AMQP, from its length on.
var channelOpen = []byte{0, 0, 0, 5, 0, 20, 0, 10}

func (p *proxy) pass(to, from net.Conn, upward bool) {
	defer p.forget(to, from)
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		ice := p.ice
		if upward {
			p.opened += bytes.Count(buf[:n], channelOpen)
		}
		p.mu.Unlock()
		if ice != nil {
			<-ice
		}
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

func (p *proxy) forget(cs ...io.Closer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range cs {
		_ = c.Close()
		delete(p.conns, c.(net.Conn))
	}
}

// part cuts all connections, and lets none be made until join is called.
func (p *proxy) part() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = true
	for c := range p.conns {
		_ = c.Close()
	}
}

// freeze lets nothing pass any more, not even the end of a connection.
func (p *proxy) freeze(tb testing.TB) {
	tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	ice := make(chan struct{})
	p.ice = ice
	tb.Cleanup(func() { close(ice) })
}

// cut cuts all connections.
func (p *proxy) cut() {
	p.part()
	p.unite()
}

// unite lets connections be made again.
func (p *proxy) unite() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = false
}

// counts returns how many connections were made so far, and channels of AMQP on them.
func (p *proxy) counts() (conns, channels int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted, p.opened
}
