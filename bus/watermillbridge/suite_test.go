package watermillbridge_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/kafkatest"
	"github.com/leat-go/leat/internal/servicetest"
)

// suite is Watermill's tests of all pub/subs, but for two: TestReconnect restarts a
// broker, and TestNewSubscriberReceivesOldMessages is about pub/subs whose subscribers
// are of no group.
var suite = []struct {
	name string
	test func(*testing.T, tests.TestContext, tests.PubSubConstructor)
}{
	{"PublishSubscribe", tests.TestPublishSubscribe},
	{"ConcurrentSubscribe", tests.TestConcurrentSubscribe},
	{"ConcurrentSubscribeMultipleTopics", tests.TestConcurrentSubscribeMultipleTopics},
	{"ResendOnError", tests.TestResendOnError},
	{"NoAck", tests.TestNoAck},
	{"ContinueAfterSubscribeClose", tests.TestContinueAfterSubscribeClose},
	{"ConcurrentClose", tests.TestConcurrentClose},
	{"ContinueAfterErrors", tests.TestContinueAfterErrors},
	{"PublishSubscribeInOrder", tests.TestPublishSubscribeInOrder},
	{"PublisherClose", tests.TestPublisherClose},
	{"Topic", tests.TestTopic},
	{"MessageCtx", tests.TestMessageCtx},
	{"SubscribeCtx", tests.TestSubscribeCtx},
}

// runSuite runs it on a channel; brief: with fewer messages and members.
func runSuite(t *testing.T, ch event.Channel, brief bool) {
	t.Helper()
	features := tests.Features{ConsumerGroups: true, GuaranteedOrder: true, Persistent: true, ForceShort: brief}
	of := func(_ *testing.T, group string) (message.Publisher, message.Subscriber) {
		return watermillbridge.NewPublisher(ch, watermillbridge.PublisherConfig{}),
			watermillbridge.NewSubscriber(ch, watermillbridge.SubscriberConfig{
				Group: group, CloseTimeout: 100 * time.Millisecond,
				NackDelay: func(int) time.Duration { return 0 }, // the suite nacks a message a hundred times
			})
	}
	one := func(t *testing.T) (message.Publisher, message.Subscriber) { t.Helper(); return of(t, "default") }
	contextOf := func() tests.TestContext { return tests.TestContext{TestID: tests.NewTestID(), Features: features} }
	for _, s := range suite {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.test(t, contextOf(), one)
		})
	}
	t.Run("ConsumerGroups", func(t *testing.T) {
		t.Parallel()
		tests.TestConsumerGroups(t, contextOf(), of)
	})
}

// roomy is a channel for as many events as the suite publishes ahead.
func roomy() event.Channel { return memory.New(memory.Capacity(1 << 17)) }

func TestSuiteOnMemory(t *testing.T) { runSuite(t, roomy(), false) }

func TestSuiteOnKafka(t *testing.T) {
	servicetest.Long(t)
	runSuite(t, onKafka(t), false)
}

func TestSuiteOnKafkaUnderStress(t *testing.T) {
	servicetest.Long(t)
	stress(t, onKafka(t), 10, true)
}

func onKafka(t *testing.T) event.Channel {
	t.Helper()
	ch := kafka.New(kafka.Config{Brokers: kafkatest.Brokers(t), SessionTimeout: 6 * time.Second, Topics: kafka.TopicDefaults{Partitions: 2}})
	t.Cleanup(func() { _ = ch.Close(context.Background()) })
	return ch
}

func TestSuiteOnMemoryUnderStress(t *testing.T) { stress(t, roomy(), 5, false) }

// stress runs the suite so many times at once, as TestPubSubStressTest does.
func stress(t *testing.T, ch event.Channel, times int, brief bool) {
	t.Helper()
	for i := range times {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			runSuite(t, ch, brief)
		})
	}
}
