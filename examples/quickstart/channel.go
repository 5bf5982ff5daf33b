package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// channel is the one thing that differs.
func channel(name, brokers string) (event.Channel, error) {
	switch name {
	case "memory":
		return memory.New(), nil
	case "kafka":
		return kafka.New(kafka.Config{
			Brokers: strings.Split(brokers, ","),
			Topics:  kafka.TopicDefaults{Partitions: 3},
		}), nil
	default:
		return nil, fmt.Errorf("there is no channel %q: -channel is memory or kafka", name)
	}
}

// fresh gives this run names of its own: a broker outlives the run and is others', too.
func fresh() {
	app = "quickstart-" + strings.ToLower(rand.Text()[:10])
	topic, notifications = app+"."+topic, app+"."+notifications
}

// cleanUp removes the topics and groups of this run from the brokers. An application
// keeps its own.
func cleanUp(ctx context.Context, brokers string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...))
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
