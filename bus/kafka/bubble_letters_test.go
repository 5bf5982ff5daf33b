//go:build synctests

package kafka_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
)

// records returns what is in partition 0 of a topic.
func (v virtual) records(topic string, n int) []*kgo.Record {
	v.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(v.cfg.Brokers...), kgo.Dialer(v.cfg.Dialer), kgo.ConsumeTopics(topic))
	require.NoError(v, err)
	defer cl.Close()
	var rs []*kgo.Record
	for len(rs) < n {
		rs = append(rs, cl.PollFetches(v.Context()).Records()...)
	}
	return rs
}

// put writes records as they are.
func (v virtual) put(rs ...*kgo.Record) {
	v.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(v.cfg.Brokers...), kgo.Dialer(v.cfg.Dialer), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(v, err)
	defer cl.Close()
	require.NoError(v, cl.ProduceSync(v.Context(), rs...).FirstErr())
}

func (v virtual) settle(c event.Consumer, s event.Settlement) {
	v.Helper()
	require.NoError(v, c.Settle(v.Context(), []event.Settlement{s}))
}

func (v virtual) letters() (ls []event.DeadLetter) {
	v.Helper()
	for l, err := range v.ch.DeadLetters(v.Context(), "orders", "mailer") {
		require.NoError(v, err)
		ls = append(ls, l)
	}
	return ls
}

// Two who redrive a letter at the same moment don't know of each other.
func TestBubbleALetterIsRedrivenOnce(t *testing.T) {
	for name, settle := range map[string]func(event.Token) event.Settlement{
		"dead":   func(t event.Token) event.Settlement { return event.Dead(t, event.Cause{Code: "no"}) },
		"parked": func(t event.Token) event.Settlement { return event.Park(t, event.Cause{Code: "no"}) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, kafka.Config{}, func(v virtual) {
				c := v.join(event.Subscription{})
				v.produce(numberedEvents("a", 1, 1)...)
				v.settle(c, settle(v.receive(c, 1)[0].Token))
				require.NoError(v, c.Close(v.Context()))
				require.NoError(v, v.ch.Redrive(v.Context(), v.letters()[0]))
				asked := v.records("orders.mailer.dead", 2)[1]
				v.put(&kgo.Record{Topic: asked.Topic, Key: asked.Key, Value: asked.Value, Headers: asked.Headers})

				c = v.join(event.Subscription{})
				again := v.receive(c, 1)[0]
				v.silent(c)
				v.settle(c, settle(again.Token)) // it is a letter once more
				require.NoError(v, v.ch.Redrive(v.Context(), v.letters()[0]))
				v.ack(c, v.receive(c, 1)...)
				v.silent(c)
				require.NoError(v, c.Close(v.Context()))
			})
		})
	}
}

// A letter that an owner wrote behind another, which was discarded meanwhile, does not
// park its key for good when that owner is no more.
func TestBubbleALetterBehindADiscardedOneGoesOn(t *testing.T) {
	bubble(t, 1, kafka.Config{}, func(v virtual) {
		c := v.join(event.Subscription{})
		v.produce(numberedEvents("a", 1, 2)...)
		v.settle(c, event.Park(v.receive(c, 1)[0].Token, event.Cause{Code: "no"}))
		<-time.After(time.Second) // virtual: the second is behind it
		behind := v.records("orders.mailer.dead", 2)[1]
		require.NoError(v, c.Close(v.Context()))
		for _, l := range v.letters() {
			require.NoError(v, v.ch.Discard(v.Context(), l))
		}
		v.put(&kgo.Record{Topic: behind.Topic, Key: behind.Key, Value: behind.Value, Headers: behind.Headers})
		v.produce(numberedEvents("a", 3, 3)...)

		c = v.join(event.Subscription{})
		ds := v.receive(c, 2)
		assert.Equal(v, "a-2", ds[0].Event.ID())
		assert.True(v, ds[0].Redriven)
		assert.Equal(v, "a-3", ds[1].Event.ID())
		v.ack(c, ds...)
		assert.Empty(v, v.letters())
		v.silent(c)
		require.NoError(v, c.Close(v.Context()))
	})
}

// One that stands behind another stays there when the first is discarded.
func TestBubbleALetterBehindAnotherStaysParked(t *testing.T) {
	bubble(t, 1, kafka.Config{}, func(v virtual) {
		c := v.join(event.Subscription{})
		v.produce(numberedEvents("a", 1, 2)...)
		v.settle(c, event.Park(v.receive(c, 1)[0].Token, event.Cause{Code: "no"}))
		<-time.After(time.Second) // virtual: the second is behind it
		require.NoError(v, v.ch.Discard(v.Context(), v.letters()[0]))
		require.NoError(v, c.Close(v.Context()))
		c = v.join(event.Subscription{})
		v.silent(c)
		require.Len(v, v.letters(), 1)
		require.NoError(v, c.Close(v.Context()))
	})
}
