package bridgeamqp_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp091 "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge/bridgeamqp"
	"github.com/leat-go/leat/event"
)

// waiting returns how many messages a queue has that nobody has in hand.
func waiting(tb testing.TB, queue string) int {
	tb.Helper()
	q, err := broker(tb).QueueDeclarePassive(queue, true, false, false, false, nil)
	require.NoError(tb, err)
	return q.Messages
}

// What is published survives the broker: exchanges, queues and messages are durable. A
// topic that nobody reads takes what it is given.
func TestDurable(t *testing.T) {
	topic, group := names()
	ch := closed(t, open(t, bridgeamqp.Config{URI: uri(t)}, newTraces(t)))
	produce(t, ch, topic, "for nobody")
	join(t, ch, event.Subscription{Group: group, Topics: []string{topic}})
	look := broker(t)
	require.NoError(t, look.ExchangeDeclare(topic, "fanout", true, false, false, false, nil))
	for _, queue := range []string{"_" + group, "." + group + ".redrive_" + group, "." + group + ".dead_" + group + ".letters"} {
		_, err := look.QueueDeclare(topic+queue, true, false, false, false, nil)
		require.NoError(t, err, "before anything was published there")
	}
	own, err := look.QueueDeclare("", false, false, true, false, nil)
	require.NoError(t, err)
	require.NoError(t, look.QueueBind(own.Name, "", topic, false, nil))
	produce(t, ch, topic, "x")
	m, ok, err := look.Get(own.Name, true)
	require.NoError(t, err)
	require.True(t, ok, "it was confirmed")
	require.Equal(t, amqp091.Persistent, m.DeliveryMode)
	require.Equal(t, "x", m.Headers["ce_type"])
}

// A member has as many messages in hand as it has subscriptions, and no more.
func TestPrefetch(t *testing.T) {
	topic, group := names()
	ch := closed(t, open(t, bridgeamqp.Config{URI: uri(t), Subscriptions: 2}, newTraces(t)))
	c := join(t, ch, event.Subscription{Group: group, Topics: []string{topic}})
	produce(t, ch, topic, "a", "b", "c")
	d := next(t, c)
	next(t, c)
	silent(t, c)
	require.Equal(t, 1, waiting(t, topic+"_"+group))
	ack(t, c, d)
	require.Equal(t, "c", next(t, c).Event.Type())
}

// Messages are published on few channels: the library opens one for each.
func TestPublishOnFewChannels(t *testing.T) {
	at, p := through(t)
	topic, _ := names()
	ch := closed(t, open(t, bridgeamqp.Config{URI: at}, newTraces(t)))
	produce(t, ch, topic, strings.Split(strings.Repeat("x", 50), "")...)
	conns, channels := p.counts()
	require.Equal(t, 1, conns)
	require.Equal(t, 2, channels, "one for the exchange, one for all messages")
}

// What the broker refuses is an error, and the next message is published all the same.
func TestRefusedByTheBroker(t *testing.T) {
	topic, _ := names()
	ch := closed(t, open(t, bridgeamqp.Config{URI: uri(t)}, newTraces(t)))
	p, err := ch.Producer(t.Context(), topic)
	require.NoError(t, err)
	look := broker(t)
	full, err := look.QueueDeclare("", false, false, true, false, amqp091.Table{"x-max-length": 1, "x-overflow": "reject-publish"})
	require.NoError(t, err)
	require.NoError(t, look.QueueBind(full.Name, "", topic, false, nil))
	require.NoError(t, p.Produce(patient(t), event.New("/t", "fits", nil)))
	require.Eventually(t, func() bool {
		err = p.Produce(patient(t), event.New("/t", "doesn't", nil))
		return err != nil
	}, 10*time.Second, time.Millisecond, "the broker takes a few more than it should")
	require.ErrorContains(t, err, "refused")
	_, err = look.QueueDelete(full.Name, false, false, false)
	require.NoError(t, err)
	require.NoError(t, p.Produce(patient(t), event.New("/t", "fits again", nil)))
}

// An exchange that somebody has removed is an error that names it: made again it would
// have no queue, and drop what it is given.
func TestRemovedExchange(t *testing.T) {
	topic, group := names()
	ch := closed(t, open(t, bridgeamqp.Config{URI: uri(t)}, newTraces(t)))
	c := join(t, ch, event.Subscription{Group: group, Topics: []string{topic}})
	produce(t, ch, topic, "before")
	ack(t, c, next(t, c))
	require.NoError(t, broker(t).ExchangeDelete(topic, false, false))
	p, err := ch.Producer(t.Context(), topic)
	require.NoError(t, err)
	for range 2 {
		require.ErrorContains(t, p.Produce(patient(t), event.New("/t", "x", nil)), "no exchange '"+topic)
	}
}

