package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// refusedFor is how long the brokers may refuse us until a call that waits for them
// says so. A refusal may pass: passwords change on both sides, not at once.
const refusedFor = 5 * time.Second

// trustError is an error of a connection that can't be trusted.
type trustError struct{ err error }

func (e *trustError) Error() string { return e.err.Error() }
func (e *trustError) Unwrap() error { return e.err }

// doors is which brokers refuse our connections: for credentials, or for a lack of
// trust on either side. The client goes on trying without an end; whoever waits for a
// broker learns here that it is in vain.
type doors struct {
	login   string // how we sign in
	signsIn bool
	seeds   []string

	mu      sync.Mutex
	refused map[string]refusal // by broker
	shut    chan struct{}      // closed while a broker refuses
}

// refusal is what a broker last said.
type refusal struct {
	err error
	at  time.Time
}

// door is the brokers' doors for one client.
type door struct {
	all  *doors
	tell func(error) // may be nil
}

var _ kgo.HookBrokerConnect = (*door)(nil)

// OnBrokerConnect implements [kgo.HookBrokerConnect].
func (d *door) OnBrokerConnect(b kgo.BrokerMetadata, _ time.Duration, conn net.Conn, err error) {
	address := net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
	if err == nil {
		d.all.opened(address)
		return
	}
	if !refuses(conn != nil, d.all.signsIn, err) {
		return
	}
	err = d.all.keep(address, err)
	if d.tell != nil {
		d.tell(err)
	}
}

// refuses reports whether an error says that we are not wanted or that we don't trust
// the other side; not one of a network that fails. Some brokers say nothing to a wrong
// password and hang up.
func refuses(connected, signsIn bool, err error) bool {
	var (
		untrusted *trustError
		cert      *tls.CertificateVerificationError
		noTLS     tls.RecordHeaderError
		op        *net.OpError
		network   net.Error
	)
	switch {
	case errors.As(err, &untrusted), errors.As(err, &cert), errors.As(err, &noTLS), errors.As(err, &op) && op.Op == "remote error":
		return true
	case connected && signsIn && errors.Is(err, io.EOF):
		return true
	case !connected, errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return false
	default:
		return !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, kgo.ErrClientClosed)
	}
}

// keep notes that a broker refuses us.
func (d *doors) keep(address string, err error) error {
	err = fmt.Errorf("kafka: broker %s refuses the connection (%s): %w", address, d.login, err)
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.refused) == 0 {
		d.refused = make(map[string]refusal)
		close(d.closing())
	}
	d.refused[address] = refusal{err, time.Now()}
	return err
}

// opened notes that a broker lets us in.
func (d *doors) opened(address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.refused[address]; !known {
		return
	}
	if delete(d.refused, address); len(d.refused) == 0 {
		d.shut = nil
	}
}

func (d *doors) closing() chan struct{} {
	if d.shut == nil {
		d.shut = make(chan struct{})
	}
	return d.shut
}

// closed returns a channel that is closed while a broker refuses us.
func (d *doors) closed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closing()
}

// since returns the last refusal since a time, if there was one.
func (d *doors) since(start time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.refused {
		if r.at.After(start) {
			return r.err
		}
	}
	return nil
}

// wait waits for done. It returns early when ctx ends, or when a broker refuses us and
// goes on to: the broker may not be the one that is waited for, but nothing came from
// that either.
func (d *doors) wait(ctx context.Context, done <-chan struct{}) error {
	for {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-d.closed():
		}
		start := time.Now()
		patience := time.NewTimer(refusedFor)
		select {
		case <-done:
		case <-ctx.Done():
		case <-patience.C:
		}
		patience.Stop()
		if err := d.since(start); err != nil && ctx.Err() == nil && !isDone(done) {
			return err
		}
	}
}

// enter returns a context that ends when the brokers refuse us and go on to, and what
// ends its use and makes a call's error say who refuses what.
func (d *doors) enter(ctx context.Context) (context.Context, func(error) error) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		if err := d.wait(ctx, done); err != nil {
			cancel(err)
		}
	}()
	return ctx, func(err error) error {
		refused := context.Cause(ctx)
		close(done)
		cancel(nil)
		if errors.Is(err, context.Canceled) && refused != nil {
			return refused
		}
		return d.explain(err)
	}
}

func isDone(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// explain adds to an error of signing in who refuses what.
func (d *doors) explain(err error) error {
	if err == nil || strings.Contains(err.Error(), d.login) || !signIn(err) {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for address := range d.refused {
		return fmt.Errorf("%w (broker %s, %s)", err, address, d.login)
	}
	return fmt.Errorf("%w (brokers %s, %s)", err, strings.Join(d.seeds, ", "), d.login)
}

// signIn reports whether an error comes from signing in, or from not doing so.
func signIn(err error) bool {
	var eof *kgo.ErrFirstReadEOF
	return errors.As(err, &eof) || errors.Is(err, kerr.SaslAuthenticationFailed) ||
		errors.Is(err, kerr.UnsupportedSaslMechanism) || errors.Is(err, kerr.IllegalSaslState) || errors.Is(err, io.EOF)
}

// login says how c signs in.
func (c Config) login() string {
	how := "no SASL"
	if c.SASL != nil {
		how = "SASL " + c.SASL.Name()
	}
	if c.TLS != nil {
		return how + ", TLS"
	}
	return how
}
