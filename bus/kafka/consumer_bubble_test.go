//go:build synctests

package kafka_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
)

// virtual is a broker and a channel within a bubble.
type virtual struct {
	*testing.T

	cluster *kfake.Cluster
	cfg     kafka.Config
	ch      *kafka.Channel
	cuts    *kafka.Cuts
}

// bubble runs f in virtual time, with a topic "orders" of so many partitions.
func bubble(t *testing.T, partitions int32, cfg kafka.Config, f func(v virtual)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		net := new(kfake.VirtualNetwork)
		c := fake(t, kfake.ListenFn(net.Listen))
		require.NoError(t, c.CreateTopic("orders", partitions, nil))
		cfg.Brokers, cfg.Dialer = c.ListenAddrs(), net.DialContext
		if cfg.SessionTimeout == 0 {
			cfg.SessionTimeout = session
		}
		ch := kafka.New(cfg)
		cuts := kafka.NewCuts(ch)
		defer func() { assert.NoError(t, ch.Close(context.WithoutCancel(t.Context()))) }()
		f(virtual{t, c, cfg, ch, cuts})
	})
}

func (v virtual) produce(events ...event.Event) {
	v.Helper()
	p, err := v.ch.Producer(v.Context(), "orders")
	require.NoError(v, err)
	require.NoError(v, p.Produce(v.Context(), events...))
}

func (v virtual) join(s event.Subscription) event.Consumer {
	v.Helper()
	s.Group, s.Topics = "mailer", []string{"orders"}
	c, err := v.ch.Consumer(v.Context(), s)
	require.NoError(v, err)
	return c
}

// receive returns the next n deliveries.
func (v virtual) receive(c event.Consumer, n int) (ds []event.Delivery) {
	v.Helper()
	ctx, cancel := context.WithTimeout(v.Context(), time.Hour)
	defer cancel()
	buf := make([]event.Delivery, n)
	for len(ds) < n {
		got, err := c.Receive(ctx, buf[:n-len(ds)])
		require.NoError(v, err, "after %d of %d", len(ds), n)
		ds = append(ds, buf[:got]...)
	}
	return ds
}

func (v virtual) ack(c event.Consumer, ds ...event.Delivery) {
	v.Helper()
	var ss []event.Settlement
	for _, d := range ds {
		ss = append(ss, event.Ack(d.Token))
	}
	require.NoError(v, c.Settle(v.Context(), ss))
}

// silent fails when something comes within a minute.
func (v virtual) silent(c event.Consumer) {
	v.Helper()
	ctx, cancel := context.WithTimeout(v.Context(), time.Minute)
	defer cancel()
	buf := make([]event.Delivery, 1)
	_, err := c.Receive(ctx, buf)
	require.ErrorIs(v, err, context.DeadlineExceeded, "%v", buf[0].Event)
}

func numberedEvents(key string, from, to int) (es []event.Event) {
	for i := from; i <= to; i++ {
		es = append(es, event.New("/test", "tested", []byte("data")).WithID(fmt.Sprintf("%s-%d", key, i)).WithKey(key))
	}
	return es
}

func TestBubbleMemberThatIsCutOffGivesUpByItsOwnClock(t *testing.T) {
	bubble(t, 1, kafka.Config{}, func(v virtual) {
		lost := make(chan event.Token, 10)
		var told []string
		c := v.join(event.Subscription{
			OnLost: func(ts []event.Token) {
				for _, t := range ts {
					lost <- t
				}
			},
			OnError: func(err error) { told = append(told, err.Error()) },
		})
		v.produce(numberedEvents("a", 1, 2)...)
		ds := v.receive(c, 2)
		ctx, ok := c.Begin(ds[0].Token)
		require.True(v, ok)

		cut := time.Now()
		v.cuts.Crash(c)
		<-ctx.Done()
		assert.ErrorIs(v, context.Cause(ctx), event.ErrLeaseLost)
		assert.Less(v, time.Since(cut), session, "others may have it by now")
		assert.Equal(v, ds[1].Token, <-lost)
		assert.Error(v, c.Settle(v.Context(), []event.Settlement{event.Ack(ds[0].Token)}))
		_, ok = c.Begin(ds[1].Token)
		assert.False(v, ok)

		v.cuts.Mend(c)
		again := v.receive(c, 2)
		assert.Equal(v, "a-1", again[0].Event.ID())
		v.ack(c, again...)
		v.silent(c)
		require.NoError(v, c.Close(v.Context()))
		assert.Contains(v, strings.Join(told, "\n"), `group "mailer": no answer from its coordinator`)
	})
}

func TestBubbleShortCutDoesNoHarm(t *testing.T) {
	bubble(t, 1, kafka.Config{}, func(v virtual) {
		c := v.join(event.Subscription{OnLost: func(ts []event.Token) { t.Errorf("lost %v", ts) }})
		v.produce(numberedEvents("a", 1, 1)...)
		d := v.receive(c, 1)[0]
		ctx, _ := c.Begin(d.Token)
		v.cuts.Crash(c)
		<-time.After(session / 3) // virtual
		v.cuts.Mend(c)
		<-time.After(3 * session) // virtual
		require.NoError(v, ctx.Err())
		v.ack(c, d)
		require.NoError(v, c.Close(v.Context()))
	})
}

