package bustest

import (
	"context"
	"fmt"
	"maps"
	"testing"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

type booking struct {
	Account string
	Cents   int
}

func (b booking) EventKey() string { return b.Account }

// BenchmarkExplore measures schedules of a small handler: three messages of two keys,
// two steps each.
func BenchmarkExplore(b *testing.B) {
	for _, n := range [...]int{1, 2} {
		b.Run(fmt.Sprint("parallel=", n), func(b *testing.B) {
			b.ReportAllocs()
			if f := Search(new(testing.T), smallWorld, Schedules(b.N), Parallel(n)).Failure; f != nil {
				b.Fatal(f)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "schedules/s")
		})
	}
}

func smallWorld(w *World) {
	cents := map[string]int{}
	seen := map[string]bool{}
	w.Handlers(func(b *bus.Bus) {
		bus.Subscribe(b, "ledger", func(ctx context.Context, d booking) error {
			Step(ctx, "begin")
			info, _ := event.FromContext(ctx)
			if id := info.Event.ID(); !seen[id] {
				cents[d.Account] += d.Cents
				seen[id] = true
			}
			Step(ctx, "committed")
			return nil
		})
	})
	w.Publish(booking{"alice", 100})
	w.Publish(booking{"alice", 20})
	w.Publish(booking{"bob", 3})
	w.State(func() any { return maps.Clone(cents) })
}
