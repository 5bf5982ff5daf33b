package main

import (
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/payload"
	"github.com/leat-go/leat/stores/redisstore"
)

// brokerConfig is what a test changes, since it shares the brokers with others.
type brokerConfig struct {
	app     string        // names groups and keys
	catalog event.Catalog // names topics; nil: they are named after their types
	session time.Duration // see missedAfter
}

// missedAfter is after what time others take over from a worker that vanished.
const missedAfter = 10 * time.Second

// channel is where commands and events go and come from.
func (s *shop) channel() event.Channel {
	if s.cfg.kafka == "" {
		return memory.New()
	}
	return kafka.New(kafka.Config{
		Brokers: strings.Split(s.cfg.kafka, ","), Topics: kafka.TopicDefaults{Partitions: 4},
		SessionTimeout: s.cfg.broker.session, Logger: s.cfg.log,
	})
}

// kept says where it is kept what became of each order.
func (s *shop) kept() command.Config {
	if s.cfg.redis == "" {
		return command.Config{
			Operations: command.NewMemory(command.MemoryConfig{}),
			Payloads:   payload.NewMemory(payload.MemoryConfig{}),
		}
	}
	client := redis.NewClient(&redis.Options{Addr: s.cfg.redis})
	operations := redisstore.NewOperations(client, redisstore.OperationsConfig{Prefix: s.cfg.broker.app + ":operation:"})
	s.closes = append(s.closes, func() {
		_ = operations.Close()
		_ = client.Close()
	})
	return command.Config{
		Operations: operations,
		Payloads:   redisstore.NewPayloads(client, redisstore.PayloadConfig{Prefix: s.cfg.broker.app + ":payload:"}),
	}
}
