//go:build synctests

package kafka_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
)

var delaying = kafka.Config{DelayTopics: true, MaxDelay: 30 * 24 * time.Hour}

// delayedEvents returns n events that are due in d.
func delayedEvents(key string, n int, d time.Duration) []event.Event {
	es := numberedEvents(key, 1, n)
	for i, e := range es {
		es[i] = e.WithNotBefore(time.Now().Add(d))
	}
	return es
}

// Any number of delayed events is in nobody's way: neither of what is published, nor of
// what is redriven.
func TestBubbleDelayedEventsHoldUpNobody(t *testing.T) {
	bubble(t, 1, delaying, func(v virtual) {
		due := time.Now().Add(10 * time.Minute)
		c := v.join(event.Subscription{})
		v.produce(numberedEvents("now", 1, 100)...)
		now := v.receive(c, 100)
		require.NoError(v, c.Settle(v.Context(), []event.Settlement{event.Dead(now[0].Token, event.Cause{Code: "no"})}))
		v.ack(c, now[1:]...)
		v.produce(delayedEvents("later", 3*kafka.Most, 10*time.Minute)...)
		v.produce(numberedEvents("next", 1, 100)...)
		v.ack(c, v.receive(c, 100)...)
		n, err := v.ch.RedriveKey(v.Context(), "orders", "mailer", "now")
		require.NoError(v, err)
		require.Equal(v, 1, n)
		v.ack(c, v.receive(c, 1)...)
		assert.True(v, time.Now().Before(due))
		v.silent(c)

		lag, err := v.ch.Lag(v.Context(), "orders", "mailer")
		require.NoError(v, err)
		assert.Equal(v, event.Lag{Delayed: 3 * kafka.Most}, lag)

		for left := 3 * kafka.Most; left > 0; {
			ds := v.receiveWithin(c, 1024, time.Hour)
			v.ack(c, ds...)
			left -= len(ds)
		}
		assert.False(v, time.Now().Before(due))
		assert.Less(v, time.Since(due), 10*time.Second)
		v.silent(c)
		require.NoError(v, v.ch.Quiet(v.Context(), "mailer"))
		<-time.After(20 * time.Minute) // virtual
		end := v.cluster.PartitionInfo("orders.mailer.delay", 3)
		assert.Positive(v, end.HighWatermark)
		assert.Equal(v, end.HighWatermark, end.LogStartOffset, "what has gone on is removed")
		require.NoError(v, c.Close(v.Context()))
	})
}

// Each comes when it is due, however long that takes, with its key and its place.
func TestBubbleDelayedEventsComeInTime(t *testing.T) {
	bubble(t, 3, delaying, func(v virtual) {
		c := v.join(event.Subscription{})
		want := make(map[string]time.Time)
		for i, d := 0, time.Second; d < 6*time.Hour; i, d = i+1, d*5/4 {
			e := numberedEvents(fmt.Sprint("k", i), 1, 1)[0].WithNotBefore(time.Now().Add(d))
			want[e.ID()] = e.NotBefore()
			v.produce(e)
		}
		start := time.Now()
		for len(want) > 0 {
			for _, d := range v.receiveWithin(c, 1, 30*24*time.Hour) {
				late := time.Since(want[d.Event.ID()])
				assert.True(v, late >= 0 && late < time.Second, "%s, %v ahead, is %v late", d.Event, want[d.Event.ID()].Sub(start), late)
				assert.True(v, d.Position.Valid())
				assert.Empty(v, ours(d.Event))
				delete(want, d.Event.ID())
				v.ack(c, d)
			}
		}
		v.silent(c)
		require.NoError(v, c.Close(v.Context()))
	})
}

// ours returns leat's headers that came with an event as extensions.
func ours(e event.Event) (names []string) {
	for name := range e.Extensions() {
		if strings.HasPrefix(name, "leat") {
			names = append(names, name)
		}
	}
	return names
}

// receiveWithin is receive with another patience.
func (v virtual) receiveWithin(c event.Consumer, n int, patience time.Duration) []event.Delivery {
	v.Helper()
	ctx, cancel := context.WithTimeout(v.Context(), patience)
	defer cancel()
	buf := make([]event.Delivery, n)
	got, err := c.Receive(ctx, buf)
	require.NoError(v, err)
	return buf[:got]
}

