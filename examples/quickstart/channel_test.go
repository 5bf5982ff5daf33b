package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/kafkatest"
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
	if err := cleanUp(t.Context(), strings.Join(seeds, ",")); err != nil {
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
