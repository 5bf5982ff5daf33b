package bridgekafka

import (
	"errors"
	"fmt"
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
	// the package's promises rest on is refused when it is changed. May be nil.
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
	s := sarama.NewConfig()
	s.ClientID = "leat"
	s.Version = sarama.V2_8_0_0 // zstd, headers, fencing by leader epochs
	if c.Sarama != nil {
		c.Sarama(s)
	}
	set := s.Producer.RequiredAcks != sarama.WaitForLocal || s.Producer.Idempotent || s.Consumer.Offsets.Initial != sarama.OffsetNewest ||
		!s.Consumer.Offsets.AutoCommit.Enable || s.Consumer.Group.Session.Timeout != defaultSession
	if set {
		return nil, errors.New("bridgekafka: Config.Sarama changes Producer.RequiredAcks, Producer.Idempotent, Consumer.Offsets or " +
			"Consumer.Group.Session.Timeout: the package sets these")
	}
	s.Producer.RequiredAcks = sarama.WaitForAll
	s.Producer.Idempotent = true
	s.Net.MaxOpenRequests = 1 // as Sarama wants it for idempotence
	s.Producer.Retry.Max = 10
	s.Producer.Return.Successes, s.Producer.Return.Errors = true, true
	s.Producer.MaxMessageBytes = c.MaxBytes
	s.Producer.Partitioner = sarama.NewCustomPartitioner(sarama.WithAbsFirst(), sarama.WithCustomHashFunction(newMurmur2))
	s.Metadata.AllowAutoTopicCreation = false // a topic is made as Config says, or not at all
	s.Consumer.Return.Errors = true
	s.Consumer.Offsets.Initial = sarama.OffsetOldest
	s.Consumer.Offsets.AutoCommit.Interval = commitInterval
	s.Consumer.Group.Session.Timeout = c.SessionTimeout
	s.Consumer.Group.Heartbeat.Interval = c.SessionTimeout / 3
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("bridgekafka: %w", err)
	}
	return s, nil
}
