//go:build synctests

package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/event/channeltest"
)

// faked returns the configuration for a broker within the process.
func faked(t testing.TB, opts ...kfake.Opt) kafka.Config {
	t.Helper()
	net := new(kfake.VirtualNetwork)
	cluster, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1), kfake.ListenFn(net.Listen), kfake.SleepOutOfOrder())...)
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	return kafka.Config{
		Brokers: cluster.ListenAddrs(), Dialer: net.DialContext, SessionTimeout: session,
		Transactions: true, Topics: kafka.TopicDefaults{Partitions: 2},
	}
}

// TestBubbleSuiteWithTransactions: they change nothing of what a channel promises.
func TestBubbleSuiteWithTransactions(t *testing.T) {
	h := harness(func(t testing.TB) kafka.Config {
		cfg := faked(t)
		cfg.Topics = kafka.TopicDefaults{}
		return cfg
	})
	h.Bubble = true
	h.Events = 2000
	channeltest.Run(t, h)
}

// bothVersions runs f with a channel in virtual time, on both versions of transactions.
func bothVersions(t *testing.T, f func(t *testing.T, cfg kafka.Config)) {
	t.Helper()
	t.Run("version 2", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, faked(t)) })
	})
	t.Run("version 1", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, faked(t, kfake.MaxVersions(kversion.V3_8_0()))) })
	})
}

// one receives a delivery and begins it.
func one(t *testing.T, c event.Consumer) (event.Delivery, context.Context) {
	t.Helper()
	buf := make([]event.Delivery, 1)
	_, err := c.Receive(t.Context(), buf)
	require.NoError(t, err)
	ctx, ok := c.Begin(buf[0].Token)
	require.True(t, ok)
	return buf[0], ctx
}

func open(t *testing.T, cfg kafka.Config, topic string) (*kafka.Channel, event.Producer) {
	t.Helper()
	ch := kafka.New(cfg)
	p, err := ch.Producer(t.Context(), topic)
	require.NoError(t, err)
	return ch, p
}

func joined(t *testing.T, ch *kafka.Channel, topics ...string) event.Consumer {
	t.Helper()
	c, err := ch.Consumer(t.Context(), event.Subscription{Group: "g", Topics: topics, OnError: func(err error) { t.Log(err) }})
	require.NoError(t, err)
	return c
}

func allClosed(t *testing.T, ch *kafka.Channel, cs ...event.Consumer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for _, c := range cs {
		require.NoError(t, c.Close(ctx))
	}
	require.NoError(t, ch.Close(t.Context()))
}

// there returns the ids of what a reader of committed events finds on a topic.
func there(t *testing.T, cfg kafka.Config, topic string) []string {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...), kgo.Dialer(cfg.Dialer), kgo.ConsumeTopics(topic),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.DisableClientMetrics())
	require.NoError(t, err)
	defer cl.Close()
	var ids []string
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		fetches := cl.PollFetches(ctx)
		cancel()
		rs := fetches.Records()
		if len(rs) == 0 {
			return ids
		}
		for _, r := range rs {
			for _, h := range r.Headers {
				if h.Key == "ce_id" {
					ids = append(ids, string(h.Value))
				}
			}
		}
	}
}

func made(id string) event.Event {
	return event.New("/test", "copied", []byte(id)).WithID(id).WithKey("k")
}

// What is collected goes out with the ack, and is settled with it.
func TestBubbleTransactionsCommitWithTheAck(t *testing.T) {
	bothVersions(t, func(t *testing.T, cfg kafka.Config) {
		ch, in := open(t, cfg, "in")
		out, err := ch.Producer(t.Context(), "out")
		require.NoError(t, err)
		c := joined(t, ch, "in")
		require.NoError(t, in.Produce(t.Context(), made("1"), made("2"), made("3")))
		d, ctx := one(t, c)
		collected := event.WithCollected(context.WithoutCancel(ctx))
		require.NoError(t, out.Produce(collected, made("a"), made("b")))
		require.NoError(t, out.Produce(ctx, made("now")), "not collected: at once")
		require.Equal(t, []string{"now"}, there(t, cfg, "out"), "not before the ack")
		require.True(t, kafka.RoomTaken(ch), "what is kept has its room")
		require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Ack(d.Token)}))
		require.ElementsMatch(t, []string{"now", "a", "b"}, there(t, cfg, "out"))
		require.False(t, kafka.RoomTaken(ch))
		require.ErrorIs(t, c.Settle(t.Context(), []event.Settlement{event.Ack(d.Token)}), event.ErrLeaseLost)

		// The hold of a runtime that waits for something else keeps it.
		d, ctx = one(t, c)
		require.NoError(t, out.Produce(event.WithCollected(ctx), made("c")))
		c.Hold(d.Token, 0)
		_, ok := c.Begin(d.Token)
		require.True(t, ok)
		require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Ack(d.Token)}))
		require.ElementsMatch(t, []string{"now", "a", "b", "c"}, there(t, cfg, "out"))
		require.NoError(t, c.Close(t.Context()))

		again := joined(t, ch, "in")
		d, _ = one(t, again)
		require.Equal(t, "3", d.Event.ID(), "the first two are settled")
		allClosed(t, ch, again)
	})
}

