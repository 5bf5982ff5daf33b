//go:build synctests

package kafka_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

// A topic may get more partitions while a group runs: they are handled from their
// beginning, and have dead letters and redrives like the others.
func TestBubbleMorePartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 1, 2)
		ch := f.channel()
		m := join(t, ch, "g", "topic", func(d event.Delivery) bool { return d.Event.ID() == "dead" && !d.Redriven })
		put(t, ch, "topic", numbers(0, 1)...)
		eventually(t, "the first is handled", func() bool { return len(m.got()) == 1 })
		_, err := kadm.NewClient(f.client()).UpdatePartitions(t.Context(), 4, "topic")
		require.NoError(t, err)
		raw := f.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
		for n := range int32(4) {
			require.NoError(t, raw.ProduceSync(t.Context(), record("topic", n, fmt.Sprint("more-", n))).FirstErr())
		}
		require.NoError(t, raw.ProduceSync(t.Context(), record("topic", 3, "dead")).FirstErr())
		time.Sleep(time.Second) // virtual
		lag, err := ch.Lag(t.Context(), "topic", "g")
		require.NoError(t, err)
		assert.Equal(t, 3, lag.Unsettled(), "new partitions count though no member has seen them")
		var token event.Token
		eventually(t, "all partitions are read", func() bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			token = m.held["dead"]
			return len(m.acked) == 5 && len(m.held) == 1
		})
		require.NoError(t, m.Settle(t.Context(), []event.Settlement{event.Dead(token, event.Cause{Code: "c"})}))
		for d, err := range ch.DeadLetters(t.Context(), "topic", "g") {
			require.NoError(t, err)
			require.NoError(t, ch.Redrive(t.Context(), d))
		}
		eventually(t, "the dead letter is handled", func() bool { return len(m.got()) == 6 })
		m.leave(t)
	})
}

// What a topic no longer has can't be handled: the group goes on behind it, and
// somebody is told.
func TestBubbleRetentionOvertakesAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 1, 1)
		ch := f.channel()
		m := join(t, ch, "g", "topic", nil)
		put(t, ch, "topic", numbers(0, 10)...)
		eventually(t, "all are handled", func() bool { return len(m.got()) == 10 })
		m.leave(t)
		put(t, ch, "topic", numbers(10, 10)...)
		require.NoError(t, f.DeleteRecords("topic", 0, 15))
		m = join(t, ch, "g", "topic", nil)
		eventually(t, "the rest is handled", func() bool { return len(m.got()) == 5 })
		require.NoError(t, ch.Quiet(t.Context(), "g"))
		require.Len(t, m.told(), 1)
		require.ErrorContains(t, m.told()[0], "5 offsets")
		m.leave(t)
	})
}

// A topic that is deleted and made again is another topic: its events are handled from
// its beginning.
func TestBubbleTopicIsMadeAgain(t *testing.T) {
	for _, after := range []time.Duration{0, time.Minute} {
		t.Run(after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t, 1, 2)
				ch := f.channel()
				m := join(t, ch, "g", "topic", nil)
				put(t, ch, "topic", numbers(0, 100)...)
				eventually(t, "all are handled", func() bool { return len(m.got()) == 100 })
				require.NoError(t, f.DeleteTopic("topic"))
				time.Sleep(after) // virtual
				require.NoError(t, f.CreateTopic("topic", 2, nil))
				time.Sleep(time.Second) // virtual
				put(t, f.channel(), "topic", numbers(100, 50)...)
				eventually(t, "the new ones are handled", func() bool { return len(m.got()) == 150 })
				require.NoError(t, ch.Quiet(t.Context(), "g"))
				m.leave(t)
			})
		})
	}
}

// Aborted transactions and the brokers' own records at the end of a partition are
// nothing that waits.
func TestBubbleAbortedAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 1, 1)
		ch := f.channel()
		m := join(t, ch, "g", "topic", nil)
		put(t, ch, "topic", numbers(0, 1)...)
		tx := f.client(kgo.TransactionalID("tx"))
		for i, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit, kgo.TryAbort} {
			require.NoError(t, tx.BeginTransaction())
			for n := range 3 {
				require.NoError(t, tx.ProduceSync(t.Context(), record("topic", 0, fmt.Sprintf("tx-%d-%d", i, n))).FirstErr())
			}
			require.NoError(t, tx.EndTransaction(t.Context(), end))
		}
		require.NoError(t, ch.Quiet(t.Context(), "g"))
		assert.Len(t, m.got(), 7)
		for _, id := range m.got() {
			assert.False(t, strings.HasPrefix(id, "tx-1") || strings.HasPrefix(id, "tx-3"), id)
		}
		lag, err := ch.Lag(t.Context(), "topic", "g")
		require.NoError(t, err)
		assert.Zero(t, lag.Unsettled())
		m.leave(t)
		m = join(t, ch, "g", "topic", nil)
		require.NoError(t, ch.Quiet(t.Context(), "g"))
		assert.Empty(t, m.got())
		m.leave(t)
	})
}
