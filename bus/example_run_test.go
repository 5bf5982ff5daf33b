package bus_test

import (
	"context"
	"fmt"
	"log"
	"runtime"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
)

// A service runs until its context ends, as a rule by a signal:
//
//	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
func ExampleBus_Run() {
	type OrderPlaced struct{ ID string }

	ctx, stop := context.WithCancel(context.Background())
	b := bus.New(bus.Config{Channel: memory.New()})
	bus.Subscribe(b, "mailer", func(ctx context.Context, e OrderPlaced) error {
		fmt.Println("mail for order", e.ID)
		stop()
		return nil
	})
	go func() {
		for b.Ready() != nil { // as a readiness probe does
			runtime.Gosched()
		}
		if err := b.Publish(ctx, OrderPlaced{ID: "42"}); err != nil {
			log.Print(err)
		}
	}()
	if err := b.Run(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("stopped")
	// Output:
	// mail for order 42
	// stopped
}
