package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/leat-go/leat/command"
)

// Config says whom to tell, and how. Targets is needed; all else may be zero.
type Config struct {
	// Targets returns who is to be told of an operation: those of its Subject or Tenant,
	// say. None is no failure. An error is returned by Notify as it is.
	Targets func(ctx context.Context, o command.Operation) ([]Target, error)
	// OnGone is called with a target that answered 410: it wants no more. It should be
	// disabled then. An error is a failure of the notification. Nil: the target isn't
	// tried again for this operation, and is for the next one.
	OnGone func(ctx context.Context, t Target) error

	AllowPrivate bool // dial any address but those of cloud metadata: for receivers in one's own network, and tests
	AllowPlain   bool // allow http

	Timeout   time.Duration // of a request, all in all; 0: 15 s
	MaxWait   time.Duration // the longest Retry-After that is kept; 0: an hour
	MaxResult int           // bytes of an operation's result that ride in the body at most; 0: 16 KiB; below: never

	TLS      *tls.Config   // of the connections; nil: that of the system. It is cloned
	Resolver *net.Resolver // of names; nil: that of the system
}

// Target is one receiver.
type Target struct {
	URL     string   // https, or http where that is allowed
	Secrets []Secret // the first is the current one, the others those before; at least one
}

// The defaults of Config, and other bounds.
const (
	defaultTimeout   = 15 * time.Second
	defaultMaxWait   = time.Hour
	defaultMaxResult = 16 << 10

	maxAtOnce  = 8        // targets of an operation that are asked at a time
	maxAnswer  = 64 << 10 // bytes of an answer that are read
	idleFor    = 30 * time.Second
	dialWithin = 10 * time.Second
)

// Notifier is a [command.Notifier] that sends webhooks. Its methods may be called
// concurrently.
type Notifier struct {
	cfg       Config
	transport *http.Transport
}

var _ command.Notifier = (*Notifier)(nil)

// New returns a notifier. It fails if there is no Config.Targets.
func New(cfg Config) (*Notifier, error) {
	if cfg.Targets == nil {
		return nil, errors.New("webhook: Config.Targets is nil")
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.MaxWait <= 0 {
		cfg.MaxWait = defaultMaxWait
	}
	if cfg.MaxResult == 0 {
		cfg.MaxResult = defaultMaxResult
	}
	return &Notifier{cfg, newTransport(cfg, guard(cfg.AllowPrivate))}, nil
}

// newTransport returns a transport of which each connection passes control, and none a
// proxy.
func newTransport(cfg Config, control control) *http.Transport {
	dialer := &net.Dialer{Timeout: dialWithin, Resolver: cfg.Resolver, ControlContext: control}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        cfg.TLS.Clone(),
		ForceAttemptHTTP2:      true, // a dialer and a TLS config of one's own switch it off
		TLSHandshakeTimeout:    dialWithin,
		MaxIdleConns:           100,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        idleFor,
		MaxResponseHeaderBytes: maxAnswer,
		DisableCompression:     true, // the body is dropped anyway
	}
}

// Close ends connections that wait for another request. The notifier can still be used.
func (n *Notifier) Close() { n.transport.CloseIdleConnections() }
