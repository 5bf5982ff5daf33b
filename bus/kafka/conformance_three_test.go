package kafka_test

import (
	"testing"
	"time"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event/channeltest"
	"github.com/leat-go/leat/internal/kafkatest"
)

// TestConformanceThree runs the suite on three brokers, by the protocol in which they
// assign the partitions.
func TestConformanceThree(t *testing.T) {
	kafkatest.Long(t)
	cluster := kafkatest.NewCluster(t, 3, kafkatest.WithProps(
		"broker.session.timeout.ms=3000", "broker.heartbeat.interval.ms=500",
		"group.consumer.min.session.timeout.ms=6000", "group.consumer.session.timeout.ms=6000",
		"group.consumer.min.heartbeat.interval.ms=500", "group.consumer.heartbeat.interval.ms=500"))
	h := harness(func(testing.TB) kafka.Config {
		return kafka.Config{Brokers: cluster.Brokers(), SessionTimeout: session, ServerSide: true, DelayTopics: true, Topics: kafka.TopicDefaults{Replicas: 3}}
	})
	h.Parallel = true
	h.Patience, h.Silence, h.Delay = 30*time.Second, 2*time.Second, 2*time.Second
	h.Events = 2000
	t.Run("suite", func(t *testing.T) { channeltest.Run(t, h) }) // ends before the cluster does
}
