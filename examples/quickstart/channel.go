package main

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/bus/watermillbridge/bridgeamqp"
	"github.com/leat-go/leat/bus/watermillbridge/bridgenats"
	"github.com/leat-go/leat/bus/watermillbridge/bridgeredis"
	"github.com/leat-go/leat/event"
)

var errNoChannel = errors.New("-channel is memory, kafka, rabbitmq, redis or nats")

// channel is the one thing that differs.
func channel(name, server string) (event.Channel, error) {
	switch name {
	case "memory":
		return memory.New(), nil
	case "kafka":
		return kafka.New(kafka.Config{
			Brokers: strings.Split(server, ","),
			Topics:  kafka.TopicDefaults{Partitions: 3},
		}), nil
	case "rabbitmq":
		return bridged(bridgeamqp.New(bridgeamqp.Config{URI: server, Ordered: true}))
	case "redis":
		return bridged(bridgeredis.New(bridgeredis.Config{
			Redis:         redis.UniversalOptions{Addrs: strings.Split(server, ",")},
			Subscriptions: 1, // one after the other: the command checks the order
		}))
	case "nats":
		return bridged(bridgenats.New(bridgenats.Config{URL: server, Ordered: true}))
	default:
		return nil, fmt.Errorf("there is no channel %q: %w", name, errNoChannel)
	}
}

func bridged(ch *watermillbridge.Channel, err error) (event.Channel, error) {
	if err != nil {
		return nil, err
	}
	return ch, nil
}

// serverOf returns where the server of a channel is, unless it is said.
func serverOf(name string) string {
	switch name {
	case "kafka":
		return cmp.Or(os.Getenv("LEAT_KAFKA"), "127.0.0.1:9092")
	case "rabbitmq":
		return cmp.Or(os.Getenv("LEAT_RABBITMQ"), "amqp://guest:guest@127.0.0.1:5672/")
	case "redis":
		return cmp.Or(os.Getenv("LEAT_REDIS"), "127.0.0.1:6379")
	case "nats":
		return cmp.Or(os.Getenv("LEAT_NATS"), "nats://127.0.0.1:4222")
	default:
		return ""
	}
}

// fresh gives this run names of its own: a broker outlives the run and is others', too.
func fresh() {
	app = "quickstart-" + strings.ToLower(rand.Text()[:10])
	topic, notifications = app+"."+topic, app+"."+notifications
}
