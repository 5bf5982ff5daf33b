//go:build !race

package memory_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
)

// Beyond what an event is made of, its whole life costs a sixteenth of an
// allocation: the slab of contexts.
func TestAllocations(t *testing.T) {
	ctx := context.Background()
	for _, groups := range []int{1, 3} {
		k := newKit(t)
		var cs []event.Consumer
		for g := range groups {
			cs = append(cs, k.join(fmt.Sprint(g), "t"))
		}
		p := k.producer("t")
		e := textEvent("k:1")
		buf := make([]event.Delivery, 64)
		acks := make([]event.Settlement, 0, 64)
		round := func() {
			for range 64 {
				_ = p.Produce(ctx, e.One()...)
			}
			for _, c := range cs {
				n, _ := c.Receive(ctx, buf)
				acks = acks[:0]
				for _, d := range buf[:n] {
					_, _ = c.Begin(d.Token)
					acks = append(acks, event.Ack(d.Token))
				}
				_ = c.Settle(ctx, acks)
			}
		}
		per := testing.AllocsPerRun(20, func() {
			for range 16 {
				round()
			}
		}) / 1024
		require.LessOrEqual(t, per, float64(groups)/16+0.005)
	}
}