// A queue that somebody has removed is made again, and nobody takes its end for a
// message: the library hands out an empty one.
func TestRemovedQueue(t *testing.T) {
	topic, group := names()
	ch := closed(t, open(t, bridgeamqp.Config{URI: uri(t), Subscriptions: 3}, newTraces(t)))
	c := join(t, ch, event.Subscription{Group: group, Topics: []string{topic}})
	look, queue := broker(t), topic+"_"+group
	consumers(t, queue, func(n int) bool { return n == 3 })
	for i := range 5 {
		_, err := look.QueueDelete(queue, false, false, false)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			ch, err := broker(t).QueueDeclarePassive(queue, true, false, false, false, nil)
			return err == nil && ch.Consumers == 3
		}, 20*time.Second, 20*time.Millisecond)
		typ := fmt.Sprint("x", i)
		produce(t, ch, topic, typ)
		d := next(t, c)
		require.Equal(t, typ, d.Event.Type())
		ack(t, c, d)
	}
	for l, err := range ch.(event.DeadLetters).DeadLetters(patient(t), topic, group) {
		require.NoError(t, err)
		require.Fail(t, "a dead letter", "%v", l)
	}
}

// Who has a message in hand is told when the broker takes the queue away, as some do from
// a consumer that has been at it for too long.
func TestCancelledConsumer(t *testing.T) {
	topic, group := names()
	ch := closed(t, open(t, bridgeamqp.Config{URI: uri(t)}, newTraces(t)))
	c := join(t, ch, event.Subscription{Group: group, Topics: []string{topic}})
	produce(t, ch, topic, "x")
	ctx, ok := c.Begin(next(t, c).Token)
	require.True(t, ok)
	_, err := broker(t).QueueDelete(topic+"_"+group, false, false, false)
	require.NoError(t, err)
	select {
	case <-ctx.Done():
	case <-patient(t).Done():
		require.Fail(t, "it wasn't told")
	}
	require.ErrorIs(t, context.Cause(ctx), event.ErrLeaseLost)
}

// A message of somebody else comes, whatever headers it has.
func TestForeignMessage(t *testing.T) {
	topic, group := names()
	ch := closed(t, open(t, bridgeamqp.Config{URI: uri(t)}, newTraces(t)))
	c := join(t, ch, event.Subscription{Group: group, Topics: []string{topic}})
	require.NoError(t, broker(t).PublishWithContext(t.Context(), topic, "", false, false, amqp091.Publishing{
		Headers: amqp091.Table{"number": int32(7)}, MessageId: "theirs", Body: []byte("text"),
	}))
	d := next(t, c)
	require.Equal(t, "theirs", d.Event.ID())
	require.Equal(t, "7", d.Event.Extension("number"))
	require.Equal(t, "text", string(d.Event.Data()))
	ack(t, c, d)
	silent(t, c)
}

// An event with as many attributes as it may have comes whole, and so does its dead
// letter, which tells more than a frame holds. Sent as a header it would end the
// connection.
func TestManyAttributes(t *testing.T) {
	topic, group := names()
	ch := closed(t, open(t, bridgeamqp.Config{URI: uri(t)}, newTraces(t)))
	c := join(t, ch, event.Subscription{Group: group, Topics: []string{topic}})
	p, err := ch.Producer(t.Context(), topic)
	require.NoError(t, err)
	e := event.New("/t", "large", []byte("data"))
	for i := range 7 {
		e = e.WithExtension(fmt.Sprint("ext", i), strings.Repeat("<", 8<<10)) // 6 bytes each in JSON
	}
	require.NoError(t, p.Produce(patient(t), e))
	d := next(t, c)
	require.Equal(t, e.Extension("ext6"), d.Event.Extension("ext6"))
	require.Equal(t, "data", string(d.Event.Data()))
	_, ok := c.Begin(d.Token)
	require.True(t, ok)
	dead := event.Settlement{Kind: event.SettleDead, Token: d.Token, Cause: &event.Cause{Code: "handler"}}
	require.NoError(t, c.Settle(patient(t), []event.Settlement{dead}))
	for l, err := range ch.(event.DeadLetters).DeadLetters(patient(t), topic, group) {
		require.NoError(t, err)
		require.Equal(t, e.Extension("ext6"), l.Event.Extension("ext6"))
		return
	}
	require.Fail(t, "no dead letter")
}

// What is in hand for as long as it may be comes again, and its handler is told. A
// private queue keeps what waits in it meanwhile.
func TestMaxHold(t *testing.T) {
	for name, ephemeral := range map[string]bool{"shared": false, "private": true} {
		t.Run(name, func(t *testing.T) {
			topic, group := names()
			ps, err := bridgeamqp.PubSub(bridgeamqp.Config{URI: uri(t), Ordered: true})
			require.NoError(t, err)
			ps.Guarantees.MaxHold = time.Second
			ch := closed(t, openOf(t, ps, newTraces(t)))
			c := join(t, ch, event.Subscription{Group: group, Topics: []string{topic}, Ephemeral: ephemeral})
			produce(t, ch, topic, "a", "b", "c")
			ctx, ok := c.Begin(next(t, c).Token)
			require.True(t, ok)
			<-ctx.Done()
			require.ErrorIs(t, context.Cause(ctx), event.ErrLeaseLost)
			for _, typ := range []string{"a", "b", "c"} {
				d := next(t, c)
				require.Equal(t, typ, d.Event.Type())
				ack(t, c, d)
			}
			silent(t, c)
		})
	}
}

