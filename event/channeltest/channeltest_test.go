package channeltest

import (
	"testing"
	"time"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// memoryHarness is the harness of the channel in memory.
func memoryHarness(opts ...memory.Option) Harness {
	var open *memory.Channel
	with := func(more ...memory.Option) *memory.Channel {
		open = memory.New(append(more, opts...)...)
		return open
	}
	return Harness{
		Open:      func(testing.TB) event.Channel { return with(memory.Capacity(1 << 20)) },
		Bounded:   func(_ testing.TB, capacity int) event.Channel { return with(memory.Capacity(capacity)) },
		Exact:     true,
		Ephemeral: true,
		Crash:     func(c event.Consumer) { open.Crash(c) },
		Bubble:    true,
	}
}

func TestMemory(t *testing.T) { Run(t, memoryHarness()) }

func TestMemoryWithHistory(t *testing.T) { Run(t, memoryHarness(memory.Retain(1000), memory.Encode())) }

func TestMemoryInRealTime(t *testing.T) {
	h := memoryHarness(memory.Lease(300 * time.Millisecond))
	h.Bubble = false
	Run(t, h)
}

func BenchmarkMemory(b *testing.B) { Benchmark(b, memoryHarness()) }
