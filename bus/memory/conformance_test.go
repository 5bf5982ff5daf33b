package memory_test

import (
	"fmt"
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
		Open: func(testing.TB) event.Channel { return memory.New(opts...) },
		Declared: &channeltest.Declaration{
			Guarantees: event.Guarantees{
				Channel:        "memory",
				OrderPerKey:    true,
				MaxDelay:       -1,
				MaxRetry:       -1,
				Lease:          lease,
				CountsAttempts: true,
				GivesBack:      true,
				KeepsFailures:  true,
				Positions:      true,
			},
			Capabilities: channeltest.Provisioner | channeltest.DeadLetters | channeltest.GroupProducer |
				channeltest.PositionProducer | channeltest.Census | channeltest.Seeker |
				channeltest.LagReporter | channeltest.Quiescer,
		},
		Exact:     true,
		Ephemeral: true,
		Bounded: func(_ testing.TB, capacity int) event.Channel {
			return memory.New(append([]memory.Option{memory.Capacity(capacity)}, opts...)...)
		},
	}
}

func TestConformance(t *testing.T) {
	for _, bubble := range []bool{false, true} {
		for _, encode := range []bool{false, true} {
			for _, retain := range []int{0, 1 << 16} {
				t.Run(fmt.Sprintf("bubble=%v,encode=%v,retain=%d", bubble, encode, retain), func(t *testing.T) {
					var opts []memory.Option
					if encode {
						opts = append(opts, memory.Encode())
					}
					if retain > 0 {
						opts = append(opts, memory.Retain(retain))
					}
					h := harness(opts...)
					h.Bubble = bubble
					h.Parallel = !bubble
					h.Declared.Guarantees.History = retain > 0
					open := h.Open
					var ch *memory.Channel
					h.Open = func(t testing.TB) event.Channel {
						c := open(t)
						ch = c.(*memory.Channel)
						return c
					}
					h.Crash = func(c event.Consumer) { ch.Crash(c) }
					channeltest.Run(t, h)
				})
			}
		}
	}
}
