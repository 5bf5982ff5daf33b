package kafka_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/kafkatest"
)

type order struct{ ID string }

func (order) EventTopic() string { return "orders" }

// The topics and rights that docs/kafka.md names are enough for an application that
// may make no topics.
func TestRights(t *testing.T) {
	c := kafkatest.NewCluster(t, 1, kafkatest.WithSASL())
	run := func(class string, args ...string) {
		t.Helper()
		out, err := c.CLI(class, args...)
		require.NoError(t, err, out)
	}
	acl := func(args ...string) { run("AclCommand", append([]string{"--force", "--allow-principal", "User:limited"}, args...)...) }
	// what the user may do otherwise
	acl("--remove", "--operation", "All", "--resource-pattern-type", "prefixed", "--topic", "limited-", "--group", "limited-", "--transactional-id", "limited-")

	run("TopicCommand", "--create", "--topic", "orders", "--partitions", "3")
	for _, own := range []string{"orders.shop.mailer.dead", "orders.shop.mailer.redrive"} {
		run("TopicCommand", "--create", "--topic", own, "--partitions", "3",
			"--config", "retention.ms=-1", "--config", "retention.bytes=-1", "--config", "cleanup.policy=delete", "--config", "max.message.bytes=1064972")
	}
	acl("--add", "--operation", "Read", "--operation", "Write", "--topic", "orders")
	acl("--add", "--operation", "Read", "--operation", "Write", "--resource-pattern-type", "prefixed", "--topic", "orders.shop.")
	acl("--add", "--operation", "Read", "--resource-pattern-type", "prefixed", "--group", "shop.")

	user := c.Limited()
	channel := kafka.New(kafka.Config{
		Brokers: c.SASLBrokers(),
		SASL:    scram.Auth{User: user.User, Pass: user.Password}.AsSha512Mechanism(), SASLWithoutTLS: true,
		Topics: kafka.TopicDefaults{Never: true},
	})
	b := bus.New(bus.Config{Channel: channel, App: "shop", Logger: slog.New(slog.DiscardHandler)})
	broken, handled := true, 0
	bus.Subscribe(b, "mailer", func(context.Context, order) error {
		if broken {
			return event.Permanent(errors.New("no"))
		}
		handled++
		return nil
	})
	require.NoError(t, b.Start(t.Context()))
	require.NoError(t, b.Publish(t.Context(), order{"1"}, bus.Key("k")))
	require.NoError(t, channel.Quiet(t.Context(), "shop.mailer"))
	lag, err := channel.Lag(t.Context(), "orders", "shop.mailer")
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
