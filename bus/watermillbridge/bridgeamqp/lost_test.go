package bridgeamqp_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge/bridgeamqp"
	"github.com/leat-go/leat/event"
)

// names returns a topic and a group that nobody else has.
func names() (topic, group string) {
	id := event.NewID()
	return "orders-" + id, "shop.mailer-" + id
}

// patient is a context for what should take no time.
func patient(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	tb.Cleanup(cancel)
	return ctx
}

// join returns a member of a group, which is closed at the end of the test.
func join(tb testing.TB, ch event.Channel, s event.Subscription) event.Consumer {
	tb.Helper()
	c, err := ch.Consumer(context.Background(), s)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = c.Close(ctx)
	})
	return c
}

// produce publishes events of a type each.
func produce(tb testing.TB, ch event.Channel, topic string, types ...string) {
	tb.Helper()
	p, err := ch.Producer(patient(tb), topic)
	require.NoError(tb, err)
	for _, typ := range types {
		require.NoError(tb, p.Produce(patient(tb), event.New("/t", typ, nil).WithID(typ)))
	}
}

// next returns the next delivery.
func next(tb testing.TB, c event.Consumer) event.Delivery {
	tb.Helper()
	buf := make([]event.Delivery, 1)
	_, err := c.Receive(patient(tb), buf)
	require.NoError(tb, err)
	require.NoError(tb, buf[0].Err)
	return buf[0]
}

func ack(tb testing.TB, c event.Consumer, d event.Delivery) {
	tb.Helper()
	require.NoError(tb, c.Settle(patient(tb), []event.Settlement{event.Ack(d.Token)}))
}

// silent tells that nothing comes.
func silent(tb testing.TB, c event.Consumer) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	buf := make([]event.Delivery, 1)
	n, err := c.Receive(ctx, buf)
	require.ErrorIs(tb, err, context.DeadlineExceeded, "%d: %v", n, buf[0].Event)
}

// closed closes a channel at the end of the test.
func closed(tb testing.TB, ch event.Channel) event.Channel {
	tb.Helper()
	tb.Cleanup(func() { require.NoError(tb, ch.Close(patient(tb))) })
	return ch
}

// Who has a message in hand when the connection is lost is told at once, and another has
// it. The library lets the handler run on, beside the other. When the broker is back so
// is the member.
func TestLostConnection(t *testing.T) {
	at, p := through(t)
	x := newTraces(t)
	topic, group := names()
	near := closed(t, open(t, bridgeamqp.Config{URI: uri(t)}, x))
	far := closed(t, open(t, bridgeamqp.Config{URI: at, Subscriptions: 1}, x))
	errs := make(chan error, 1000)
	lost := join(t, far, event.Subscription{Group: group, Topics: []string{topic}, OnError: func(err error) { errs <- err }})
	produce(t, near, topic, "first")
	d := next(t, lost)
	ctx, ok := lost.Begin(d.Token)
	require.True(t, ok)
	p.part()
	select {
	case <-ctx.Done():
	case <-patient(t).Done():
		require.Fail(t, "it wasn't told")
	}
	require.ErrorIs(t, context.Cause(ctx), event.ErrLeaseLost)
	require.ErrorIs(t, lost.Settle(patient(t), []event.Settlement{event.Ack(d.Token)}), event.ErrLeaseLost)
	other := join(t, near, event.Subscription{Group: group, Topics: []string{topic}})
	d = next(t, other)
	require.Equal(t, "first", d.Event.Type())
	ack(t, other, d)
	require.Error(t, <-errs, "who has the group is told")
	p.unite()
	require.NoError(t, other.Close(patient(t)))
	produce(t, near, topic, "second")
	d = next(t, lost)
	require.Equal(t, "second", d.Event.Type())
	ack(t, lost, d)
	silent(t, lost)
}

// A member whose machine vanishes is noticed within a lease. It notices itself before
// that, so that no message is in two hands.
func TestVanishedMachine(t *testing.T) {
	at, p := through(t)
	x := newTraces(t)
	topic, group := names()
	near := closed(t, open(t, bridgeamqp.Config{URI: uri(t)}, x))
	ps, err := bridgeamqp.PubSub(bridgeamqp.Config{URI: at + "?heartbeat=1", Subscriptions: 1})
	require.NoError(t, err)
	require.Equal(t, 3*time.Second, ps.Guarantees.Lease)
	far := openOf(t, ps, x)
	vanishes := join(t, far, event.Subscription{Group: group, Topics: []string{topic}})
	produce(t, near, topic, "x")
	ctx, ok := vanishes.Begin(next(t, vanishes).Token)
	require.True(t, ok)
	other := join(t, near, event.Subscription{Group: group, Topics: []string{topic}})
	p.freeze(t)
	began := time.Now()
	d := next(t, other)
	require.Less(t, time.Since(began), ps.Guarantees.Lease+time.Second)
	require.Greater(t, time.Since(began), time.Second)
	require.ErrorIs(t, context.Cause(ctx), event.ErrLeaseLost, "it had to know before the other")
	ack(t, other, d)
}

// notes is ids that were seen.
type notes struct {
	mu  sync.Mutex
	ids map[string]int
}

