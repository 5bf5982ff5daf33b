package bridgenats_test

import (
	"context"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

// cables are the connections of a client.
type cables struct {
	mu    sync.Mutex
	down  bool
	dials int
	all   []net.Conn
}

// Dial implements [nats.CustomDialer].
func (c *cables) Dial(network, address string) (net.Conn, error) {
	c.mu.Lock()
	down := c.down
	c.dials++
	c.mu.Unlock()
	if down {
		return nil, net.ErrClosed
	}
	conn, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, conn)
	return conn, nil
}

// cut breaks all connections; down: and lets none be made.
func (c *cables) cut(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = down
	for _, conn := range c.all {
		_ = conn.Close()
	}
	c.all = nil
}

// mend lets connections be made again.
func (c *cables) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = false
}

func (c *cables) dialled() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dials
}

// throughCables returns a channel whose connection can be cut.
func throughCables(t *testing.T, ordered bool) (*watermillbridge.Channel, *cables) {
	t.Helper()
	cfg, net := config(t), new(cables)
	cfg.Ordered, cfg.MaxHold = ordered, 2*time.Second
	cfg.Options = []nats.Option{nats.SetCustomDialer(net), nats.ReconnectWait(10 * time.Millisecond)}
	return openWith(t, cfg), net
}

// Connections that break lose nothing.
func TestConnectionsBreak(t *testing.T) {
	ch, net := throughCables(t, false)
	topic := name(t, "orders")
	c := join(t, ch, "g", topic)
	var broken sync.WaitGroup
	done := make(chan struct{})
	broken.Go(func() {
		for {
			select {
			case <-time.After(100 * time.Millisecond):
				net.cut(false)
			case <-done:
				return
			}
		}
	})
	other := open(t)
	p, err := other.Producer(t.Context(), topic)
	require.NoError(t, err)
	for i := range 500 {
		require.NoError(t, p.Produce(t.Context(), event.New("/t", "e", nil).WithID(strconv.Itoa(i))))
	}
	collect(t, c, 500)
	close(done)
	broken.Wait()
	shut(t, ch, c)
	shut(t, other)
}

// A server that is away for long is come back to: the client would give up after 60
// attempts.
func TestReconnectsForEver(t *testing.T) {
	ch, net := throughCables(t, false)
	topic := name(t, "orders")
	c := join(t, ch, "g", topic)
	net.cut(true)
	require.Eventually(t, func() bool { return net.dialled() > 100 }, time.Minute, 10*time.Millisecond)
	net.mend()
	other := open(t)
	produce(t, other, topic, 10)
	collect(t, c, 10)
	shut(t, ch, c)
	shut(t, other)
}

// What the server finds duplicates by doesn't go with a message that is redriven: it
// would be dropped the second time.
func TestRedrivenTwice(t *testing.T) {
	nc, _ := client(t)
	ch, topic := open(t), name(t, "orders")
	c := join(t, ch, "g", topic)
	m, err := watermillbridge.Encode(event.New("/t", "e", nil).WithID("1"))
	require.NoError(t, err)
	foreign := &nats.Msg{Subject: topic, Header: nats.Header{nats.MsgIdHdr: {"1"}}}
	for k, v := range m.Metadata {
		foreign.Header.Set(k, v)
	}
	require.NoError(t, nc.PublishMsg(foreign))
	buf := make([]event.Delivery, 1)
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := c.Receive(ctx, buf)
		cancel()
		require.NoError(t, err)
		require.Equal(t, "1", buf[0].Event.ID())
		require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Dead(buf[0].Token, event.Cause{Code: "x"})}))
		for l, err := range ch.DeadLetters(t.Context(), topic, "g") {
			require.NoError(t, err)
			require.NoError(t, ch.Redrive(t.Context(), l))
		}
	}
	shut(t, ch, c)
}

// A server that is away keeps nobody from closing.
func TestCloseWithoutServer(t *testing.T) {
	ch, net := throughCables(t, false)
	topic := name(t, "orders")
	c := join(t, ch, "g", topic)
	produce(t, ch, topic, 20)
	_, err := c.Receive(t.Context(), make([]event.Delivery, 1))
	require.NoError(t, err)
	net.cut(true)
	began := time.Now()
	_ = c.Close(t.Context())
	_ = ch.Close(t.Context())
	require.Less(t, time.Since(began), 20*time.Second)
}

