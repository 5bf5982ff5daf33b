package query_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/query"
)

// A cache around a handler keeps answers until they change. Without a channel it keeps from the
// first on; else from when the subscription to changes is open.
func ExampleCache() {
	ctx, b := context.Background(), bus.New(bus.Config{})
	handler := func(_ context.Context, q GetStock) (int, error) {
		fmt.Println("counting", q.Item)
		return 3, nil
	}
	query.Handle(b, query.Chain(handler, query.Cache[GetStock, int](b, query.CacheConfig{TTL: time.Minute})))
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	for range 3 {
		fmt.Println(query.Ask[int](ctx, b, GetStock{Item: "tea"}))
	}
	_ = query.Changed(ctx, b, GetStock{Item: "tea"})
	fmt.Println(query.Ask[int](ctx, b, GetStock{Item: "tea"}))
	// Output:
	// counting tea
	// 3 <nil>
	// 3 <nil>
	// 3 <nil>
	// counting tea
	// 3 <nil>
}
