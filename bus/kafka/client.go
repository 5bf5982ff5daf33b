package kafka

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// options returns how every client reaches the cluster.
func (c Config) options() []kgo.Opt {
	opts := append(defaults(),
		kgo.SeedBrokers(c.Brokers...),
		kgo.ClientID(c.ClientID),
		kgo.Dialer(bounded(c.dial)),
	)
	if c.Rack != "" {
		opts = append(opts, kgo.Rack(c.Rack))
	}
	if c.SASL != nil {
		opts = append(opts, kgo.SASL(c.SASL))
	}
	if c.Logger != nil {
		opts = append(opts, kgo.WithLogger(logger{c.Logger}))
	}
	return opts
}

// defaults are what a user's own client may say otherwise.
func defaults() []kgo.Opt {
	return []kgo.Opt{
		kgo.DisableClientMetrics(),
		kgo.MetadataMinAge(250 * time.Millisecond), // how soon a new topic is seen
		kgo.RetryBackoffFn(backoff),
	}
}

// backoff is how long the client waits before it asks again. What a broker doesn't know
// yet, of a new topic or of a leader that has just moved, it often knows a moment later.
func backoff(fails int) time.Duration {
	const first, longest = 20 * time.Millisecond, 2500 * time.Millisecond
	d := longest
	if fails < 6 {
		d = min(d, first*time.Duration(math.Pow(3, float64(max(fails-1, 0)))))
	}
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

// options returns those of one client.
func (ch *Channel) options(more ...kgo.Opt) []kgo.Opt {
	own := append(slices.Clone(ch.base),
		kgo.WithHooks(&door{all: ch.doors}),
		kgo.ProducerBatchCompression(slices.Clone(ch.compression)...), // the client sorts what it is given
	)
	return append(own, more...)
}

// producing returns the options that Produce's promises rest on.
func (ch *Channel) producing() []kgo.Opt {
	return []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()), // idempotent by default, which needs them
		kgo.ProducerLinger(0),              // concurrent calls share batches while one is on its way
		kgo.RecordPartitioner(partitioner{}),
		kgo.MaxBufferedRecords(math.MaxInt32),      // Channel.room bounds them, and a context ends the wait for it
		kgo.ProducerBatchMaxBytesFn(ch.batchLimit), // a batch above a topic's limit would be refused as a whole
		kgo.UnknownTopicRetries(10),                // a new topic isn't known everywhere at once
	}
}

// dialFunc opens a connection.
type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// bounded bounds how long a connection may take to open: the client doesn't, and
// can't be closed meanwhile.
func bounded(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		return dial(ctx, network, address)
	}
}

// dial opens a connection to a broker, encrypted if that is configured.
func (c Config) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.Dialer(ctx, network, address)
	if err != nil || c.TLS == nil {
		return conn, err
	}
	cfg := c.TLS.Clone()
	if cfg.MinVersion == 0 {
		cfg.MinVersion = tls.VersionTLS12
	}
	if cfg.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			_ = conn.Close()
			return nil, err
		}
		cfg.ServerName = host
	}
	secure := tls.Client(conn, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("TLS with %s: %w", address, err)
	}
	return secure, nil
}

// logger tells a slog.Logger what the client warns of.
type logger struct{ l *slog.Logger }

func (g logger) Level() kgo.LogLevel { return kgo.LogLevelWarn }

func (g logger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	to := slog.LevelWarn
	if level == kgo.LogLevelError {
		to = slog.LevelError
	}
	g.l.Log(context.Background(), to, "kafka: "+msg, keyvals...)
}
