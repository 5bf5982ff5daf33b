package kafka_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
)

func client(tb testing.TB, opts ...kgo.Opt) *kgo.Client {
	tb.Helper()
	cl, err := kgo.NewClient(opts...)
	require.NoError(tb, err)
	tb.Cleanup(cl.Close)
	return cl
}

func TestFromClientRefuses(t *testing.T) {
	for name, opts := range map[string][]kgo.Opt{
		"RequiredAcks":                       {kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite()},
		"DisableIdempotentWrite":             {kgo.DisableIdempotentWrite()},
		"AllowIdempotentProduceCancellation": {kgo.AllowIdempotentProduceCancellation()},
		"TransactionalID":                    {kgo.TransactionalID("mine")},
		"ManualFlushing":                     {kgo.ManualFlushing()},
		"DefaultProduceTopicAlways":          {kgo.DefaultProduceTopic("mine"), kgo.DefaultProduceTopicAlways()},
		"AllowAutoTopicCreation":             {kgo.AllowAutoTopicCreation()},
		"DisableFetchCRCValidation":          {kgo.DisableFetchCRCValidation()},
		"ConsumerGroup":                      {kgo.ConsumerGroup("mine"), kgo.ConsumeTopics("mine")},
		"ShareGroup":                         {kgo.ShareGroup("mine"), kgo.ConsumeTopics("mine")},
		"InstanceID":                         {kgo.InstanceID("mine")},
		"ConsumeTopics":                      {kgo.ConsumeTopics("mine")},
		"ConsumePartitions":                  {kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"mine": {0: kgo.NewOffset()}})},
		"ConsumeRegex":                       {kgo.ConsumeRegex()},
		"ConsumeExcludeTopics":               {kgo.ConsumeRegex(), kgo.ConsumeExcludeTopics("mine")},
		"AdjustFetchOffsetsFn": {kgo.AdjustFetchOffsetsFn(func(_ context.Context, o map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
			return o, nil
		})},
		"AutoCommitMarks":    {kgo.ConsumerGroup("mine"), kgo.ConsumeTopics("mine"), kgo.AutoCommitMarks()},
		"GreedyAutoCommit":   {kgo.ConsumerGroup("mine"), kgo.ConsumeTopics("mine"), kgo.GreedyAutoCommit()},
		"ServerSideBalancer": {kgo.ServerSideBalancer()},
		"DialTLSConfig":      {kgo.DialTLSConfig(&tls.Config{MinVersion: tls.VersionTLS11})},
	} {
		t.Run(name, func(t *testing.T) {
			cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers("127.0.0.1:1"))...)
			require.NoError(t, err)
			defer cl.CloseAllowingRebalance()
			_, err = kafka.FromClient(cl, kafka.Config{}).Producer(t.Context(), "orders")
			require.ErrorContains(t, err, "option "+name+" is refused")
		})
	}
}

func TestFromClientRefusesItsConfig(t *testing.T) {
	cl := client(t)
	for name, cfg := range map[string]kafka.Config{
		"Brokers": {Brokers: []string{"127.0.0.1:1"}},
		"TLS":     {TLS: new(tls.Config)},
		"SASL":    {SASL: kafka.Plain("ann", canary)},
		"Dialer":  {Dialer: (&net.Dialer{}).DialContext},
	} {
		err := kafka.FromClient(cl, cfg).EnsureTopic(t.Context(), event.TopicSpec{Name: "orders"})
		require.ErrorContains(t, err, "Config."+name+" is set")
		require.NotContains(t, err.Error(), canary)
	}
	require.ErrorContains(t, kafka.FromClient(nil, kafka.Config{}).EnsureTopic(t.Context(), event.TopicSpec{Name: "orders"}), "is nil")
	require.ErrorContains(t, kafka.FromClient(cl, kafka.Config{SessionTimeout: -1}).EnsureTopic(t.Context(), event.TopicSpec{Name: "orders"}), "negative")
}

// A client's SASL on connections without TLS needs the loud option too.
func TestFromClientSASLWithoutTLS(t *testing.T) {
	c := fake(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "ann", "right"))
	cl := client(t, kgo.SeedBrokers(c.ListenAddrs()...), kgo.SASL(kafka.Plain("ann", "right")))
	_, err := closed(t, kafka.FromClient(cl, kafka.Config{})).Producer(within(t, 20*time.Second), "orders")
	require.ErrorContains(t, err, "SASLWithoutTLS")
	require.ErrorContains(t, err, "PLAIN")
	_, err = closed(t, kafka.FromClient(cl, kafka.Config{SASLWithoutTLS: true})).Producer(t.Context(), "orders")
	require.NoError(t, err)

	roots, cert := authority(t, "127.0.0.1")
	c = fake(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "ann", "right"), kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert}}))
	cl = client(t, kgo.SeedBrokers(c.ListenAddrs()...), kgo.SASL(kafka.Plain("ann", "right")), kgo.DialTLSConfig(&tls.Config{RootCAs: roots}))
	_, err = closed(t, kafka.FromClient(cl, kafka.Config{})).Producer(t.Context(), "orders")
	require.NoError(t, err)
}

// counts is a hook.
type counts struct{ writes atomic.Int64 }

func (c *counts) OnBrokerWrite(kgo.BrokerMetadata, int16, int, time.Duration, time.Duration, error) {
	c.writes.Add(1)
}

// Hooks are kept, and the client stays the user's.
func TestFromClientKeeps(t *testing.T) {
	c := fake(t)
	hook := new(counts)
	cl := client(t, kgo.SeedBrokers(c.ListenAddrs()...), kgo.WithHooks(hook), kgo.RecordRetries(3), kgo.RecordDeliveryTimeout(time.Minute),
		kgo.FetchIsolationLevel(kgo.ReadUncommitted()))
	ch := kafka.FromClient(cl, kafka.Config{ClientID: "shop", Rack: "a", Logger: slog.New(slog.DiscardHandler)})
	p, err := ch.Producer(t.Context(), "orders")
	require.NoError(t, err)
	require.NoError(t, p.Produce(t.Context(), event.New("/shop", "made", nil)))
	require.NoError(t, ch.Close(t.Context()))
	require.Positive(t, hook.writes.Load())
	require.NoError(t, cl.Ping(t.Context()))
}