func (n *notes) add(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ids == nil {
		n.ids = make(map[string]int)
	}
	n.ids[id]++
}

func (n *notes) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.ids)
}

// A connection that is lost again and again loses no event, and fails no publish; nothing
// is handed out that nobody published.
func TestLostAgainAndAgain(t *testing.T) {
	at, p := through(t)
	x := newTraces(t)
	topic, group := names()
	ch := closed(t, open(t, bridgeamqp.Config{URI: at, Subscriptions: 4}, x))
	c := join(t, ch, event.Subscription{Group: group, Topics: []string{topic}})
	producer, err := ch.Producer(patient(t), topic)
	require.NoError(t, err)

	var confirmed, handled notes
	calm := make(chan struct{})
	var publishers, members sync.WaitGroup
	for lane := range 4 {
		publishers.Go(func() {
			for i := 0; ; i++ {
				e := event.New("/t", "x", nil).WithID(fmt.Sprint(lane, "-", i))
				if err := producer.Produce(context.Background(), e); err != nil {
					t.Error(err)
				}
				confirmed.add(e.ID())
				select {
				case <-calm:
					return
				default:
				}
			}
		})
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	members.Go(func() { handle(ctx, t, c, &handled) })
	for range 8 {
		// The library reads a field of its connection without a lock when it subscribes,
		// and writes it when the connection is lost: it should have subscribed.
		consumers(t, topic+"_"+group, func(n int) bool { return n == 4 })
		consumers(t, topic+"."+group+".redrive_"+group, func(n int) bool { return n == 4 })
		p.cut()
		consumers(t, topic+"_"+group, func(n int) bool { return n < 4 })
	}
	close(calm)
	publishers.Wait()
	require.Eventually(t, func() bool { return handled.count() == confirmed.count() }, 30*time.Second, 10*time.Millisecond)
	stop()
	members.Wait()
	repeated := 0
	for id, n := range handled.ids {
		require.Contains(t, confirmed.ids, id)
		repeated += n - 1
	}
	t.Logf("%d published and handled, %d more than once", confirmed.count(), repeated)
}

// consumers waits until a queue has as many as it should.
func consumers(tb testing.TB, queue string, enough func(n int) bool) {
	tb.Helper()
	ch := broker(tb)
	require.Eventually(tb, func() bool {
		q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		require.NoError(tb, err)
		return enough(q.Consumers)
	}, 20*time.Second, 5*time.Millisecond, queue)
}

// handle acknowledges what comes until ctx ends.
func handle(ctx context.Context, tb testing.TB, c event.Consumer, handled *notes) {
	tb.Helper()
	buf := make([]event.Delivery, 4)
	for {
		n, err := c.Receive(ctx, buf)
		if err != nil {
			return
		}
		for _, d := range buf[:n] {
			if d.Err != nil {
				tb.Errorf("nobody published that: %v", d.Err)
			}
			if _, ok := c.Begin(d.Token); !ok {
				continue
			}
			handled.add(d.Event.ID())
			err := c.Settle(ctx, []event.Settlement{event.Ack(d.Token)})
			if err != nil && !errors.Is(err, event.ErrLeaseLost) {
				tb.Error(err)
			}
		}
	}
}

// Close ends in time while the broker is away, and nobody dials any more. The library
// waits for the broker, or lets the connection stand that it makes afterwards.
func TestCloseWhileTheBrokerIsAway(t *testing.T) {
	at, p := through(t)
	x := newTraces(t)
	topic, group := names()
	ch := open(t, bridgeamqp.Config{URI: at}, x)
	c := join(t, ch, event.Subscription{Group: group, Topics: []string{topic}})
	produce(t, ch, topic, "x")
	next(t, c)
	p.part()
	began := time.Now()
	require.NoError(t, c.Close(patient(t)))
	require.NoError(t, ch.Close(patient(t)))
	require.Less(t, time.Since(began), 5*time.Second)
	before, _ := p.counts()
	p.unite()
	require.Never(t, func() bool { now, _ := p.counts(); return now > before }, time.Second, 20*time.Millisecond)
}

// A publish waits for a broker that is away, and is confirmed when it is back.
func TestPublishWaits(t *testing.T) {
	at, p := through(t)
	x := newTraces(t)
	topic, group := names()
	ch := closed(t, open(t, bridgeamqp.Config{URI: at}, x))
	c := join(t, ch, event.Subscription{Group: group, Topics: []string{topic}})
	producer, err := ch.Producer(patient(t), topic)
	require.NoError(t, err)
	require.NoError(t, producer.Produce(patient(t), event.New("/t", "before", nil)))
	ack(t, c, next(t, c))
	silent(t, c) // the broker has the acknowledgement
	p.part()
	before, _ := p.counts()
	done := make(chan error, 1)
	go func() { done <- producer.Produce(patient(t), event.New("/t", "meanwhile", nil)) }()
	require.Eventually(t, func() bool { now, _ := p.counts(); return now > before+3 }, 10*time.Second, 10*time.Millisecond)
	p.unite()
	require.NoError(t, <-done)
	require.Equal(t, "meanwhile", next(t, c).Event.Type())
}
