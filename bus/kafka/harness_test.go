package kafka_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/event/channeltest"
)

// channels finds the cuts of a consumer's channel.
type channels struct {
	new func(kafka.Config) *kafka.Channel

	mu  sync.Mutex
	all []*kafka.Cuts
}

func (cs *channels) open(cfg kafka.Config) *kafka.Channel {
	ch := cs.new(cfg)
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.all = append(cs.all, kafka.NewCuts(ch))
	return ch
}

func (cs *channels) of(c event.Consumer) *kafka.Cuts {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, x := range cs.all {
		if x.Has(c) {
			return x
		}
	}
	return nil
}

// harness tests the channels of a cluster.
func harness(cfg func(t testing.TB) kafka.Config) channeltest.Harness {
	return harnessOf(kafka.New, cfg)
}

// harnessOf tests channels that are made otherwise.
func harnessOf(newChannel func(kafka.Config) *kafka.Channel, cfg func(t testing.TB) kafka.Config) channeltest.Harness {
	cs := &channels{new: newChannel}
	var mu sync.Mutex
	cfgs := make(map[event.Channel]kafka.Config)
	open := func(cfg kafka.Config) event.Channel {
		ch := cs.open(cfg)
		mu.Lock()
		defer mu.Unlock()
		cfgs[ch] = cfg
		return ch
	}
	of := func(ch event.Channel) kafka.Config {
		mu.Lock()
		defer mu.Unlock()
		return cfgs[ch]
	}
	return channeltest.Harness{
		Open: func(tb testing.TB) event.Channel {
			tb.Helper()
			return open(cfg(tb))
		},
		Declared: &channeltest.Declaration{
			Guarantees: event.Guarantees{
				Channel: "kafka", OrderPerKey: true, Durable: true, History: true, MaxBytes: 1048588, MaxDelay: 15 * time.Minute,
				RedeliveryHorizon: 7 * 24 * time.Hour, Lease: session, Parks: true, Positions: true,
			},
			Capabilities: channeltest.Provisioner | channeltest.DeadLetters | channeltest.GroupProducer | channeltest.PositionProducer |
				channeltest.Census | channeltest.Seeker | channeltest.LagReporter | channeltest.Quiescer | channeltest.Ends,
		},
		Members:        4,
		Ephemeral:      true,
		Crash:          func(c event.Consumer) { cs.of(c).Crash(c) },
		CrashAfterDead: func(c event.Consumer) { cs.of(c).CrashAfterDead(c) },
		Reopen: func(tb testing.TB, ch event.Channel) event.Channel {
			tb.Helper()
			ctx, cancel := context.WithCancel(tb.Context())
			cancel()
			_ = ch.Close(ctx)
			return open(of(ch))
		},
		PutRaw: func(tb testing.TB, ch event.Channel, topic string, raw []byte) {
			tb.Helper()
			cfg := of(ch)
			opts := []kgo.Opt{kgo.SeedBrokers(cfg.Brokers...)}
			if cfg.Dialer != nil {
				opts = append(opts, kgo.Dialer(cfg.Dialer))
			}
			cl, err := kgo.NewClient(opts...)
			require.NoError(tb, err)
			defer cl.Close()
			require.NoError(tb, cl.ProduceSync(tb.Context(), &kgo.Record{Topic: topic, Value: raw}).FirstErr())
		},
	}
}

// session is the session timeout in tests.
const session = 6 * time.Second

// fake is a broker within the process.
func fake(tb testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	tb.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.DefaultNumPartitions(4), kfake.SleepOutOfOrder()}, opts...)...)
	require.NoError(tb, err)
	tb.Cleanup(c.Close)
	return c
}
