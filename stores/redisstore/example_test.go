package redisstore_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/redis/go-redis/v9"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/idempotency"
	"github.com/leat-go/leat/stores/redisstore"
)

type OrderPlaced struct{ Cents int }

func charge(context.Context, OrderPlaced) error { return nil }

// The members of a group share what they know of each event.
func Example() { //nolint:testableexamples // it needs servers
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
	once := idempotency.Middleware(redisstore.NewIdempotency(client, redisstore.IdempotencyConfig{}))

	b := bus.New(bus.Config{App: "shop", Channel: kafka.New(kafka.Config{Brokers: []string{"127.0.0.1:9092"}})})
	bus.Subscribe(b, "billing", charge, bus.With(once))
	if err := b.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// Any process can follow what became of a command.
func ExampleNewOperations() { //nolint:testableexamples // it needs a server
	ctx := context.Background()
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
	ops := redisstore.NewOperations(client, redisstore.OperationsConfig{})
	defer ops.Close()

	for o, err := range command.Watch(ctx, ops, "01JZ8X2M4Q6T8V0W2Y4A6C8E0G", 0) {
		if err != nil {
			log.Print(err)
			return
		}
		fmt.Println(o.State)
	}
}

// PlaceOrder is a command.
type PlaceOrder struct{ Item string }

func allow(*http.Request, command.Access) (command.Principal, error) {
	return command.Principal{Subject: "ann"}, nil
}

// Commands come in over HTTP; what they carry, and what becomes of them, is in Redis.
func ExampleStore() { //nolint:testableexamples // it needs servers
	store := redisstore.New(redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"}))
	defer store.Close()
	b := bus.New(bus.Config{App: "shop", Channel: kafka.New(kafka.Config{Brokers: []string{"127.0.0.1:9092"}})})
	mux := http.NewServeMux()
	mux.Handle("/", command.Gateway(b, command.GatewayConfig{
		Payloads: store.Payloads(), Operations: store.Operations(), Authorize: allow,
	}))
	command.Expose[PlaceOrder](b)
	command.Handle(b, func(context.Context, PlaceOrder) error { return nil },
		bus.With(idempotency.Middleware(store.Idempotency())))

	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		log.Print(http.ListenAndServe("127.0.0.1:8080", mux))
	}()
	if err := b.Run(ctx); err != nil {
		log.Print(err)
	}
}
