package kafka_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/kafkatest"
)

type OrderPlaced struct{ ID string }

type ParcelSent struct{ ID string }

// script returns the commands of docs/kafka.md for one of Kafka's tools.
func script(t *testing.T, tool string) (commands [][]string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/kafka.md")
	require.NoError(t, err)
	for line := range strings.Lines(string(page)) {
		if words := strings.Fields(line); len(words) > 0 && words[0] == tool {
			commands = append(commands, words[1:])
		}
	}
	require.NotEmpty(t, commands)
	return commands
}

// The topics and rights that docs/kafka.md names are enough for an application that
// may make no topics.
func TestRights(t *testing.T) {
	c := kafkatest.NewCluster(t, 1, kafkatest.WithSASL())
	run := func(class string, args ...string) {
		t.Helper()
		out, err := c.CLI(class, args...)
		require.NoError(t, err, out)
	}
	acl := func(args ...string) {
		run("AclCommand", append([]string{"--force", "--allow-principal", "User:limited"}, args...)...)
	}
	// what the user may do otherwise
	acl("--remove", "--operation", "All", "--resource-pattern-type", "prefixed", "--topic", "limited-", "--group", "limited-", "--transactional-id", "limited-")

	for _, words := range script(t, "kafka-topics.sh") {
		run("TopicCommand", words...)
	}
	grant := func(words []string) {
		t.Helper()
		i := slices.Index(words, "User:shop")
		require.Positive(t, i)
		words[i] = "User:limited"
		run("AclCommand", append(words, "--force")...)
	}
	rights := script(t, "kafka-acls.sh")
	needed, tidy := rights[:len(rights)-1], rights[len(rights)-1]
	require.Contains(t, tidy, "Delete", "the right that can be left out")
	for _, words := range needed {
		grant(words)
	}
	// beyond the page's script: what who makes topics needs
	acl("--add", "--operation", "Read", "--operation", "Write", "--operation", "Create", "--resource-pattern-type", "prefixed", "--topic", "parcel-sent")

	user := c.Limited()
	cfg := kafka.Config{
		Brokers: c.SASLBrokers(),
		SASL:    scram.Auth{User: user.User, Pass: user.Password}.AsSha512Mechanism(), SASLWithoutTLS: true,
		Topics: kafka.TopicDefaults{Never: true},
	}
	t.Run("topics that others made", func(t *testing.T) { repair(t, kafka.New(cfg)) })
	t.Run("topics of one's own", func(t *testing.T) {
		cfg.Topics.Never = false
		deliver(t, kafka.New(cfg))
	})
	grant(tidy)
}

// repair publishes an event, fails to handle it, and drives it again.
func repair(t *testing.T, channel *kafka.Channel) {
	t.Helper()
	b := bus.New(bus.Config{Channel: channel, App: "shop", Logger: slog.New(slog.DiscardHandler)})
	broken, handled := true, 0
	bus.Subscribe(b, "mailer", func(context.Context, OrderPlaced) error {
		if broken {
			return event.Permanent(errors.New("no"))
		}
		handled++
		return nil
	})
	require.NoError(t, b.Start(t.Context()))
	require.NoError(t, b.Publish(t.Context(), OrderPlaced{"1"}, bus.Key("k")))
	require.NoError(t, channel.Quiet(t.Context(), "shop.mailer"))
	lag, err := channel.Lag(t.Context(), "order-placed", "shop.mailer")
	require.NoError(t, err)
	require.Equal(t, event.Lag{Dead: 1}, lag)
	broken = false
	for dead, err := range b.DeadLetters(t.Context(), "mailer") {
		require.NoError(t, err)
		require.NoError(t, b.Redrive(t.Context(), dead))
	}
	require.NoError(t, b.Drain(t.Context()))
	require.Equal(t, 1, handled)
}

// deliver makes what an event needs to be handled.
func deliver(t *testing.T, channel *kafka.Channel) {
	t.Helper()
	b := bus.New(bus.Config{Channel: channel, App: "shop"})
	handled := 0
	bus.Subscribe(b, "mailer", func(context.Context, ParcelSent) error {
		handled++
		return nil
	})
	require.NoError(t, b.Start(t.Context()))
	require.NoError(t, b.Publish(t.Context(), ParcelSent{"1"}))
	require.NoError(t, b.Drain(t.Context()))
	require.Equal(t, 1, handled)
}
