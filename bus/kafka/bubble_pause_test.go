//go:build synctests

package kafka_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
)

// A partition that was full when it went to another member is read again when it comes
// back.
func TestBubblePausedPartitionComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 1, 2)
		ch := f.channel()
		first := func(d event.Delivery) bool { return strings.HasPrefix(d.Event.ID(), "first") }
		a := join(t, ch, "g", "topic", first)
		raw := f.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
		for p := range int32(2) {
			rs := []*kgo.Record{record("topic", p, fmt.Sprint("first-", p))}
			for i := range 17_000 {
				rs = append(rs, record("topic", p, fmt.Sprintf("%d-%d", p, i)))
			}
			require.NoError(t, raw.ProduceSync(t.Context(), rs...).FirstErr())
		}
		eventually(t, "the windows are full", func() bool { return len(a.got()) >= 2*(16<<10)-2 })
		b := join(t, f.channel(), "g", "topic", nil)
		eventually(t, "the other member has one of them", func() bool { return len(b.got()) > 0 })
		eventually(t, "and has handled it", func() bool { return len(a.got())+len(b.got()) > 33_000 })
		b.leave(t)
		for p := range int32(2) {
			for i := range 100 {
				require.NoError(t, raw.ProduceSync(t.Context(), record("topic", p, fmt.Sprintf("last-%d-%d", p, i))).FirstErr())
			}
		}
		a.mu.Lock()
		tokens := maps.Clone(a.held)
		a.mu.Unlock()
		for _, token := range tokens {
			_ = a.Settle(t.Context(), []event.Settlement{event.Ack(token)}) // one is lost
		}
		eventually(t, "all are handled", func() bool { return len(a.got())+len(b.got()) == 2*17_100+1 })
		require.NoError(t, ch.Quiet(t.Context(), "g"))
		a.leave(t)
	})
}

// So is the redrive topic.
func TestBubblePausedRedrivesComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 1, 2)
		ch := f.channel()
		holds := true
		first := func(d event.Delivery) bool { return holds && strings.HasPrefix(d.Event.ID(), "first") }
		a := join(t, ch, "g", "topic", first)
		redrive := func(name string, n int) {
			var es []event.Event
			for i := range n {
				es = append(es, numberedEvents(fmt.Sprint(name, i), 1, 1)...)
			}
			require.NoError(t, ch.ProduceTo(t.Context(), "g", "topic", event.MarkReplayed, es...))
		}
		redrive("first", 20)
		redrive("rest", 40_000)
		eventually(t, "the windows are full", func() bool { return len(a.got()) >= 2*(16<<10)-20 })
		b := join(t, f.channel(), "g", "topic", nil)
		eventually(t, "the other member has handled one of them", func() bool { return len(b.got()) > 1000 })
		b.leave(t)
		redrive("last", 100)
		a.mu.Lock()
		holds = false
		tokens := maps.Clone(a.held)
		a.mu.Unlock()
		for _, token := range tokens {
			_ = a.Settle(t.Context(), []event.Settlement{event.Ack(token)}) // some are lost
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.NoError(t, ch.Quiet(ctx, "g"))
		a.leave(t)
	})
}

// What was fetched of a partition before it went to another member says nothing about
// where it begins when it comes back.
func TestBubbleWhatWasFetchedBeforeIsForgotten(t *testing.T) {
	bubble(t, 4, kafka.Config{}, func(v virtual) {
		const n = 10_000
		var es []event.Event
		for i := range n {
			es = append(es, numberedEvents(fmt.Sprint(i), 1, 1)...)
		}
		v.produce(es...)
		a := v.join(event.Subscription{})
		<-time.After(10 * time.Second) // virtual: it has read ahead, and receives nothing
		b := v.join(event.Subscription{})
		handled := v.receive(b, 1500)
		v.ack(b, handled...)
		require.NoError(v, b.Close(v.Context()))
		<-time.After(10 * time.Second) // virtual: its partition is back
		for range n - len(handled) {
			v.ack(a, v.receive(a, 1)...)
		}
		v.silent(a)
		require.NoError(v, a.Close(v.Context()))
	})
}
