package query_test

import (
	"context"
	"fmt"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/query"
)

type OrderPlaced struct{ ID string }

func ExampleProject() {
	ctx := context.Background()
	b := bus.New(bus.Config{Channel: memory.New()})
	mem := query.NewMemory(query.MemoryConfig{})
	orders := query.NewTable[string, Order](mem)
	p := query.Project(b, "order-list", mem)
	query.Apply(p, func(ctx context.Context, e OrderPlaced) error { return orders.Put(ctx, e.ID, Order{e.ID, "placed"}) })
	if err := b.Start(ctx); err != nil {
		panic(err)
	}
	_ = b.Publish(ctx, OrderPlaced{"42"}, bus.ID("e-1"))
	err := p.Wait(ctx, "e-1")
	order, ok := orders.Get(ctx, "42")
	fmt.Println(order, ok, err)
	// Output: {42 placed} true <nil>
}
