package redisstore_test

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/idempotency"
	"github.com/leat-go/leat/stores/redisstore"
)

type OrderPlaced struct{ Cents int }

// A group whose members share what they know of each event.
func Example() {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
	once := idempotency.Middleware(redisstore.NewIdempotency(client, redisstore.IdempotencyConfig{}))

	var b *bus.Bus // on the channel of the application
	register := func(b *bus.Bus) {
		bus.Subscribe(b, "billing", func(context.Context, OrderPlaced) error { return nil }, bus.With(once))
	}
	_, _ = b, register
}
