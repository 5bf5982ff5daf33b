package memory_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// kit is what most tests need: a channel, and short ways to do things with it.
type kit struct {
	*memory.Channel
	t *testing.T
}

func newKit(t *testing.T, opts ...memory.Option) kit {
	t.Helper()
	k := kit{memory.New(opts...), t}
	t.Cleanup(func() { _ = k.Close(context.Background()) })
	return k
}

func (k kit) join(group string, topics ...string) event.Consumer {
	k.t.Helper()
	return k.subscribe(event.Subscription{Group: group, Topics: topics})
}

func (k kit) subscribe(s event.Subscription) event.Consumer {
	k.t.Helper()
	c, err := k.Consumer(context.Background(), s)
	require.NoError(k.t, err)
	return c
}

func (k kit) producer(topic string) event.Producer {
	k.t.Helper()
	p, err := k.Producer(context.Background(), topic)
	require.NoError(k.t, err)
	return p
}

func (k kit) produce(topic string, events ...event.Event) {
	k.t.Helper()
	require.NoError(k.t, k.producer(topic).Produce(context.Background(), events...))
}

// texts produces an event for each text, which is its data; "k:text" has the key k.
func (k kit) texts(topic string, texts ...string) {
	k.t.Helper()
	for _, s := range texts {
		k.produce(topic, textEvent(s))
	}
}

func textEvent(s string) event.Event {
	a := event.Attributes{Source: "/test", Type: "text", Data: []byte(s)}
	for i := range s {
		if s[i] == ':' {
			a.Key = s[:i]
			break
		}
	}
	return a.Event()
}

// receive receives what is there, at most n, and waits for none.
func (k kit) receive(c event.Consumer, n int) []event.Delivery {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	buf := make([]event.Delivery, n)
	n, err := c.Receive(ctx, buf)
	if err != nil {
		require.ErrorIs(k.t, err, context.DeadlineExceeded)
	}
	return buf[:n]
}

func data(ds []event.Delivery) []string {
	s := make([]string, 0, len(ds))
	for _, d := range ds {
		s = append(s, string(d.Event.Data()))
	}
	return s
}

func (k kit) settle(c event.Consumer, ss ...event.Settlement) {
	k.t.Helper()
	require.NoError(k.t, c.Settle(context.Background(), ss))
}

func (k kit) ack(c event.Consumer, ds ...event.Delivery) {
	k.t.Helper()
	for _, d := range ds {
		k.settle(c, event.Ack(d.Token))
	}
}

func TestOneGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		c := k.join("g", "a")
		k.texts("a", "1", "2", "3")
		ds := k.receive(c, 2)
		require.Equal(t, []string{"1", "2"}, data(ds))
		require.Equal(t, 1, ds[0].Attempt)
		require.Equal(t, int64(1), ds[0].Position.Offset)
		k.ack(c, ds...)
		ds = k.receive(c, 10)
		require.Equal(t, []string{"3"}, data(ds))
		_, ok := c.Begin(ds[0].Token)
		require.True(t, ok)
		k.ack(c, ds...)
		_, ok = c.Begin(ds[0].Token)
		require.False(t, ok)
		require.NoError(t, k.Quiet(context.Background(), "g"))
	})
}
