package bridgeredis_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/watermillbridge/bridgeredis"
)

func ExampleNew() { //nolint:testableexamples // it needs a server
	channel, err := bridgeredis.New(bridgeredis.Config{
		Redis:     redis.UniversalOptions{Addrs: []string{"localhost:6379"}},
		Retention: 7 * 24 * time.Hour,
	})
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
