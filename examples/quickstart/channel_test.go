package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/kafkatest"
	"github.com/leat-go/leat/internal/servicetest"
)

func TestChannelThatIsNone(t *testing.T) {
	var out, errs strings.Builder
	if code := on(t.Context(), "carrier-pigeon", "", &out, &errs); code != 2 || !strings.Contains(errs.String(), `no channel "carrier-pigeon"`) {
		t.Errorf("left with %d: %s", code, &errs)
	}
}

func TestBrokersThatAreAway(t *testing.T) {
	keepNames(t)
	var out, errs strings.Builder
	if code := on(t.Context(), "kafka", "127.0.0.1:1", &out, &errs); code != 1 || !strings.Contains(errs.String(), "connection refused") {
		t.Errorf("left with %d: %s", code, &errs)
	}
}

func TestRunsHaveTheirOwnNames(t *testing.T) {
	keepNames(t)
	fresh()
	first := []string{app, topic, notifications}
	app, topic, notifications = "quickstart", "github", "notification"
	fresh()
	for i, name := range []string{app, topic, notifications} {
		if name == first[i] {
			t.Errorf("%q again", name)
		}
	}
}

// What a run has made is removed, and nothing else.
func TestCleanUp(t *testing.T) {
	keepNames(t)
	seeds := kafkatest.Brokers(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(seeds...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	admin := kadm.NewClient(client)

	fresh()
	others := app + "s"
	ch := kafka.New(kafka.Config{Brokers: seeds})
	for _, name := range []string{topic, notifications, others} {
		if err := ch.EnsureTopic(t.Context(), event.TopicSpec{Name: name, Partitions: 1}); err != nil {
			t.Fatal(err)
		}
	}
	for _, group := range groups {
		if err := ch.EnsureGroup(t.Context(), app+"."+group, event.Start{}, topic); err != nil {
			t.Fatal(err)
		}
	}
	if err := cleanUp(t.Context(), "kafka", strings.Join(seeds, ",")); err != nil {
		t.Error(err)
	}
	listed, err := admin.ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	left := slices.DeleteFunc(listed.Names(), func(name string) bool { return !strings.HasPrefix(name, app) })
	if !slices.Equal(left, []string{others}) {
		t.Errorf("topics left: %q", left)
	}
	of, err := admin.ListGroups(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if left := slices.DeleteFunc(of.Groups(), func(name string) bool { return !strings.HasPrefix(name, app) }); len(left) > 0 {
		t.Errorf("groups left: %q", left)
	}
	if _, err := admin.DeleteTopic(t.Context(), others); err != nil {
		t.Error(err)
	}
}

// keepNames undoes fresh at the end of a test.
func keepNames(t *testing.T) {
	t.Helper()
	a, o, n := app, topic, notifications
	t.Cleanup(func() { app, topic, notifications = a, o, n })
}

// The same program runs through the bridge, and leaves nothing on the server.
func TestThroughTheBridge(t *testing.T) {
	for _, name := range []string{"rabbitmq", "redis", "nats"} {
		t.Run(name, func(t *testing.T) {
			keepNames(t)
			server := servicetest.Addr(t, name)
			var out, errs strings.Builder
			if code := on(t.Context(), name, server, &out, &errs); code != 0 || errs.Len() > 0 {
				t.Fatalf("left with %d: %s\n%s", code, &errs, &out)
			}
			if !strings.Contains(out.String(), "ok: all counts agree with the file") {
				t.Error(out.String())
			}
			if left := leftOn(t, name, server); len(left) > 0 {
				t.Errorf("left on the server: %q", left)
			}
		})
	}
}

// leftOn returns what a run has left on a server.
func leftOn(t *testing.T, name, server string) (left []string) {
	t.Helper()
	switch name {
	case "redis":
		client := redis.NewClient(&redis.Options{Addr: server})
		defer client.Close()
		keys, err := client.Keys(t.Context(), "*"+app+"*").Result()
		if err != nil {
			t.Fatal(err)
		}
		return keys
	case "nats":
		conn, err := nats.Connect(server)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		js, err := jetstream.New(conn)
		if err != nil {
			t.Fatal(err)
		}
		for stream := range js.StreamNames(t.Context()).Name() {
			if strings.HasPrefix(stream, app) {
				left = append(left, stream)
			}
		}
	case "rabbitmq":
		conn, err := amqp.Dial(server)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		group := app + ".projection"
		for _, queue := range []string{topic + "_" + group, topic + "." + group + ".dead_" + group + ".letters", topic + "." + group + ".redrive_" + group} {
			ch, err := conn.Channel()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil); err == nil {
				left = append(left, queue)
			}
		}
	}
	return left
}
