//go:build synctests

package kafka_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event/channeltest"
)

// TestBubbleFromClient runs the suite on channels with the options of users' clients,
// which were closed before.
func TestBubbleFromClient(t *testing.T) {
	fromClient := func(cfg kafka.Config) *kafka.Channel {
		cl, err := kgo.NewClient(
			kgo.SeedBrokers(cfg.Brokers...), kgo.Dialer(cfg.Dialer),
			kgo.ProducerBatchCompression(kgo.GzipCompression()), kgo.FetchMinBytes(1), kgo.MaxBufferedBytes(1<<20), // kept, and overridden
		)
		require.NoError(t, err)
		defer cl.Close()
		cfg.Brokers, cfg.Dialer = nil, nil
		return kafka.FromClient(cl, cfg)
	}
	h := harnessOf(fromClient, func(t testing.TB) kafka.Config {
		net := new(kfake.VirtualNetwork)
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.ListenFn(net.Listen), kfake.SleepOutOfOrder())
		require.NoError(t, err)
		t.Cleanup(cluster.Close)
		return kafka.Config{Brokers: cluster.ListenAddrs(), Dialer: net.DialContext, SessionTimeout: session}
	})
	h.Bubble = true
	h.Events = 200
	channeltest.Run(t, h)
}
