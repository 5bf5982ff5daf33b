package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"slices"
	"sync"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// meter counts what the bus tells, under the names that a metrics library would use.
type meter struct {
	mu     sync.Mutex
	counts map[string]int
}

func (m *meter) add(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.counts == nil {
		m.counts = make(map[string]int)
	}
	m.counts[name]++
}

func (m *meter) OnPublish(_ context.Context, p bus.Published) {
	m.add(fmt.Sprintf("published{topic=%q,ok=%t}", p.Topic, p.Err == nil))
}

func (m *meter) OnDeliver(d bus.Delivered) { m.add(fmt.Sprintf("delivered{group=%q}", d.Group)) }

func (m *meter) OnAttempt(_ context.Context, a bus.AttemptEnd) {
	m.add(fmt.Sprintf("attempts{handler=%q,outcome=%q}", a.Handler, a.Outcome))
}

func (m *meter) OnSettle(s bus.Settled) {
	m.add(fmt.Sprintf("settled{group=%q,kind=%q}", s.Group, s.Kind))
}

// Hooks, Status and Lag are what metrics and consoles are made of.
func ExampleBus_Lag() {
	type OrderPlaced struct{ ID string }

	ctx := context.Background()
	m := &meter{}
	channel := memory.New()
	b := bus.New(bus.Config{Channel: channel, Hooks: []any{m}})
	bus.Subscribe(b, "billing", func(_ context.Context, o OrderPlaced) error {
		if o.ID == "" {
			return event.Permanent(errors.New("no order"))
		}
		return nil
	})
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := b.PublishAll(ctx, OrderPlaced{"1"}, OrderPlaced{"2"}, OrderPlaced{""}); err != nil {
		log.Fatal(err)
	}
	if err := channel.Quiet(ctx); err != nil {
		log.Fatal(err)
	}
	lags, err := b.Lag(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if err := b.Drain(ctx); err != nil { // all hooks have been told then
		log.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(m.counts)) {
		fmt.Println(name, m.counts[name])
	}
	for _, l := range lags {
		fmt.Printf("%s %s: %d unsettled, the oldest %v old, %d dead\n", l.Group, l.Topic, l.Lag.Unsettled(), l.Lag.OldestAge, l.Lag.Dead)
	}
	// Output:
	// attempts{handler="billing/order-placed",outcome="acked"} 2
	// attempts{handler="billing/order-placed",outcome="dead"} 1
	// delivered{group="billing"} 3
	// published{topic="order-placed",ok=true} 3
	// settled{group="billing",kind="ack"} 2
	// settled{group="billing",kind="dead"} 1
	// billing order-placed: 0 unsettled, the oldest 0s old, 1 dead
}
