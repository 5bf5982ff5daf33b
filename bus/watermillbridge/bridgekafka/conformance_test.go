package bridgekafka_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/bus/watermillbridge/bridgekafka"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/event/channeltest"
	"github.com/leat-go/leat/internal/kafkatest"
	"github.com/leat-go/leat/internal/servicetest"
)

const session = 6 * time.Second

func open(tb testing.TB, brokers []string) *watermillbridge.Channel {
	tb.Helper()
	ch, err := bridgekafka.New(bridgekafka.Config{Brokers: brokers, Partitions: 4, SessionTimeout: session})
	require.NoError(tb, err)
	return ch
}

func TestConformance(t *testing.T) {
	servicetest.Long(t)
	brokers := kafkatest.Brokers(t)
	channeltest.Run(t, channeltest.Harness{
		Open: func(tb testing.TB) event.Channel {
			tb.Helper()
			return open(tb, brokers)
		},
		Declared: &channeltest.Declaration{
			Guarantees: event.Guarantees{
				Channel: "watermill-kafka", OrderPerKey: true, Durable: true, History: true,
				MaxBytes: 1048588 - 16<<10, Lease: session, InHand: 1,
			},
			Capabilities: channeltest.DeadLetters | channeltest.GroupProducer,
		},
		Members:   3,
		Ephemeral: true,
		Crash:     watermillbridge.Crash,
		PutRaw: func(tb testing.TB, _ event.Channel, topic string, raw []byte) {
			tb.Helper()
			cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
			require.NoError(tb, err)
			defer cl.Close()
			require.NoError(tb, cl.ProduceSync(tb.Context(), &kgo.Record{Topic: topic, Value: raw}).FirstErr())
		},
		Parallel: true,
		Patience: time.Minute, Silence: 2 * time.Second, Events: 1000,
	})
}
