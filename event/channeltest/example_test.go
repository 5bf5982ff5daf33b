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

// And this is its benchmark.
func ExampleBenchmark() { //nolint:testableexamples // it takes a *testing.B to run
	_ = func(b *testing.B) { // func BenchmarkChannel(b *testing.B)
		channeltest.Benchmark(b, harness)
	}
}
