package bench_test

import (
	"os"
	"testing"

	"github.com/leat-go/leat/bench"
)

// BenchmarkScenario measures each side of each scenario alone; an operation is one
// event, from its making until it is handled and settled.
func BenchmarkScenario(b *testing.B) {
	for _, scenario := range bench.Scenarios() {
		for _, side := range scenario.Sides {
			b.Run(scenario.Name+"/"+side.Name, func(b *testing.B) { measure(b, side) })
		}
	}
	for name, env := range bench.Servers() {
		if os.Getenv(env) == "" {
			b.Run(name, func(b *testing.B) { b.Skipf("not measured: %s names no server", env) })
		}
	}
}

func measure(b *testing.B, side bench.Side) {
	b.Helper()
	b.ReportAllocs()
	stream, err := side.Open()
	if err != nil {
		b.Fatal(err)
	}
	if stream.Prepare != nil {
		if err := stream.Prepare(b.N); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	if err := stream.Run(b.N); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	if err := stream.Close(); err != nil {
		b.Fatal(err)
	}
}