// What is collected by a delivery that ends in another way is nowhere.
func TestBubbleTransactionsDropWithoutAnAck(t *testing.T) {
	bothVersions(t, func(t *testing.T, cfg kafka.Config) {
		ch, in := open(t, cfg, "in")
		out, err := ch.Producer(t.Context(), "out")
		require.NoError(t, err)
		c := joined(t, ch, "in")
		require.NoError(t, in.Produce(t.Context(), made("1"), made("2"), made("3")))

		d, ctx := one(t, c)
		require.NoError(t, out.Produce(event.WithCollected(ctx), made("dead")))
		require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Dead(d.Token, event.Cause{Code: "test"})}))
		require.False(t, kafka.RoomTaken(ch))

		d, ctx = one(t, c)
		require.NoError(t, out.Produce(event.WithCollected(ctx), made("failed")))
		c.Hold(d.Token, 1) // its handler failed after all
		require.False(t, kafka.RoomTaken(ch))
		_, ok := c.Begin(d.Token)
		require.True(t, ok)
		require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Ack(d.Token)}))

		d, ctx = one(t, c)
		require.NoError(t, out.Produce(event.WithCollected(ctx), made("lost")))
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, c.Close(gone))
		require.ErrorIs(t, c.Settle(t.Context(), []event.Settlement{event.Ack(d.Token)}), event.ErrClosed)
		require.ErrorIs(t, out.Produce(event.WithCollected(ctx), made("late")), event.ErrLeaseLost)
		require.False(t, kafka.RoomTaken(ch))
		require.Empty(t, there(t, cfg, "out"))
		allClosed(t, ch)
	})
}

// What is wrong with an event is told when it is produced, not when it is acked.
func TestBubbleTransactionsRefuseAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := faked(t)
		cfg.MaxBuffered = 4 << 20
		ch, in := open(t, cfg, "in")
		out, err := ch.Producer(t.Context(), "out")
		require.NoError(t, err)
		c := joined(t, ch, "in")
		require.NoError(t, in.Produce(t.Context(), made("1")))
		d, ctx := one(t, c)
		collected := event.WithCollected(ctx)
		huge := event.New("/test", "huge", make([]byte, 2<<20)).WithID("huge")
		err = out.Produce(collected, made("a"), huge, made("b"))
		var some *event.ProduceError
		require.ErrorAs(t, err, &some)
		require.Len(t, some.Failed, 1)
		require.Equal(t, 1, some.Failed[0].Index)
		require.ErrorIs(t, some.Failed[0].Err, event.ErrTooLarge)
		large := make([]byte, 900<<10)
		for range 4 {
			require.NoError(t, out.Produce(collected, event.New("/test", "large", large)))
		}
		require.ErrorIs(t, out.Produce(collected, event.New("/test", "large", large)), event.ErrFull)
		require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Ack(d.Token)}))
		require.Len(t, there(t, cfg, "out"), 6)
		allClosed(t, ch, c)
	})
}

// A transaction that ended without an answer is found out about: done once either way.
func TestBubbleTransactionsWithoutAnswer(t *testing.T) {
	for _, point := range []string{"begun", "produced", "offsets", "end"} {
		t.Run(point, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { withoutAnswer(t, point) })
		})
	}
}

// A Settle that didn't wait for its transaction may be called again, also with more,
// and again: what was committed is settled.
func TestBubbleTransactionsOutliveTheirSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := faked(t)
		ch := kafka.New(cfg)
		in, err := ch.Producer(t.Context(), "in")
		require.NoError(t, err)
		out, err := ch.Producer(t.Context(), "out")
		require.NoError(t, err)
		c := joined(t, ch, "in")
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		var ss []event.Settlement
		for n := range 3 {
			require.NoError(t, in.Produce(t.Context(), made(fmt.Sprint(n))))
			d, ctx := one(t, c)
			require.NoError(t, out.Produce(event.WithCollected(ctx), made("of "+d.Event.ID())))
			ss = append(ss, event.Ack(d.Token))
			require.ErrorIs(t, c.Settle(ended, ss), context.Canceled)
			time.Sleep(time.Second) // virtual
		}
		require.NoError(t, c.Settle(t.Context(), ss))
		require.Len(t, there(t, cfg, "out"), 3)
		allClosed(t, ch, c)
	})
}

