//go:build synctests

package kafka_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event/channeltest"
)

// TestBubble runs the suite in virtual time, on a broker within the process.
func TestBubble(t *testing.T) {
	h := harness(func(t testing.TB) kafka.Config {
		net := new(kfake.VirtualNetwork)
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.ListenFn(net.Listen), kfake.SleepOutOfOrder())
		require.NoError(t, err)
		t.Cleanup(cluster.Close)
		return kafka.Config{Brokers: cluster.ListenAddrs(), Dialer: net.DialContext, SessionTimeout: session, DelayTopics: true}
	})
	h.Bubble = true
	h.Events = 2000
	channeltest.Run(t, h)
}
