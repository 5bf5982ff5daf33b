package bus_test

import (
	"context"
	"fmt"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
)

// What an application can't do without is checked at the start: this one would lose
// its reminders with the process.
func ExampleRequirements() {
	type PaymentDue struct{ Order string }

	b := bus.New(bus.Config{
		Channel: memory.New(),
		Require: bus.Requirements{Durable: true, Parking: true, Delay: 14 * 24 * time.Hour},
	})
	bus.Subscribe(b, "dunning", func(context.Context, PaymentDue) error { return nil }, bus.ParkKey())
	fmt.Println(b.Start(context.Background()))
	// Output:
	// bus: start: group "dunning": topic "payment-due": Config.Require: memory lacks Durable
}
