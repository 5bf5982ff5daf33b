package bus_test

import (
	"context"
	"fmt"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
)

// Start reports every mistake in the set-up at once.
func ExampleBus_Start() {
	type OrderPlaced struct{ ID string }

	handle := func(context.Context, OrderPlaced) error { return nil }
	b := bus.New(bus.Config{Channel: memory.New()})
	bus.Subscribe(b, "mailer", handle, bus.Timeout(-time.Second))
	bus.Subscribe(b, "stock", handle)
	bus.Subscribe(b, "stock", handle)
	fmt.Println(b.Start(context.Background()))
	// Output:
	// bus: start: group "mailer": Timeout is negative
	// group "stock": two handlers for "order-placed": one handler for each type of a group, use another group
}
