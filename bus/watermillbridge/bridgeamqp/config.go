package bridgeamqp

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// Config says which broker to use and how. Only URI is required; the other fields have
// a default that is safe.
type Config struct {
	// URI is where the broker is and who we are: amqp://user:password@host:port/vhost, or
	// amqps:// for TLS. Of its parameters heartbeat counts most, in whole seconds and 10
	// by default: after three of it a machine that vanished is noticed.
	URI string
	// TLS is for amqps; nil: the system's certificates, or those that the URI names.
	// Versions below 1.2 are refused.
	TLS *tls.Config

	// Subscriptions is how many messages a member handles at once on each of its topics,
	// those that wait for a retry included; 0: 10, and 1 if Ordered. Each is two channels
	// of AMQP, of which a connection has 2,047.
	Subscriptions int
	// Ordered keeps the order of a topic, and with it that of every key: of all members
	// of a group one gets messages, one after the other. The others stand by. Queues that
	// were made otherwise are refused.
	Ordered bool
	// Quorum makes quorum queues, which lose nothing with a node of a cluster. Without it
	// queues are of the virtual host's default kind, which is classic: each lives on one
	// node. Queues that were made otherwise are refused.
	Quorum bool
	// ConsumerTimeout is the broker's consumer_timeout, which it doesn't tell: for so long
	// a message can be in hand before it comes again. 0: 30 min, RabbitMQ's default;
	// negative: the broker has none.
	ConsumerTimeout time.Duration
}

const (
	defaultSubscriptions = 10
	mostSubscriptions    = 500              // with a handful of topics they fit into a connection
	defaultTimeout       = 30 * time.Minute // rabbitmq.com/docs/consumers#acknowledgement-timeout
	leastTimeout         = time.Minute      // the broker looks once a minute
	defaultHeartbeat     = 10 * time.Second // of the client library; a lower one of the broker's counts
	dialTimeout          = 10 * time.Second
)

// settings is a Config that is complete, and what its URI says.
type settings struct {
	Config

	heartbeat time.Duration
}

// errURI shows nothing of the URI, as the parser's errors do: where one sign of a password
// isn't encoded, the password may be any part of it.
var errURI = errors.New("Config.URI is no amqp://user:password@host:port/vhost, with % and two digits for signs that mean something in it")

// client returns the settings of a connection that the broker shows under a name.
func (s *settings) client(name string, dial func(network, addr string) (net.Conn, error)) amqp091.Config {
	about := amqp091.NewConnectionProperties()
	about.SetClientConnectionName(name)
	return amqp091.Config{
		Heartbeat: s.heartbeat, Locale: "en_US", Properties: about, Dial: dial,
		TLSClientConfig: s.TLS.Clone(), // the client writes into it
	}
}

// settings returns c with its zero fields filled, or all that is wrong with it.
func (c Config) settings() (settings, error) {
	s := settings{Config: c, heartbeat: defaultHeartbeat}
	var errs []error
	errs = append(errs, s.readURI()...)
	if v := tooOld(c.TLS); v != 0 {
		errs = append(errs, fmt.Errorf("Config.TLS allows %s: at least TLS 1.2 is needed", tls.VersionName(v)))
	}
	switch {
	case c.Subscriptions < 0 || c.Subscriptions > mostSubscriptions:
		errs = append(errs, fmt.Errorf("Config.Subscriptions is %d: it can be from 1 to %d", c.Subscriptions, mostSubscriptions))
	case c.Ordered && c.Subscriptions > 1:
		errs = append(errs, fmt.Errorf("Config.Ordered: %d Subscriptions would overtake each other", c.Subscriptions))
	case c.Subscriptions == 0 && c.Ordered:
		s.Subscriptions = 1
	case c.Subscriptions == 0:
		s.Subscriptions = defaultSubscriptions
	}
	switch {
	case c.ConsumerTimeout == 0:
		s.ConsumerTimeout = defaultTimeout
	case c.ConsumerTimeout < 0:
		s.ConsumerTimeout = 0
	case c.ConsumerTimeout < leastTimeout:
		errs = append(errs, fmt.Errorf("Config.ConsumerTimeout is %v: RabbitMQ knows none below %v", c.ConsumerTimeout, leastTimeout))
	}
	if err := errors.Join(errs...); err != nil {
		return settings{}, fmt.Errorf("bridgeamqp: %w", err)
	}
	return s, nil
}

// readURI reads what the URI says, and returns what is wrong with it.
func (s *settings) readURI() []error {
	if s.URI == "" {
		return []error{errors.New("Config.URI is empty")}
	}
	uri, err := url.Parse(s.URI)
	if _, err2 := amqp091.ParseURI(s.URI); err != nil || err2 != nil || cutInTwo(s.URI) {
		return []error{errURI}
	}
	var errs []error
	if s.TLS != nil && uri.Scheme != "amqps" {
		errs = append(errs, errors.New("Config.TLS is set and Config.URI is not amqps://: nothing would be encrypted"))
	}
	if beat := uri.Query().Get("heartbeat"); beat != "" {
		n, _ := strconv.Atoi(beat) // it is a number
		s.heartbeat = time.Duration(n) * time.Second
	}
	if s.heartbeat < time.Second || s.heartbeat > time.Minute {
		errs = append(errs, errors.New("Config.URI: heartbeat can be from 1 to 60: without it nobody notices that the other is gone"))
	}
	return errs
}

// cutInTwo reports whether a password may have a sign that ends the name of the host.
func cutInTwo(uri string) bool {
	_, rest, _ := strings.Cut(uri, "://")
	i := strings.IndexAny(rest, "/?#")
	return i >= 0 && strings.Contains(rest[i:], "@")
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