// A group or a stream that somebody removes is made again, and the group begins at the
// earliest event.
func TestGroupIsRemoved(t *testing.T) {
	_, js := client(t)
	ch, topic := open(t), name(t, "orders")
	c := join(t, ch, "g", topic)
	produce(t, ch, topic, 10)
	collect(t, c, 10)
	require.NoError(t, js.DeleteConsumer(t.Context(), topic, "g"))
	collect(t, c, 10)
	require.NoError(t, js.DeleteStream(t.Context(), topic))
	require.Eventually(t, func() bool { _, err := js.Stream(t.Context(), topic); return err == nil }, time.Minute, 10*time.Millisecond)
	produce(t, ch, topic, 10)
	collect(t, c, 10)
	shut(t, ch, c)
}

// Each subscription asks for a message when it has none, and Close gives back what is in
// hand, at once.
func TestHandsAreSmallAndGivenBack(t *testing.T) {
	_, js := client(t)
	ch, topic := open(t), name(t, "orders")
	produce(t, ch, topic, 50)
	c := join(t, ch, "g", topic)
	consumer, err := js.Consumer(t.Context(), topic, "g")
	require.NoError(t, err)
	inHand := func() int {
		info, err := consumer.Info(t.Context())
		require.NoError(t, err)
		return info.NumAckPending
	}
	require.Eventually(t, func() bool { return inHand() == 8 }, 10*time.Second, 10*time.Millisecond)
	require.Never(t, func() bool { return inHand() > 8 }, 500*time.Millisecond, 50*time.Millisecond)
	require.NoError(t, c.Close(t.Context()))
	began := time.Now()
	c = join(t, ch, "g", topic)
	collect(t, c, 50)
	require.Less(t, time.Since(began), hold, "or it waited until the server noticed")
	shut(t, ch, c)
}

// Streams that a group alone reads keep nothing that it has settled.
func TestOwnStreamsAreEmptied(t *testing.T) {
	_, js := client(t)
	ch, topic := open(t), name(t, "orders")
	c := join(t, ch, "g", topic)
	length := func(stream string) int {
		s, err := js.Stream(t.Context(), stream)
		require.NoError(t, err)
		return int(s.CachedInfo().State.Msgs)
	}
	require.NoError(t, ch.ProduceTo(t.Context(), "g", topic, event.MarkNone, event.New("/t", "e", nil).WithID("0")))
	collect(t, c, 1)
	require.Eventually(t, func() bool { return length(topic+"_g_redrive") == 0 }, 10*time.Second, 10*time.Millisecond)
	produce(t, ch, topic, 3)
	buf := make([]event.Delivery, 1)
	for range 3 {
		_, err := c.Receive(t.Context(), buf)
		require.NoError(t, err)
		require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Dead(buf[0].Token, event.Cause{Code: "x"})}))
	}
	for range 3 {
		for _, err := range ch.DeadLetters(t.Context(), topic, "g") {
			require.NoError(t, err)
		}
	}
	require.Equal(t, 3, length(topic+"_g_dead"), "each look puts them back")
	for l, err := range ch.DeadLetters(t.Context(), topic, "g") {
		require.NoError(t, err)
		require.NoError(t, ch.Discard(t.Context(), l))
	}
	require.Eventually(t, func() bool { return length(topic+"_g_dead") == 0 }, 10*time.Second, 10*time.Millisecond)
	shut(t, ch, c)
}

// Of a private subscription nothing is left.
func TestPrivateLeavesNothing(t *testing.T) {
	_, js := client(t)
	ch, topic := open(t), name(t, "orders")
	c, err := ch.Consumer(t.Context(), event.Subscription{Group: "g", Topics: []string{topic}, Ephemeral: true})
	require.NoError(t, err)
	stream, err := js.Stream(t.Context(), topic)
	require.NoError(t, err)
	require.Equal(t, 1, stream.CachedInfo().State.Consumers, "for all subscriptions")
	shut(t, ch, c)
	info, err := stream.Info(t.Context())
	require.NoError(t, err)
	require.Zero(t, info.State.Consumers)
}

