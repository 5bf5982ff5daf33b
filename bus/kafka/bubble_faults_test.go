//go:build synctests

package kafka_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
)

// collect counts what comes within d, and acks it.
func (v virtual) collect(c event.Consumer, d time.Duration) map[string]int {
	got := make(map[string]int)
	ctx, cancel := context.WithTimeout(v.Context(), d)
	defer cancel()
	buf := make([]event.Delivery, 100)
	for {
		n, err := c.Receive(ctx, buf)
		if err != nil {
			return got
		}
		for _, d := range buf[:n] {
			got[d.Event.ID()]++
		}
		v.ack(c, buf[:n]...)
	}
}

// unwritable lets nobody write to a topic.
func (v virtual) unwritable(topic string) (heal func()) {
	f := v.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: kerr.TopicAuthorizationFailed, Count: -1})
	return func() { f.Remove() }
}

// slowWrites lets each write take its time.
func (v virtual) slowWrites(d time.Duration) {
	v.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		v.cluster.KeepControl()
		v.cluster.SleepControl(func() { <-time.After(d) }) // virtual
		return nil, nil, false
	})
}

// What can't go on is tried again, and what has gone on with it isn't.
func TestBubbleWhatHasGoneOnDoesNotGoAgain(t *testing.T) {
	t.Run("delayed", func(t *testing.T) {
		bubble(t, 1, delaying, func(v virtual) {
			c := v.join(event.Subscription{})
			v.produce(delayedEvents("soon", 1, 17*time.Second)...)
			v.produce(delayedEvents("later", 1, 25*time.Second)...)
			<-time.After(5 * time.Second) // virtual
			heal := v.unwritable("orders.mailer.delay")
			got := v.collect(c, 2*time.Minute)
			heal()
			assert.Equal(v, map[string]int{"soon-1": 1, "later-1": 1}, got, "what is due meanwhile needs no lower level")
			assert.Empty(v, v.collect(c, time.Minute))
			require.NoError(v, c.Close(v.Context()))
		})
	})
	t.Run("redriven", func(t *testing.T) {
		bubble(t, 1, kafka.Config{}, func(v virtual) {
			c := v.join(event.Subscription{})
			v.produce(numberedEvents("a", 1, 1)...)
			v.settle(c, event.Dead(v.receive(c, 1)[0].Token, event.Cause{Code: "no"}))
			require.NoError(v, c.Close(v.Context()))
			require.NoError(v, v.ch.Redrive(v.Context(), v.letters()[0]))
			heal := v.unwritable("orders.mailer.dead")
			c = v.join(event.Subscription{})
			v.collect(c, time.Minute)
			heal()
			v.collect(c, time.Minute)
			require.NoError(v, c.Close(v.Context()))
			ends, err := kadm.NewClient(v.client()).ListEndOffsets(v.Context(), "orders.mailer.redrive")
			require.NoError(v, err)
			assert.EqualValues(v, 1, ends["orders.mailer.redrive"][0].Offset)
		})
	})
}

func (v virtual) client() *kgo.Client {
	v.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(v.cfg.Brokers...), kgo.Dialer(v.cfg.Dialer))
	require.NoError(v, err)
	v.Cleanup(cl.Close)
	return cl
}

// Redrives of a key that overlap, while events go behind it, send none twice.
func TestBubbleRedrivesThatOverlap(t *testing.T) {
	bubble(t, 1, kafka.Config{}, func(v virtual) {
		c := v.join(event.Subscription{})
		v.produce(numberedEvents("a", 1, 1)...)
		v.settle(c, event.Park(v.receive(c, 1)[0].Token, event.Cause{Code: "no"}))
		v.slowWrites(300 * time.Millisecond)
		var work sync.WaitGroup
		work.Go(func() {
			for i := 2; i < 40; i++ {
				v.produce(numberedEvents("a", i, i)...)
			}
		})
		for i := range 10 {
			work.Go(func() {
				<-time.After(time.Second + time.Duration(i)*210*time.Millisecond) // virtual
				_, err := v.ch.RedriveKey(v.Context(), "orders", "mailer", "a")
				assert.NoError(v, err)
			})
		}
		got := v.collect(c, 2*time.Minute)
		work.Wait()
		assert.Len(v, got, 39)
		for id, n := range got {
			assert.Equal(v, 1, n, id)
		}
		require.NoError(v, c.Close(v.Context()))
	})
}

// Close lets a redrive that has begun come to its end.
func TestBubbleCloseWaitsForARedrive(t *testing.T) {
	bubble(t, 1, kafka.Config{}, func(v virtual) {
		c := v.join(event.Subscription{})
		v.produce(numberedEvents("a", 1, 1)...)
		v.settle(c, event.Dead(v.receive(c, 1)[0].Token, event.Cause{Code: "no"}))
		require.NoError(v, v.ch.Redrive(v.Context(), v.letters()[0]))
		v.slowWrites(300 * time.Millisecond)
		<-time.After(400 * time.Millisecond) // virtual: the copy is written, and nothing says so
		require.NoError(v, c.Close(v.Context()))
		c = v.join(event.Subscription{})
		assert.Equal(v, map[string]int{"a-1": 1}, v.collect(c, time.Minute))
		require.NoError(v, c.Close(v.Context()))
	})
}

