package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
)

// Config says which cluster to use and how. Only Brokers is required; the other
// fields have a default that is safe.
type Config struct {
	Brokers  []string // seeds, host:port; the others are learnt from them
	ClientID string   // for the brokers' logs and quotas; "": leat
	Rack     string   // where this process runs: reads from the replica there, if it can

	TLS  *tls.Config    // nil: no encryption; versions below 1.2 are refused
	SASL sasl.Mechanism // who we are: [Plain], [ScramSHA256], [ScramSHA512], [OAuthBearer], [MSKIAM], or any of franz-go's
	// SASLWithoutTLS lets SASL run on an unencrypted connection, which shows passwords
	// and events to the network. Without it such a configuration is refused.
	SASLWithoutTLS bool
	// Dialer opens connections, in 10 s at most; nil: a net.Dialer. TLS is added to what
	// it returns.
	Dialer func(ctx context.Context, network, address string) (net.Conn, error)

	// Topics is how topics are made that don't exist.
	Topics TopicDefaults

	// SessionTimeout is how long a vanished member keeps its partitions; 0: 45 s. With
	// ServerSide the broker's group configuration consumer.session.timeout.ms decides,
	// and this must not be longer.
	SessionTimeout time.Duration
	// ServerSide joins groups by the protocol of KIP-848, where the broker assigns the
	// partitions: Apache Kafka 4.0 or newer. All members of a group must agree.
	ServerSide bool
	// CommitInterval is how long acks may wait until they are written to the broker; a
	// process that dies repeats at most these; 0: 100 ms.
	CommitInterval time.Duration
	// MaxDelay is the longest NotBefore ahead; 0: 15 min, negative: none.
	MaxDelay time.Duration
	// DelayTopics lets delayed events wait in a topic of their group: any number of them,
	// for as long as MaxDelay says. Without it a member holds what is delayed, and reads
	// no more of a partition of which it holds 16,384 events. All members of a group
	// must agree: the one that has partition 0 of a topic lets its delayed events go on.
	DelayTopics bool
	// MaxBuffered is how many bytes of events may wait for the brokers, over all topics;
	// 0: 64 MiB. Produce waits for room beyond it.
	MaxBuffered int64

	// Transactions lets what a handler publishes on this channel, and the settlement of
	// what it handled, happen both or not at all: see the package's documentation. All
	// members of a group should agree. The brokers must allow transactional ids that
	// begin with the name of the group and a dot.
	Transactions bool
	// TransactionTimeout is how long the brokers wait for the end of a transaction whose
	// member vanished; so long its readers wait, and 10 s more by the brokers' default;
	// 0: 10 s.
	TransactionTimeout time.Duration

	// Logger gets the client's warnings and errors; never an event's data; nil: none.
	Logger *slog.Logger
}

// TopicDefaults is how topics are made that don't exist. Zero fields leave it to the
// broker.
type TopicDefaults struct {
	Partitions int           // of a new topic; 0: num.partitions of the broker
	Replicas   int           // of each partition; 0: default.replication.factor of the broker
	Retention  time.Duration // how long events are kept; 0: log.retention of the broker, negative: for ever
	// Never makes no topic and changes none: one that doesn't exist is an error that
	// names it. A group needs its own topics too, see the package's documentation.
	Never bool
}

const (
	defaultSession     = 45 * time.Second
	defaultCommit      = 100 * time.Millisecond
	defaultMaxDelay    = 15 * time.Minute
	defaultMaxBuffered = 64 << 20
	defaultTransaction = 10 * time.Second
	dialTimeout        = 10 * time.Second
)

// withDefaults returns c with its zero fields filled, or all that is wrong with it.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	if len(c.Brokers) == 0 {
		errs = append(errs, errors.New("kafka: Config.Brokers is empty"))
	}
	for _, b := range c.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			errs = append(errs, fmt.Errorf("kafka: Config.Brokers: %q: %w", b, err))
		}
	}
	if c.SASL != nil && c.TLS == nil && !c.SASLWithoutTLS {
		errs = append(errs, fmt.Errorf("kafka: Config.SASL is %s and Config.TLS is nil: the network would see the credentials; "+
			"set TLS, or SASLWithoutTLS if that is meant", c.SASL.Name()))
	}
	if v := tooOld(c.TLS); v != 0 {
		errs = append(errs, fmt.Errorf("kafka: Config.TLS allows %s: at least TLS 1.2 is needed", tls.VersionName(v)))
	}
	if c.SessionTimeout < 0 || c.CommitInterval < 0 || c.TransactionTimeout < 0 ||
		c.MaxBuffered < 0 || c.Topics.Partitions < 0 || c.Topics.Replicas < 0 {
		errs = append(errs, errors.New("kafka: Config: SessionTimeout, CommitInterval, TransactionTimeout, MaxBuffered, "+
			"Topics.Partitions and Topics.Replicas can't be negative"))
	}
	if c.ClientID == "" {
		c.ClientID = "leat"
	}
	if c.Dialer == nil {
		c.Dialer = new(net.Dialer).DialContext
	}
	c.SessionTimeout = or(c.SessionTimeout, defaultSession)
	c.CommitInterval = or(c.CommitInterval, defaultCommit)
	c.TransactionTimeout = or(c.TransactionTimeout, defaultTransaction)
	c.MaxBuffered = or(c.MaxBuffered, defaultMaxBuffered)
	c.MaxDelay = max(or(c.MaxDelay, defaultMaxDelay), 0)
	return c, errors.Join(errs...)
}

// tooOld returns the version in a configuration that is too old to be trusted, or 0.
func tooOld(c *tls.Config) uint16 {
	if c == nil {
		return 0
	}
	for _, v := range []uint16{c.MinVersion, c.MaxVersion} {
		if v != 0 && v < tls.VersionTLS12 {
			return v
		}
	}
	return 0
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
