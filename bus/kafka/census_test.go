package kafka_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/kafkatest"
)

// awaitMembers waits until a topic has exactly these groups.
func awaitMembers(t *testing.T, ch *kafka.Channel, topic string, want ...event.GroupInfo) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	for {
		got, err := ch.Groups(ctx, topic)
		require.NoError(t, err, "waiting for %v", want)
		if fmt.Sprint(got) == fmt.Sprint(want) {
			return
		}
		<-time.After(50 * time.Millisecond)
	}
}

// Members of either protocol count, one that was killed until its session times out, and
// ephemeral ones are nobody's.
func TestCensusOfBothProtocols(t *testing.T) {
	t.Parallel()
	name := fmt.Sprintf("census-%d", time.Now().UnixNano())
	cfg := kafka.Config{Brokers: kafkatest.Brokers(t), SessionTimeout: session, Topics: kafka.TopicDefaults{Partitions: 4}}
	asks := kafka.New(cfg)
	t.Cleanup(func() { _ = asks.Close(context.Background()) })
	brief(t, cfg, name+"-new")
	var killed []func()
	for group, serverSide := range map[string]bool{name + "-new": true, name + "-old": false} {
		cfg.ServerSide = serverSide
		for range 2 {
			ch := kafka.New(cfg)
			t.Cleanup(func() { _ = ch.Close(context.Background()) })
			cuts := kafka.NewCuts(ch)
			c, err := ch.Consumer(t.Context(), event.Subscription{Group: group, Topics: []string{name}})
			require.NoError(t, err)
			killed = append(killed, func() { cuts.Crash(c) })
		}
	}
	inbox, err := asks.Consumer(t.Context(), event.Subscription{Group: name + "-inbox", Topics: []string{name}, Ephemeral: true})
	require.NoError(t, err)
	t.Cleanup(func() { _ = inbox.Close(context.Background()) })
	of := func(n int) []event.GroupInfo {
		return []event.GroupInfo{{Group: name + "-new", Members: n}, {Group: name + "-old", Members: n}}
	}
	awaitMembers(t, asks, name, of(2)...)
	killed[0]()
	killed[2]()
	awaitMembers(t, asks, name, of(1)...)
	killed[1]()
	killed[3]()
	awaitMembers(t, asks, name, of(0)...)
}

// While a group of the older protocol is rebalanced, the broker doesn't say what its
// members subscribe to: they are there all the same.
func TestCensusWhileAGroupIsRebalanced(t *testing.T) {
	t.Parallel()
	name := fmt.Sprintf("rebalanced-%d", time.Now().UnixNano())
	cfg := kafka.Config{Brokers: kafkatest.Brokers(t)}
	ch := kafka.New(cfg)
	t.Cleanup(func() { _ = ch.Close(context.Background()) })
	for _, topic := range []string{name, name + "-other"} {
		require.NoError(t, ch.EnsureTopic(t.Context(), event.TopicSpec{Name: topic}))
	}
	require.NoError(t, ch.EnsureGroup(t.Context(), name, event.Start{}, name))
	cl, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...))
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Topics = []string{name}
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.ProtocolType = name, "consumer"
	join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = 60_000, 60_000
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name, p.Metadata = "range", meta.AppendTo(nil)
	join.Protocols = append(join.Protocols, p)
	for { // and never syncs: the group stays where it is
		res, err := join.RequestWith(t.Context(), cl)
		require.NoError(t, err)
		join.MemberID = res.MemberID
		if res.ErrorCode == 0 {
			break
		}
		require.ErrorIs(t, kerr.ErrorForCode(res.ErrorCode), kerr.MemberIDRequired)
	}
	got, err := ch.Groups(t.Context(), name)
	require.NoError(t, err)
	require.Equal(t, []event.GroupInfo{{Group: name, Members: 1}}, got)
	got, err = ch.Groups(t.Context(), name+"-other")
	require.NoError(t, err)
	require.Empty(t, got)
}
