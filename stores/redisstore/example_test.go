package redisstore_test //nolint:testableexamples // it needs servers

import (
	"context"
	"log"

	"github.com/redis/go-redis/v9"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/idempotency"
	"github.com/leat-go/leat/stores/redisstore"
)

type OrderPlaced struct{ Cents int }

func charge(context.Context, OrderPlaced) error { return nil }

// The members of a group share what they know of each event.
func Example() {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
	once := idempotency.Middleware(redisstore.NewIdempotency(client, redisstore.IdempotencyConfig{}))

	b := bus.New(bus.Config{App: "shop", Channel: kafka.New(kafka.Config{Brokers: []string{"127.0.0.1:9092"}})})
	bus.Subscribe(b, "billing", charge, bus.With(once))
	if err := b.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