// Events travel encrypted, and not to a broker that nobody vouches for.
func TestEncrypted(t *testing.T) {
	at, trust := encrypted(t)
	topic, group := names()
	ch := closed(t, open(t, bridgeamqp.Config{URI: at, TLS: trust}, newTraces(t)))
	c := join(t, ch, event.Subscription{Group: group, Topics: []string{topic}})
	produce(t, ch, topic, "x")
	ack(t, c, next(t, c))
	stranger, err := bridgeamqp.New(bridgeamqp.Config{URI: at})
	require.NoError(t, err)
	closed(t, stranger)
	_, err = stranger.Producer(t.Context(), topic)
	require.ErrorContains(t, err, "certificate")
	_, err = stranger.Consumer(t.Context(), event.Subscription{Group: group, Topics: []string{topic}})
	require.ErrorContains(t, err, "certificate")
}

// Nothing that was acknowledged comes again after Close, and an orderly end is no error:
// the library forgets an Ack that comes together with its end.
func TestCloseAfterAck(t *testing.T) {
	topic, group := names()
	ch := closed(t, open(t, bridgeamqp.Config{URI: uri(t), Subscriptions: 4}, newTraces(t)))
	for i := range 5 {
		c := join(t, ch, event.Subscription{Group: group, Topics: []string{topic}, OnError: func(err error) { t.Error(err) }})
		now := []string{fmt.Sprint("a", i), fmt.Sprint("b", i), fmt.Sprint("c", i)}
		produce(t, ch, topic, now...)
		for range 3 {
			d := next(t, c)
			require.Contains(t, now, d.Event.Type())
			ack(t, c, d)
		}
		require.NoError(t, c.Close(patient(t)))
		require.Zero(t, waiting(t, topic+"_"+group))
	}
}

// A queue that was made otherwise is refused at start, by an error that says how.
func TestOtherQueue(t *testing.T) {
	topic, group := names()
	x := newTraces(t)
	closed(t, open(t, bridgeamqp.Config{URI: uri(t)}, x))
	plain := closed(t, open(t, bridgeamqp.Config{URI: uri(t)}, x))
	join(t, plain, event.Subscription{Group: group, Topics: []string{topic}})
	for arg, cfg := range map[string]bridgeamqp.Config{
		"x-single-active-consumer": {URI: uri(t), Ordered: true},
		"x-queue-type":             {URI: uri(t), Quorum: true},
	} {
		ch := closed(t, open(t, cfg, x))
		_, err := ch.Consumer(t.Context(), event.Subscription{Group: group, Topics: []string{topic}})
		require.ErrorContains(t, err, arg)
		require.ErrorContains(t, err, group)
	}
}

// Names that the client library would cut are refused.
func TestLongNames(t *testing.T) {
	ch := closed(t, open(t, bridgeamqp.Config{URI: uri(t)}, newTraces(t)))
	topic, group := names()
	_, err := ch.Producer(t.Context(), topic+strings.Repeat("x", 255))
	require.ErrorContains(t, err, "can have 255")
	_, err = ch.Consumer(t.Context(), event.Subscription{Group: group + strings.Repeat("x", 150), Topics: []string{topic}})
	require.ErrorContains(t, err, "can have 255")
}

// Who may not enter learns it from the first call, and no error tells the password.
func TestWrongPassword(t *testing.T) {
	u, err := url.Parse(uri(t))
	require.NoError(t, err)
	u.User = url.UserPassword("guest", "geheim")
	ch, err := bridgeamqp.New(bridgeamqp.Config{URI: u.String()})
	require.NoError(t, err)
	closed(t, ch)
	topic, group := names()
	_, err = ch.Producer(t.Context(), topic)
	require.ErrorIs(t, err, amqp091.ErrCredentials)
	require.NotContains(t, err.Error(), "geheim")
	_, err = ch.Consumer(t.Context(), event.Subscription{Group: group, Topics: []string{topic}})
	require.ErrorIs(t, err, amqp091.ErrCredentials)
	require.NotContains(t, err.Error(), "geheim")
}

// Publishers and subscribers may be used by many, and closed twice.
func TestManyPublish(t *testing.T) {
	topic, group := names()
	ps, err := bridgeamqp.PubSub(bridgeamqp.Config{URI: uri(t)})
	require.NoError(t, err)
	ch := closed(t, openOf(t, ps, newTraces(t)))
	join(t, ch, event.Subscription{Group: group, Topics: []string{topic}}).Close(patient(t)) //nolint:errcheck // the queue is there
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if err := ps.Publisher.Publish(topic, message.NewMessage("a", nil), message.NewMessage("b", nil)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.Equal(t, 200, waiting(t, topic+"_"+group))
}
