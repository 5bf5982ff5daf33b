package bridgekafka

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

// Config says which cluster to use and how. Only Brokers is required.
type Config struct {
	Brokers       []string // seeds, host:port; the others are learnt from them
	Partitions    int      // of topics that are made; 0: the broker's default
	Replicas      int      // of topics that are made; 0: the broker's default
	Subscriptions int      // of a member on each topic: members of the Kafka group; 0: 1
	// MaxBytes is the largest record that the brokers take, message.max.bytes of their
	// configuration; 0: 1,048,588, which is Kafka's default.
	MaxBytes int
	// SessionTimeout is how long a vanished member keeps its partitions; 0: 10 s.
	SessionTimeout time.Duration
	// Sarama sets what is not here: Net.TLS, Net.SASL, ClientID, Version and such. What
	// the package's promises rest on is set before, and refused when it is changed. May be
	// nil.
	Sarama func(c *sarama.Config)
}

const (
	defaultMaxBytes = 1048588 // message.max.bytes in Apache Kafka's ServerLogConfigs
	letterRoom      = 16 << 10
	defaultSession  = 10 * time.Second
	commitInterval  = time.Second
)

func (c Config) withDefaults() (Config, error) {
	if len(c.Brokers) == 0 {
		return c, errors.New("bridgekafka: Config.Brokers is empty")
	}
	if c.Partitions < 0 || c.Replicas < 0 || c.Subscriptions < 0 || c.MaxBytes < 0 || c.SessionTimeout < 0 {
		return c, errors.New("bridgekafka: Config: Partitions, Replicas, Subscriptions, MaxBytes and SessionTimeout can't be negative")
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = defaultMaxBytes
	}
	if c.MaxBytes <= 2*letterRoom {
		return c, fmt.Errorf("bridgekafka: Config.MaxBytes is %d: dead letters need room for their cause: at least %d",
			c.MaxBytes, 2*letterRoom)
	}
	if c.SessionTimeout == 0 {
		c.SessionTimeout = defaultSession
	}
	return c, nil
}

// settings returns Sarama's configuration.
func (c Config) settings() (*sarama.Config, error) {
	s := c.own()
	if c.Sarama != nil {
		s.Producer.Partitioner = nil // functions can't be compared
		c.Sarama(s)
		if changed := c.changed(s); len(changed) > 0 {
			return nil, fmt.Errorf("bridgekafka: Config.Sarama changes %s: the package sets these", strings.Join(changed, ", "))
		}
		s.Producer.Partitioner = partitioner
	}
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("bridgekafka: %w", err)
	}
	return s, nil
}

// partitioner finds the partition of a key as Kafka's own clients do.
var partitioner = sarama.NewCustomPartitioner(sarama.WithAbsFirst(), sarama.WithCustomHashFunction(newMurmur2))

// own returns what the package sets.
func (c Config) own() *sarama.Config {
	s := sarama.NewConfig()
	s.ClientID = "leat"
	s.Version = sarama.V2_8_0_0 // zstd, headers, fencing by leader epochs
	s.Producer.RequiredAcks = sarama.WaitForAll
	s.Producer.Idempotent = true
	s.Net.MaxOpenRequests = 1 // as Sarama wants it for idempotence
	s.Producer.Retry.Max = 10
	s.Producer.Return.Successes, s.Producer.Return.Errors = true, true
	s.Producer.MaxMessageBytes = c.MaxBytes
	s.Producer.Partitioner = partitioner
	s.Metadata.AllowAutoTopicCreation = false // a topic is made as Config says, or not at all
	s.Consumer.Return.Errors = true
	s.Consumer.Offsets.Initial = sarama.OffsetOldest
	s.Consumer.Offsets.AutoCommit.Interval = commitInterval
	s.Consumer.Group.Session.Timeout = c.SessionTimeout
	s.Consumer.Group.Heartbeat.Interval = c.SessionTimeout / 3
	return s
}

// changed names what the package's promises rest on and s has otherwise.
func (c Config) changed(s *sarama.Config) (names []string) {
	own := c.own()
	for _, x := range []struct {
		name    string
		changed bool
	}{
		{"Net.MaxOpenRequests", s.Net.MaxOpenRequests != own.Net.MaxOpenRequests},
		{"Metadata.AllowAutoTopicCreation", s.Metadata.AllowAutoTopicCreation != own.Metadata.AllowAutoTopicCreation},
		{"Producer.RequiredAcks", s.Producer.RequiredAcks != own.Producer.RequiredAcks},
		{"Producer.Idempotent", s.Producer.Idempotent != own.Producer.Idempotent},
		{"Producer.Transaction", s.Producer.Transaction.ID != ""},
		{"Producer.Retry.Max", s.Producer.Retry.Max != own.Producer.Retry.Max},
		{"Producer.Return", s.Producer.Return != own.Producer.Return},
		{"Producer.MaxMessageBytes", s.Producer.MaxMessageBytes != own.Producer.MaxMessageBytes},
		{"Producer.Partitioner", s.Producer.Partitioner != nil},
		{"Consumer.Return", s.Consumer.Return != own.Consumer.Return},
		{"Consumer.Offsets.Initial", s.Consumer.Offsets.Initial != own.Consumer.Offsets.Initial},
		{"Consumer.Offsets.AutoCommit", s.Consumer.Offsets.AutoCommit != own.Consumer.Offsets.AutoCommit},
		{"Consumer.Group.Session.Timeout", s.Consumer.Group.Session != own.Consumer.Group.Session},
		{"Consumer.Group.Heartbeat.Interval", s.Consumer.Group.Heartbeat != own.Consumer.Group.Heartbeat},
		// Subscriptions of one name would throw each other out.
		{"Consumer.Group.InstanceId", s.Consumer.Group.InstanceId != ""},
	} {
		if x.changed {
			names = append(names, x.name)
		}
	}
	return names
}
