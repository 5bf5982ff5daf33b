package query_test

import (
	"context"
	"fmt"
	"log"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/query"
)

// GetStock asks how many of an item there are.
type GetStock struct{ Item string }

// A watch has the answer now, and each time that it is another.
func ExampleWatch() {
	ctx, stock := context.Background(), 3
	b := bus.New(bus.Config{Channel: memory.New()})
	query.Handle(b, func(context.Context, GetStock) (int, error) { return stock, nil })
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	for n, err := range query.Watch[int](ctx, b, GetStock{Item: "tea"}) {
		fmt.Println(n, err)
		if n == 0 {
			break
		}
		stock--
		_ = query.Changed(ctx, b, GetStock{Item: "tea"})
	}
	// Output:
	// 3 <nil>
	// 2 <nil>
	// 1 <nil>
	// 0 <nil>
}