// A member that its group has thrown out commits nothing, though it doesn't know yet.
func TestBubbleTransactionsOfAZombieAreRefused(t *testing.T) {
	bothVersions(t, func(t *testing.T, cfg kafka.Config) {
		ch := kafka.New(cfg)
		in, err := ch.Producer(t.Context(), "in")
		require.NoError(t, err)
		out, err := ch.Producer(t.Context(), "out")
		require.NoError(t, err)
		zombie := joined(t, ch, "in")
		require.NoError(t, in.Produce(t.Context(), made("1")))
		d, ctx := one(t, zombie)
		require.NoError(t, out.Produce(event.WithCollected(ctx), made("of the zombie")))
		kafka.AtTransact(zombie, func(at string) {
			if at != "produced" {
				return
			}
			cl, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...), kgo.Dialer(cfg.Dialer))
			require.NoError(t, err)
			defer cl.Close()
			req := kmsg.NewPtrLeaveGroupRequest()
			req.Group = "g"
			m := kmsg.NewLeaveGroupRequestMember()
			m.MemberID = kafka.Member(zombie)
			req.Members = append(req.Members, m)
			_, err = req.RequestWith(t.Context(), cl)
			require.NoError(t, err)
		})
		require.Error(t, zombie.Settle(t.Context(), []event.Settlement{event.Ack(d.Token)}))
		require.Empty(t, there(t, cfg, "out"))
		kafka.AtTransact(zombie, nil)
		allClosed(t, ch, zombie)
	})
}

type (
	copied struct{ N int }
	placed struct{ N int }
)

func (p placed) EventKey() string { return fmt.Sprint("key ", p.N%7) }
func (c copied) EventKey() string { return fmt.Sprint("key ", c.N%7) }

// Through the bus: what handlers publish is there once, whatever fails.
func TestBubbleTransactionsOfABus(t *testing.T) {
	bothVersions(t, func(t *testing.T, cfg kafka.Config) {
		b := bus.New(bus.Config{App: "shop", Channel: kafka.New(cfg)})
		failed := make(map[int]bool)
		bus.Subscribe(b, "copier", func(ctx context.Context, e placed) error {
			if err := b.Publish(ctx, copied(e)); err != nil {
				return err
			}
			if e.N%10 == 0 && !failed[e.N] {
				failed[e.N] = true
				return errors.New("once")
			}
			return nil
		}, bus.Workers(1))
		require.NoError(t, b.Start(t.Context()))
		for n := range 100 {
			require.NoError(t, b.Publish(t.Context(), placed{n}))
		}
		require.NoError(t, b.Drain(t.Context()))
		ids := there(t, cfg, "copied")
		require.Len(t, ids, 100)
		seen := make(map[string]bool)
		for _, id := range ids {
			require.True(t, strings.HasPrefix(id, "d-"))
			require.False(t, seen[id])
			seen[id] = true
		}
	})
}

// withoutAnswer lets a member's connections break at a point of a transaction.
func withoutAnswer(t *testing.T, point string) {
	t.Helper()
	cfg := faked(t)
	ch := kafka.New(cfg)
	cuts := kafka.NewCuts(ch)
	in, err := ch.Producer(t.Context(), "in")
	require.NoError(t, err)
	out, err := ch.Producer(t.Context(), "out")
	require.NoError(t, err)
	c := joined(t, ch, "in")
	cut := 0
	kafka.AtTransact(c, func(at string) {
		if at == point && cut < 2 {
			cut++
			cuts.Break(c, point == "end")
		}
	})
	for n := range 20 {
		require.NoError(t, in.Produce(t.Context(), made(fmt.Sprint(n))))
		d, ctx := one(t, c)
		require.NoError(t, out.Produce(event.WithCollected(ctx), made("of "+d.Event.ID())))
		for c.Settle(t.Context(), []event.Settlement{event.Ack(d.Token)}) != nil {
			time.Sleep(time.Second) // virtual
		}
	}
	require.Equal(t, 2, cut)
	ids := there(t, cfg, "out")
	require.Len(t, ids, 20)
	require.NoError(t, c.Close(t.Context()))
	again := joined(t, ch, "in")
	require.NoError(t, in.Produce(t.Context(), made("last")))
	d, _ := one(t, again)
	require.Equal(t, "last", d.Event.ID())
	allClosed(t, ch, again)
}
