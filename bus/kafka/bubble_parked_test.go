//go:build synctests

package kafka_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
)

func TestBubbleManyOfAParkedKeyHoldUpNobody(t *testing.T) {
	bubble(t, 1, kafka.Config{}, func(v virtual) {
		c := v.join(event.Subscription{})
		v.produce(numberedEvents("a", 1, 1)...)
		d := v.receive(c, 1)[0]
		require.NoError(v, c.Settle(v.Context(), []event.Settlement{event.Park(d.Token, event.Cause{Code: "no"})}))
		require.NoError(v, c.Close(v.Context()))

		v.produce(numberedEvents("a", 2, 10000)...)
		v.produce(numberedEvents("b", 1, 1)...)
		v.cluster.ControlKey(int16(kmsg.ListOffsets), func(kmsg.Request) (kmsg.Response, error, bool) {
			v.cluster.KeepControl()                                          // the events are read long before it is known that their key is parked
			v.cluster.SleepControl(func() { <-time.After(5 * time.Second) }) // virtual
			return nil, nil, false
		})
		c = v.join(event.Subscription{})
		v.ack(c, v.receive(c, 1)...)
		require.NoError(v, c.Close(v.Context()))
	})
}

func TestBubbleALetterIsWhatItsRecordSays(t *testing.T) {
	bubble(t, 1, kafka.Config{}, func(v virtual) {
		c := v.join(event.Subscription{})
		v.produce(numberedEvents("a", 1, 2)...)
		ds := v.receive(c, 2)
		dead := []event.Settlement{event.Dead(ds[0].Token, event.Cause{Code: "no"})}
		ended, cancel := context.WithCancel(v.Context())
		cancel()
		require.Error(v, c.Settle(ended, dead))
		<-time.After(time.Second) // virtual
		require.NoError(v, c.Settle(v.Context(), []event.Settlement{event.Park(ds[1].Token, event.Cause{Code: "no"})}))
		require.NoError(v, c.Settle(v.Context(), dead))
		v.produce(numberedEvents("a", 3, 3)...)
		v.silent(c)

		for l, err := range v.ch.DeadLetters(v.Context(), "orders", "mailer") {
			require.NoError(v, err)
			if l.Event.ID() == "a-2" {
				require.NoError(v, v.ch.Redrive(v.Context(), l))
			}
		}
		again := v.receive(c, 2)
		assert.Equal(v, "a-2", again[0].Event.ID())
		assert.Equal(v, "a-3", again[1].Event.ID())
		v.ack(c, again...)
		require.NoError(v, c.Close(v.Context()))
	})
}

func TestBubbleWhatCouldNotGoIsNotOvertaken(t *testing.T) {
	bubble(t, 1, kafka.Config{}, func(v virtual) {
		c := v.join(event.Subscription{})
		v.produce(numberedEvents("a", 1, 1)...)
		d := v.receive(c, 1)[0]
		require.NoError(v, c.Settle(v.Context(), []event.Settlement{event.Park(d.Token, event.Cause{Code: "no"})}))

		heal := v.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "orders.mailer.dead", Err: kerr.TopicAuthorizationFailed, Count: -1})
		v.produce(numberedEvents("a", 2, 20)...)
		<-time.After(800 * time.Millisecond) // virtual
		heal.Remove()
		v.produce(numberedEvents("a", 21, 25)...)
		v.silent(c)

		n, err := v.ch.RedriveKey(v.Context(), "orders", "mailer", "a")
		require.NoError(v, err)
		assert.Equal(v, 25, n)
		again := v.receive(c, 25)
		for i, d := range again {
			assert.Equal(v, fmt.Sprintf("a-%d", i+1), d.Event.ID())
		}
		v.ack(c, again...)
		require.NoError(v, c.Close(v.Context()))
	})
}

func TestBubbleWhatIsRedrivenStaysAheadHoweverLate(t *testing.T) {
	bubble(t, 1, kafka.Config{}, func(v virtual) {
		c := v.join(event.Subscription{})
		dead := func(d event.Delivery) {
			require.NoError(v, c.Settle(v.Context(), []event.Settlement{event.Dead(d.Token, event.Cause{Code: "no"})}))
		}
		v.produce(numberedEvents("a", 1, 1)...)
		v.produce(numberedEvents("b", 1, 1)...)
		ds := v.receive(c, 2)
		dead(ds[0])
		_, err := v.ch.RedriveKey(v.Context(), "orders", "mailer", "a")
		require.NoError(v, err)
		v.receive(c, 1)
		dead(ds[1])
		require.NoError(v, c.Close(v.Context()))

		<-time.After(2 * time.Hour) // virtual
		v.produce(numberedEvents("a", 2, 2)...)
		for l, err := range v.ch.DeadLetters(v.Context(), "orders", "mailer") {
			require.NoError(v, err)
			require.NoError(v, v.ch.Discard(v.Context(), l))
		}
		assert.LessOrEqual(v, v.cluster.PartitionInfo("orders.mailer.dead", 0).LogStartOffset, int64(2),
			"the next owner has to know that the letter is in the redrive topic")
		c = v.join(event.Subscription{})
		again := v.receive(c, 2)
		assert.Equal(v, "a-1", again[0].Event.ID())
		v.ack(c, again...)
		require.NoError(v, c.Close(v.Context()))
	})
}
