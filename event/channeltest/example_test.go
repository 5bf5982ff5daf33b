package channeltest_test

import (
	"testing"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/event/channeltest"
)

// harness is that of the channel in memory: in bubbles, where a lease of half a
// minute costs nothing.
var harness = channeltest.Harness{
	Open: func(testing.TB) event.Channel { return memory.New() },
	Bounded: func(_ testing.TB, capacity int) event.Channel {
		return memory.New(memory.Capacity(capacity))
	},
	Exact:     true,
	Ephemeral: true,
	Bubble:    true,
}

// An engine's whole conformance test is a function like this.
func ExampleRun() { //nolint:testableexamples // it takes a *testing.T to run
	_ = func(t *testing.T) { // func TestChannel(t *testing.T)
		channeltest.Run(t, harness)
	}
}

// A channel with faults inside is tested with many seeds: here 1,000 bad days.
func ExampleRunSeeds() { //nolint:testableexamples // it takes a *testing.T to run
	_ = func(t *testing.T) { // func TestFaults(t *testing.T)
		channeltest.RunSeeds(t, 1000, func(seed uint64) channeltest.Harness {
			h := harness
			h.Open = func(testing.TB) event.Channel {
				return memory.New(memory.WithFaults(memory.Faults{Seed: seed, Redeliver: 0.1, LoseLease: 0.1}))
			}
			return h
		})
	}
}

// And this is its benchmark.
func ExampleBenchmark() { //nolint:testableexamples // it takes a *testing.B to run
	_ = func(b *testing.B) { // func BenchmarkChannel(b *testing.B)
		channeltest.Benchmark(b, harness)
	}
}