func TestBubbleFailuresAreKnownToTheNextOwner(t *testing.T) {
	bubble(t, 1, kafka.Config{}, func(v virtual) {
		c := v.join(event.Subscription{})
		v.produce(numberedEvents("a", 1, 1)...)
		d := v.receive(c, 1)[0]
		_, _ = c.Begin(d.Token)
		c.Hold(d.Token, 3)
		require.NoError(v, c.Close(v.Context()))
		c = v.join(event.Subscription{})
		d = v.receive(c, 1)[0]
		assert.Equal(v, 3, d.Failures)
		v.ack(c, d)
		require.NoError(v, c.Close(v.Context()))
	})
}

func TestBubbleWhatIsInHandMayBeFinishedInTheGrace(t *testing.T) {
	bubble(t, 1, kafka.Config{}, func(v virtual) {
		const grace = 20 * time.Second
		lost := 0
		s := event.Subscription{Grace: grace, OnLost: func(ts []event.Token) { lost += len(ts) }}
		a := v.join(s)
		v.produce(numberedEvents("a", 1, 3)...)
		v.produce(numberedEvents("b", 1, 2)...)
		ds := v.receive(a, 5)
		of := map[string]event.Delivery{}
		for _, d := range ds {
			of[d.Event.ID()] = d
		}
		_, _ = a.Begin(of["b-1"].Token)
		a.Hold(of["b-1"].Token, 1)
		others := []event.Consumer{v.join(s)} // one of them gets the only partition, perhaps
		<-time.After(time.Second)             // virtual
		run, ok := a.Begin(of["a-1"].Token)
		if !ok {
			t.Fatal("a-1 may not begin")
		}
		v.ack(a, of["a-1"])
		require.NoError(v, run.Err())
		v.ack(a, of["a-2"], of["a-3"])
		require.NoError(v, a.Close(v.Context()))
		got := v.receive(others[0], 2)
		assert.Equal(v, "b-1", got[0].Event.ID())
		assert.Equal(v, "b-2", got[1].Event.ID())
		v.ack(others[0], got...)
		v.silent(others[0])
		require.NoError(v, others[0].Close(v.Context()))
		assert.LessOrEqual(v, lost, 2)
	})
}

func TestBubbleAWindowIsOpenAtMost(t *testing.T) {
	bubble(t, 1, kafka.Config{}, func(v virtual) {
		c := v.join(event.Subscription{})
		const n = kafka.Most + 8000
		v.produce(numberedEvents("a", 1, n)...)
		ds := v.receive(c, kafka.Most-100)
		v.ack(c, ds[1:]...) // all but the oldest
		rest := 0
		for ctx, cancel := context.WithTimeout(v.Context(), time.Minute); ; {
			buf := make([]event.Delivery, 512)
			got, err := c.Receive(ctx, buf)
			if err != nil {
				cancel()
				break
			}
			rest += got
			v.ack(c, buf[:got]...)
		}
		assert.Less(v, rest, 8000, "a partition whose oldest event is open was read on without an end")
		v.ack(c, ds[0])
		v.ack(c, v.receive(c, n-len(ds)-rest)...)
		v.silent(c)
		require.NoError(v, c.Close(v.Context()))
	})
}

func TestBubbleForeignHeadersOfLeatsNameMeanNothing(t *testing.T) {
	bubble(t, 1, kafka.Config{}, func(v virtual) {
		c := v.join(event.Subscription{})
		forged := numberedEvents("a", 1, 1)[0].WithExtension("leatmark", "redriven")
		v.produce(forged)
		d := v.receive(c, 1)[0]
		assert.False(v, d.Redriven)
		require.NoError(v, c.Settle(v.Context(), []event.Settlement{event.Dead(d.Token, event.Cause{Code: "no"})}))
		require.NoError(v, c.Close(v.Context()))
	})
}

func TestBubbleWhatIsDoneWithIsRemoved(t *testing.T) {
	bubble(t, 1, kafka.Config{}, func(v virtual) {
		const dead, redrive = "orders.mailer.dead", "orders.mailer.redrive"
		c := v.join(event.Subscription{})
		v.produce(numberedEvents("a", 1, 4)...)
		for _, d := range v.receive(c, 3) {
			require.NoError(v, c.Settle(v.Context(), []event.Settlement{event.Dead(d.Token, event.Cause{Code: "no"})}))
		}
		n, err := v.ch.RedriveKey(v.Context(), "orders", "mailer", "a")
		require.NoError(v, err)
		assert.Equal(v, 3, n)
		ds := v.receive(c, 4)
		require.NoError(v, c.Settle(v.Context(), []event.Settlement{event.Dead(ds[0].Token, event.Cause{Code: "no"})}))
		v.ack(c, ds[1:]...)
		<-time.After(2 * time.Hour) // virtual
		assert.EqualValues(v, 3, v.cluster.PartitionInfo(redrive, 0).LogStartOffset)

		var letters []event.DeadLetter
		for l, err := range v.ch.DeadLetters(v.Context(), "orders", "mailer") {
			require.NoError(v, err)
			letters = append(letters, l)
		}
		require.Len(v, letters, 1)
		require.NoError(v, v.ch.Discard(v.Context(), letters[0]))
		assert.EqualValues(v, 5, v.cluster.PartitionInfo(dead, 0).LogStartOffset, "three letters, a redrive and that it is done")
		require.NoError(v, c.Close(v.Context()))

		c = v.join(event.Subscription{})
		v.produce(numberedEvents("b", 1, 1)...)
		v.ack(c, v.receive(c, 1)...)
		v.silent(c)
		require.NoError(v, c.Close(v.Context()))
	})
}
