package channeltest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// memoryHarness is the harness of the channel in memory.
func memoryHarness(opts ...memory.Option) Harness {
	var mu sync.Mutex
	var open []*memory.Channel // of cases side by side
	with := func(more ...memory.Option) *memory.Channel {
		c := memory.New(append(more, opts...)...)
		mu.Lock()
		defer mu.Unlock()
		open = append(open, c)
		return c
	}
	return Harness{
		Open:      func(testing.TB) event.Channel { return with(memory.Capacity(1 << 20)) },
		Bounded:   func(_ testing.TB, capacity int) event.Channel { return with(memory.Capacity(capacity)) },
		Exact:     true,
		Ephemeral: true,
		Crash: func(victim event.Consumer) {
			mu.Lock()
			all := slices.Clone(open)
			mu.Unlock()
			for _, c := range all {
				c.Crash(victim) // another channel's is left alone
			}
		},
		Bubble: true,
	}
}

func TestMemory(t *testing.T) { Run(t, memoryHarness()) }

func TestMemoryWithHistory(t *testing.T) { Run(t, memoryHarness(memory.Retain(1000), memory.Encode())) }

func TestMemoryInRealTime(t *testing.T) {
	h := memoryHarness(memory.Lease(200 * time.Millisecond))
	h.Bubble, h.Parallel = false, true
	h.Silence, h.Delay = 50*time.Millisecond, 80*time.Millisecond
	Run(t, h)
}

func TestMemoryWithOneMember(t *testing.T) {
	h := memoryHarness()
	h.Members = 1
	Run(t, h)
}

func BenchmarkMemory(b *testing.B) { Benchmark(b, memoryHarness()) }
