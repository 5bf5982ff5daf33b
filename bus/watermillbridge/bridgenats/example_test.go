package bridgenats_test

import (
	"context"
	"fmt"
	"log"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/watermillbridge/bridgenats"
)

func ExampleNew() { //nolint:testableexamples // it needs a server
	channel, err := bridgenats.New(bridgenats.Config{URL: "nats://localhost:4222", Replicas: 3})
	if err != nil {
		log.Fatal(err)
	}
	type OrderPlaced struct{ ID string }
	b := bus.New(bus.Config{App: "shop", Channel: channel})
	bus.Subscribe(b, "mailer", func(_ context.Context, e OrderPlaced) error {
		fmt.Println("a mail about order", e.ID)
		return nil
	})
	if err := b.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
