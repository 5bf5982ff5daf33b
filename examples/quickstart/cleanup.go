package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// cleanUp removes from the server what this run has made. An application keeps its own.
func cleanUp(ctx context.Context, name, server string) error {
	switch name {
	case "kafka":
		return cleanKafka(ctx, server)
	case "rabbitmq":
		return cleanRabbitMQ(server)
	case "redis":
		return cleanRedis(ctx, server)
	case "nats":
		return cleanNATS(ctx, server)
	default:
		return nil
	}
}

func cleanKafka(ctx context.Context, server string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(server, ",")...))
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	all, err := admin.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("the topics of this run: %w", err)
	}
	for _, name := range all.Names() {
		if !strings.HasPrefix(name, app+".") {
			delete(all, name)
		}
	}
	if len(all) == 0 {
		return nil // it made none
	}
	gone, err := admin.DeleteTopics(ctx, all.Names()...)
	errs := []error{err, gone.Error()}
	for _, group := range groups {
		left, err := admin.DeleteGroup(ctx, app+"."+group)
		errs = append(errs, err, left.Err)
	}
	return errors.Join(errs...)
}

// cleanRabbitMQ removes an exchange for each topic, and a queue for each group on it: by
// their names, since AMQP lists nothing.
func cleanRabbitMQ(server string) error {
	conn, err := amqp.Dial(server)
	if err != nil {
		return err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	var errs []error
	remove := func(exchange, group string) {
		_, err := ch.QueueDelete(exchange+"_"+group, false, false, false)
		errs = append(errs, err, ch.ExchangeDelete(exchange, false, false))
	}
	for _, t := range []string{topic, notifications} {
		for _, g := range groups {
			group := app + "." + g
			remove(t+"."+group+".dead", group+".letters")
			remove(t+"."+group+".redrive", group)
			remove(t, group)
		}
	}
	return errors.Join(errs...)
}

func cleanRedis(ctx context.Context, server string) error {
	client := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: strings.Split(server, ",")})
	defer client.Close()
	for keys := client.Scan(ctx, 0, "*"+app+".*", 1000).Iterator(); ; {
		if !keys.Next(ctx) {
			return keys.Err()
		}
		if err := client.Del(ctx, keys.Val()).Err(); err != nil {
			return err
		}
	}
}

func cleanNATS(ctx context.Context, server string) error {
	conn, err := nats.Connect(server)
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	all := js.StreamNames(ctx)
	var errs []error
	for name := range all.Name() {
		if strings.HasPrefix(name, app+"_") {
			errs = append(errs, js.DeleteStream(ctx, name))
		}
	}
	return errors.Join(append(errs, all.Err())...)
}
