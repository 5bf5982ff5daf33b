package bridgekafka

import (
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"
)

// settingsOf returns what Sarama is told.
func settingsOf(t *testing.T, c Config) *sarama.Config {
	t.Helper()
	c.Brokers = []string{"127.0.0.1:1"}
	c, err := c.withDefaults()
	require.NoError(t, err)
	s, err := c.settings()
	require.NoError(t, err)
	return s
}

// What is promised rests on these: nothing accepted is lost, published twice or out of
// order, nothing is skipped, and keys are where Kafka's own clients put them.
func TestSettings(t *testing.T) {
	for name, c := range map[string]Config{
		"as they are": {},
		"with others beside": {Sarama: func(c *sarama.Config) {
			c.ClientID, c.Net.TLS.Enable, c.Net.DialTimeout = "shop", true, time.Second
			c.Producer.RequiredAcks = sarama.WaitForAll // it is so already
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := settingsOf(t, c)
			require.Equal(t, sarama.WaitForAll, s.Producer.RequiredAcks)
			require.True(t, s.Producer.Idempotent)
			require.Equal(t, 1, s.Net.MaxOpenRequests)
			require.Equal(t, 10, s.Producer.Retry.Max)
			require.True(t, s.Producer.Return.Successes)
			require.True(t, s.Producer.Return.Errors)
			require.Equal(t, defaultMaxBytes, s.Producer.MaxMessageBytes)
			require.False(t, s.Metadata.AllowAutoTopicCreation)
			require.True(t, s.Consumer.Return.Errors)
			require.Equal(t, sarama.OffsetOldest, s.Consumer.Offsets.Initial)
			require.True(t, s.Consumer.Offsets.AutoCommit.Enable)
			require.Equal(t, time.Second, s.Consumer.Offsets.AutoCommit.Interval)
			require.Equal(t, 10*time.Second, s.Consumer.Group.Session.Timeout)
			require.Less(t, s.Consumer.Group.Heartbeat.Interval, 4*time.Second)
			if c.Sarama != nil {
				require.Equal(t, "shop", s.ClientID)
				require.True(t, s.Net.TLS.Enable)
			}
			p := s.Producer.Partitioner("orders")
			require.True(t, p.RequiresConsistency())
			for key, want := range map[string]int32{"foobar": 6, "21": 0, "abc": 7} { // of the Java client
				got, err := p.Partition(&sarama.ProducerMessage{Key: sarama.StringEncoder(key)}, 10)
				require.NoError(t, err)
				require.Equal(t, want, got, key)
			}
		})
	}
	s := settingsOf(t, Config{MaxBytes: 1 << 20, SessionTimeout: time.Minute})
	require.Equal(t, 1<<20, s.Producer.MaxMessageBytes)
	require.Equal(t, time.Minute, s.Consumer.Group.Session.Timeout)
	require.Equal(t, 20*time.Second, s.Consumer.Group.Heartbeat.Interval)
}

// What the promises rest on can't be changed, all mistakes at once.
func TestSettingsThatAreRefused(t *testing.T) {
	changes := map[string]func(*sarama.Config){
		"Net.MaxOpenRequests":             func(c *sarama.Config) { c.Net.MaxOpenRequests = 5 },
		"Metadata.AllowAutoTopicCreation": func(c *sarama.Config) { c.Metadata.AllowAutoTopicCreation = true },
		"Producer.RequiredAcks":           func(c *sarama.Config) { c.Producer.RequiredAcks = sarama.WaitForLocal },
		"Producer.Idempotent":             func(c *sarama.Config) { c.Producer.Idempotent = false },
		"Producer.Transaction":            func(c *sarama.Config) { c.Producer.Transaction.ID = "x" },
		"Producer.Retry.Max":              func(c *sarama.Config) { c.Producer.Retry.Max = 3 },
		"Producer.Return":                 func(c *sarama.Config) { c.Producer.Return.Successes = false },
		"Producer.MaxMessageBytes":        func(c *sarama.Config) { c.Producer.MaxMessageBytes = 1000 },
		"Producer.Partitioner":            func(c *sarama.Config) { c.Producer.Partitioner = sarama.NewHashPartitioner },
		"Consumer.Return":                 func(c *sarama.Config) { c.Consumer.Return.Errors = false },
		"Consumer.Offsets.Initial":        func(c *sarama.Config) { c.Consumer.Offsets.Initial = sarama.OffsetNewest },
		"Consumer.Offsets.AutoCommit":     func(c *sarama.Config) { c.Consumer.Offsets.AutoCommit.Enable = false },
		"Consumer.Group.Session.Timeout":  func(c *sarama.Config) { c.Consumer.Group.Session.Timeout = time.Minute },
		"Consumer.Group.Heartbeat.Interval": func(c *sarama.Config) {
			c.Consumer.Group.Heartbeat.Interval = time.Second
		},
		"Consumer.Group.InstanceId": func(c *sarama.Config) { c.Consumer.Group.InstanceId = "a" },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			_, err := New(Config{Brokers: []string{"127.0.0.1:1"}, Sarama: change})
			require.EqualError(t, err, "bridgekafka: Config.Sarama changes "+name+": the package sets these")
		})
	}
	_, err := New(Config{Brokers: []string{"127.0.0.1:1"}, Sarama: func(c *sarama.Config) {
		for _, change := range changes {
			change(c)
		}
	}})
	for name := range changes {
		require.ErrorContains(t, err, name)
	}
}