// What a partition or a topic waits for holds up no other.
func TestBubbleWhatCanNotStartHoldsUpNobody(t *testing.T) {
	t.Run("another topic", func(t *testing.T) {
		bubble(t, 1, kafka.Config{}, func(v virtual) {
			require.NoError(v, v.cluster.CreateTopic("invoices", 1, nil))
			require.NoError(v, v.ch.EnsureGroup(v.Context(), "mailer", event.Start{}, "orders", "invoices"))
			v.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: "invoices.mailer.dead", Err: kerr.TopicAuthorizationFailed, Count: -1})
			var told []error
			c, err := v.ch.Consumer(v.Context(), event.Subscription{
				Group: "mailer", Topics: []string{"orders", "invoices"}, OnError: func(err error) { told = append(told, err) },
			})
			require.NoError(v, err)
			v.produce(numberedEvents("k", 1, 20)...)
			assert.Len(v, v.collect(c, time.Minute), 20)
			require.NotEmpty(v, told)
			assert.ErrorContains(v, told[0], "invoices.mailer.dead")
			require.NoError(v, c.Close(v.Context()))
		})
	})
	t.Run("a partition that is new", func(t *testing.T) {
		bubble(t, 1, delaying, func(v virtual) {
			c := v.join(event.Subscription{})
			v.produce(delayedEvents("later", 1, 20*time.Minute)...)
			<-time.After(time.Minute) // virtual
			_, err := kadm.NewClient(v.client()).UpdatePartitions(v.Context(), 2, "orders")
			require.NoError(v, err)
			v.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreatePartitions}, Err: kerr.TopicAuthorizationFailed, Count: -1})
			assert.Equal(v, map[string]int{"later-1": 1}, v.collect(c, time.Hour))
			require.NoError(v, c.Close(v.Context()))
		})
	})
	t.Run("a delay topic that was removed", func(t *testing.T) {
		bubble(t, 2, delaying, func(v virtual) {
			c := v.join(event.Subscription{})
			require.NoError(v, c.Close(v.Context()))
			plain := v.cfg
			plain.DelayTopics = false
			ch := kafka.New(plain)
			sub := event.Subscription{Group: "mailer", Topics: []string{"orders"}}
			a, err := ch.Consumer(v.Context(), sub)
			require.NoError(v, err)
			b, err := ch.Consumer(v.Context(), sub)
			require.NoError(v, err)
			<-time.After(10 * time.Second) // virtual
			_, err = kadm.NewClient(v.client()).DeleteTopics(v.Context(), "orders.mailer.delay")
			require.NoError(v, err)
			require.NoError(v, a.Close(v.Context()))
			for i := range 20 {
				v.produce(numberedEvents(fmt.Sprint(i), 1, 1)...)
			}
			assert.Len(v, v.collect(b, 10*time.Minute), 20)
			require.NoError(v, b.Close(v.Context()))
			require.NoError(v, ch.Close(v.Context()))
		})
	})
}

// Quiet doesn't overlook an event that passes from the delay topic to the redrive topic
// while it looks.
func TestBubbleQuietOverlooksNothing(t *testing.T) {
	bubble(t, 1, delaying, func(v virtual) {
		c := v.join(event.Subscription{})
		v.produce(delayedEvents("a", 1, 8*time.Second)...)
		v.cluster.ControlKey(int16(kmsg.ListOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
			v.cluster.KeepControl()
			if topics := req.(*kmsg.ListOffsetsRequest).Topics; len(topics) == 1 && topics[0].Topic == "orders.mailer.delay" {
				v.cluster.SleepControl(func() { <-time.After(300 * time.Millisecond) }) // virtual
			}
			return nil, nil, false
		})
		ctx, cancel := context.WithTimeout(v.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(v, v.ch.Quiet(ctx, "mailer"), context.DeadlineExceeded)
		d := v.receive(c, 1)[0]
		assert.Less(v, d.EnqueuedAt.Sub(d.Event.NotBefore()), -7*time.Second, "it was accepted long before")
		v.ack(c, d)
		require.NoError(v, v.ch.Quiet(v.Context(), "mailer"))
		require.NoError(v, c.Close(v.Context()))
	})
}

// Events that nobody lets go on are overdue.
func TestBubbleOverdueEventsAreNotDelayed(t *testing.T) {
	bubble(t, 1, delaying, func(v virtual) {
		c := v.join(event.Subscription{})
		v.produce(delayedEvents("a", 3, 20*time.Second)...)
		v.produce(delayedEvents("b", 2, 2*time.Hour)...)
		<-time.After(5 * time.Second) // virtual
		require.NoError(v, c.Close(v.Context()))
		<-time.After(time.Minute) // virtual
		lag, err := v.ch.Lag(v.Context(), "orders", "mailer")
		require.NoError(v, err)
		assert.Equal(v, 3, lag.Waiting)
		assert.Equal(v, 2, lag.Delayed)
		assert.Greater(v, lag.OldestAge, 40*time.Second)
	})
}
