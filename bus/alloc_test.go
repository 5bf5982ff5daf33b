//go:build !race

package bus_test

import (
	"context"
	"testing"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// An event costs little beyond itself: its two allocations, core and payload, and
// what sixteen share.
func TestAllocationsOfAnEvent(t *testing.T) {
	const events = 1000
	ch := memory.New()
	b := bus.New(bus.Config{Channel: ch})
	bus.SubscribeRaw(b, "g", []string{"placed"}, func(context.Context, event.Event) error { return nil })
	start(t, b)
	ctx, cancel := context.WithCancel(t.Context()) // as that of a request
	defer cancel()
	data := make([]byte, 256)
	allocs := testing.AllocsPerRun(20, func() {
		for range events {
			if err := b.Publish(ctx, event.New("/shop", "placed", data)); err != nil {
				t.Fatal(err)
			}
		}
		if err := ch.Quiet(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	if per := allocs / events; per > 2.5 {
		t.Errorf("%.2f allocations an event", per)
	}
}
