package memory_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/event/channeltest"
)

// lease is that of the channels that the suite tests: in real time it is waited for.
const lease = 300 * time.Millisecond

func harness(opts ...memory.Option) channeltest.Harness {
	opts = append([]memory.Option{memory.Lease(lease)}, opts...)
	return channeltest.Harness{
		Open: func(testing.TB) event.Channel { return crashing{memory.New(opts...)} },
		Declared: &channeltest.Declaration{
			Guarantees: event.Guarantees{
				Channel:        "memory",
				OrderPerKey:    true,
				MaxDelay:       -1,
				MaxRetry:       -1,
				Lease:          lease,
				CountsAttempts: true,
				GivesBack:      true,
				SettlesAtOnce:  true,
				KeepsFailures:  true,
				Parks:          true,
				Positions:      true,
			},
			Capabilities: channeltest.Provisioner | channeltest.DeadLetters | channeltest.GroupProducer |
				channeltest.PositionProducer | channeltest.Census | channeltest.Seeker |
				channeltest.LagReporter | channeltest.Quiescer | channeltest.Scheduler | channeltest.Ends,
		},
		Exact:     true,
		Ephemeral: true,
		Bounded: func(_ testing.TB, capacity int) event.Channel {
			return crashing{memory.New(append([]memory.Option{memory.Capacity(capacity)}, opts...)...)}
		},
	}
}

// channels finds the channel of a consumer, for crash.
var channels sync.Map

// crashing is a channel that can be found by its consumers.
type crashing struct{ *memory.Channel }

// Consumer notes whose the consumer is.
func (c crashing) Consumer(ctx context.Context, s event.Subscription) (event.Consumer, error) {
	m, err := c.Channel.Consumer(ctx, s)
	if err == nil {
		channels.Store(m, c.Channel)
	}
	return m, err
}

func crash(c event.Consumer) {
	ch, _ := channels.Load(c)
	ch.(*memory.Channel).Crash(c)
}

func TestConformance(t *testing.T) {
	for _, c := range []struct {
		name    string
		bubble  bool
		members int
		retain  int
		opts    []memory.Option
	}{
		{name: "virtual time", bubble: true},
		{name: "virtual time, one member", bubble: true, members: 1},
		{name: "virtual time, three members", bubble: true, members: 3},
		{name: "virtual time, with history", bubble: true, retain: 1 << 16},
		{name: "virtual time, encoded", bubble: true, opts: []memory.Option{memory.Encode()}},
		{name: "real time", retain: 1 << 16},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := harness(append(c.opts, memory.Retain(c.retain))...)
			h.Bubble, h.Members = c.bubble, c.members
			h.Parallel = !c.bubble
			h.Declared.Guarantees.History = c.retain > 0
			h.Crash = crash
			channeltest.Run(t, h)
		})
	}
}
