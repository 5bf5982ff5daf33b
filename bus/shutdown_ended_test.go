package bus_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
)

// A Shutdown whose context has ended already finds nothing that runs, and says so.
func TestShutdownWithEndedContext(t *testing.T) {
	type Ping struct{}
	for range 100 { // it was a matter of scheduling
		synctest.Test(t, func(t *testing.T) {
			b := bus.New(bus.Config{Channel: memory.New()})
			bus.Subscribe(b, "a", func(context.Context, Ping) error { return nil })
			bus.Subscribe(b, "b", func(context.Context, Ping) error { return nil }, bus.Workers(4))
			if err := b.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			if err := b.Shutdown(ended); err != nil {
				t.Fatal(err)
			}
		})
	}
}