// Members come and go while events wait: none comes twice, none is forgotten.
func TestBubbleDelayedEventsOutliveMembers(t *testing.T) {
	bubble(t, 4, delaying, func(v virtual) {
		const n = 3000
		seen := &handledTimes{of: make(map[string]int)}
		old := newTaker(v, v.join(event.Subscription{Grace: time.Minute, CancelGrace: time.Second}), seen)
		for i := range n / 100 {
			var es []event.Event
			for k := range 10 {
				es = append(es, delayedEvents(fmt.Sprintf("%d-%d", i, k), 10, time.Duration(1+i*k)*time.Second)...)
			}
			v.produce(es...)
		}
		for range 20 {
			<-time.After(7 * time.Second) // virtual
			next := newTaker(v, v.join(event.Subscription{Grace: time.Minute, CancelGrace: time.Second}), seen)
			<-time.After(7 * time.Second) // virtual
			old.leave()
			old = next
		}
		require.NoError(v, v.ch.Quiet(v.Context(), "mailer"))
		old.leave()
		assert.Len(v, seen.of, n)
		for id, times := range seen.of {
			assert.Equal(v, 1, times, id)
		}
	})
}

// taker acks what it receives, and counts it.
type taker struct {
	v    virtual
	c    event.Consumer
	done chan struct{}
}

func newTaker(v virtual, c event.Consumer, seen *handledTimes) *taker {
	k := &taker{v, c, make(chan struct{})}
	go func() {
		defer close(k.done)
		buf := make([]event.Delivery, 100)
		for {
			n, err := c.Receive(context.Background(), buf)
			if err != nil {
				return
			}
			var acks []event.Settlement
			for _, d := range buf[:n] {
				if _, ok := c.Begin(d.Token); ok {
					seen.add(d.Event.ID())
					acks = append(acks, event.Ack(d.Token))
				}
			}
			assert.NoError(v, c.Settle(context.Background(), acks))
		}
	}()
	return k
}

// handledTimes is how often what was handled.
type handledTimes struct {
	mu sync.Mutex
	of map[string]int
}

func (n *handledTimes) add(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.of[id]++
}

func (k *taker) leave() {
	require.NoError(k.v, k.c.Close(context.Background()))
	<-k.done
}

// A group that has given up delay topics empties its own.
func TestBubbleDelayTopicIsEmptiedWithoutTheOption(t *testing.T) {
	bubble(t, 2, delaying, func(v virtual) {
		c := v.join(event.Subscription{})
		v.produce(delayedEvents("a", 10, time.Hour)...)
		v.silent(c)
		require.NoError(v, c.Close(v.Context()))

		plain := v.cfg
		plain.DelayTopics = false
		ch := kafka.New(plain)
		c, err := ch.Consumer(v.Context(), event.Subscription{Group: "mailer", Topics: []string{"orders"}})
		require.NoError(v, err)
		v.ack(c, v.receive(c, 10)...)
		require.NoError(v, ch.Quiet(v.Context(), "mailer"))
		require.NoError(v, c.Close(v.Context()))
		require.NoError(v, ch.RemoveGroup(v.Context(), "mailer", "orders"))
		assert.Nil(v, v.cluster.TopicInfo("orders.mailer.delay"))
		require.NoError(v, ch.Close(v.Context()))
	})
}

// Without the option a member says what its partition waits for.
func TestBubbleTooManyDelayedEventsAreTold(t *testing.T) {
	bubble(t, 1, kafka.Config{}, func(v virtual) {
		var told []string
		c := v.join(event.Subscription{OnError: func(err error) { told = append(told, err.Error()) }})
		v.produce(delayedEvents("later", kafka.Most+10, 10*time.Minute)...)
		v.silent(c)
		require.Len(v, told, 1)
		assert.Regexp(v, `topic "orders", partition 0: 163\d\d delayed events are held`, told[0])
		v.ack(c, v.receive(c, kafka.Most+10)...)
		require.NoError(v, c.Close(v.Context()))
	})
}
