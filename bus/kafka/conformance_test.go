package kafka_test

import (
	"testing"
	"time"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event/channeltest"
	"github.com/leat-go/leat/internal/kafkatest"
)

// TestConformance runs the suite on a real broker.
func TestConformance(t *testing.T) {
	seeds := kafkatest.Brokers(t)
	h := harness(func(testing.TB) kafka.Config {
		return kafka.Config{Brokers: seeds, SessionTimeout: session}
	})
	h.Parallel = true
	h.Patience, h.Silence, h.Delay = 30*time.Second, 2*time.Second, 2*time.Second
	h.Events = 2000
	channeltest.Run(t, h)
}
