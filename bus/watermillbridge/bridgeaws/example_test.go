package bridgeaws_test

import (
	"context"
	"log"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/watermillbridge/bridgeaws"
)

// A program on SNS and SQS.
func ExampleNew() { //nolint:testableexamples // it needs an account
	type OrderPlaced struct{ ID string }

	var cfg aws.Config // of config.LoadDefaultConfig(ctx)
	channel, err := bridgeaws.New(bridgeaws.Config{AWS: cfg})
	if err != nil {
		log.Fatal(err)
	}
	b := bus.New(bus.Config{App: "shop", Channel: channel})
	bus.Subscribe(b, "mailer", func(ctx context.Context, e OrderPlaced) error {
		return nil // send it
	})
	if err := b.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
