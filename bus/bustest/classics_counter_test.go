package bustest_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/bustest"
)

type ItemSold struct{ SKU string }

func (i ItemSold) EventKey() string { return i.SKU }

func sales(w *bustest.World, handle func(ctx context.Context, i ItemSold) error, state func() any) {
	w.Handlers(func(b *bus.Bus) { bus.Subscribe(b, "stock", handle) })
	w.Publish(ItemSold{"lamp"})
	w.Publish(ItemSold{"lamp"})
	w.Publish(ItemSold{"sofa"})
	w.State(state)
}

// A counter that counts attempts instead of events.
func countAttempts(w *bustest.World) {
	sold := map[string]int{}
	sales(w, func(_ context.Context, i ItemSold) error {
		sold[i.SKU]++
		return nil
	}, func() any { return sold })
}

func Example_counterThatIsNotIdempotent() {
	t := new(testing.T) // that of the test
	fmt.Println(bustest.Search(t, countAttempts).Failure)
	// Output:
	// the final state differs from that of the undisturbed run:
	//   map[sofa:2]
	//   undisturbed: map[sofa:1]
	//   published message-3: bustest_test.ItemSold{SKU:sofa}
	//   1. 0s process 1: group "stock" handles item-sold message-3, attempt 1: returns nil
	//   2. 0s process 1 dies, with item-sold message-3 not settled
	//   3. 0s process 2: group "stock" handles item-sold message-3, attempt 2: returns nil
	// again: bustest.Seed(1), bustest.Only(7)
	// this alone: bustest.Replay("skip/1 skip/2 settle/1/0/item-sold:message-3=die/1")
}

// A set of ids has the same size, however often an id is added.
func countEvents(w *bustest.World) {
	sold := map[string]map[string]bool{}
	sales(w, func(ctx context.Context, i ItemSold) error {
		bustest.Step(ctx, "begin")
		if sold[i.SKU] == nil {
			sold[i.SKU] = map[string]bool{}
		}
		sold[i.SKU][idOf(ctx)] = true
		bustest.Step(ctx, "counted")
		return nil
	}, func() any { return sold })
}

func TestCounterThatIsIdempotent(t *testing.T) {
	bustest.Explore(t, countEvents, bustest.Schedules(schedules()), bustest.Parallel(runtime.GOMAXPROCS(0)))
}