// A stream that would lose events is refused, and so is a group that could.
func TestRefused(t *testing.T) {
	_, js := client(t)
	ch := open(t)
	for what, cfg := range map[string]jetstream.StreamConfig{
		"subjects":  {Subjects: []string{name(t, "other")}},
		"retention": {Retention: jetstream.WorkQueuePolicy},
		"no_ack":    {NoAck: true},
	} {
		cfg.Name = name(t, "orders")
		if cfg.Subjects == nil {
			cfg.Subjects = []string{cfg.Name}
		}
		_, err := js.CreateStream(t.Context(), cfg)
		require.NoError(t, err)
		_, err = ch.Producer(t.Context(), cfg.Name)
		require.ErrorContains(t, err, what)
	}
	topic := name(t, "orders")
	_, err := ch.Producer(t.Context(), topic)
	require.NoError(t, err)
	_, err = js.CreateConsumer(t.Context(), topic, jetstream.ConsumerConfig{Durable: "g", AckPolicy: jetstream.AckNonePolicy})
	require.NoError(t, err)
	_, err = ch.Consumer(t.Context(), event.Subscription{Group: "g", Topics: []string{topic}})
	require.ErrorContains(t, err, "ack policy")
	_, err = ch.Producer(t.Context(), "no subject")
	require.ErrorContains(t, err, "no subject")
	shut(t, ch)
}

// A group that exists gets what is needed, and goes on where it is.
func TestGroupIsAdopted(t *testing.T) {
	_, js := client(t)
	ch, topic := open(t), name(t, "orders")
	produce(t, ch, topic, 3)
	_, err := js.CreateConsumer(t.Context(), topic, jetstream.ConsumerConfig{
		Durable: "g", AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverLastPolicy, AckWait: time.Hour, MaxDeliver: 3,
		BackOff: []time.Duration{time.Second, time.Minute},
	})
	require.NoError(t, err)
	c := join(t, ch, "g", topic)
	buf := make([]event.Delivery, 1)
	_, err = c.Receive(t.Context(), buf)
	require.NoError(t, err)
	require.Equal(t, "2", buf[0].Event.ID())
	consumer, err := js.Consumer(t.Context(), topic, "g")
	require.NoError(t, err)
	cfg := consumer.CachedInfo().Config
	require.Equal(t, hold+hold/4, cfg.AckWait)
	require.Equal(t, -1, cfg.MaxDeliver)
	require.Empty(t, cfg.BackOff)
	shut(t, ch, c)
}

// With Ordered the order is the stream's, also when members crash and others go on.
func TestOrderedAmongMembers(t *testing.T) {
	ch, _ := throughCables(t, true)
	topic := name(t, "orders")
	members := make(map[event.Consumer]bool)
	for range 3 {
		members[join(t, ch, "g", topic)] = true
	}
	produce(t, ch, topic, 30)
	type got struct {
		d event.Delivery
		c event.Consumer
	}
	all := make(chan got)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	receive := func(c event.Consumer) {
		buf := make([]event.Delivery, 1)
		for {
			if _, err := c.Receive(ctx, buf); err != nil {
				return
			}
			all <- got{buf[0], c}
		}
	}
	for c := range members {
		go receive(c)
	}
	crashes := 0
	for i := 0; i < 30; {
		var g got
		select {
		case g = <-all:
		case <-ctx.Done():
			require.Fail(t, "no more comes", "after %d", i)
		}
		require.Equal(t, strconv.Itoa(i), g.d.Event.ID())
		_, ok := g.c.Begin(g.d.Token)
		require.True(t, ok)
		if i%10 == 5 && crashes < i/10+1 {
			crashes++
			watermillbridge.Crash(g.c)
			delete(members, g.c)
			c := join(t, ch, "g", topic)
			members[c] = true
			go receive(c)
			continue // it comes again before its successor
		}
		require.NoError(t, g.c.Settle(t.Context(), []event.Settlement{event.Ack(g.d.Token)}))
		i++
	}
	require.Equal(t, 3, crashes)
	cancel()
	for c := range members {
		require.NoError(t, c.Close(t.Context()))
	}
	shut(t, ch)
}
