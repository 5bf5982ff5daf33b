//go:build synctests

package kafka_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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
			v.cluster.KeepControl() // the events are read long before it is known that their key is parked
			v.cluster.SleepControl(func() { <-time.After(5 * time.Second) }) // virtual
			return nil, nil, false
		})
		c = v.join(event.Subscription{})
		v.ack(c, v.receive(c, 1)...)
		require.NoError(v, c.Close(v.Context()))
	})
}
