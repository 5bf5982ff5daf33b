package watermillbridge_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

type Job struct{ N int }

// bridged is a channel on a Watermill pub/sub that is the memory channel behind.
func bridged(t *testing.T, alter func(*watermillbridge.PubSub)) *watermillbridge.Channel {
	t.Helper()
	ps := onMemory(memory.New(), 1)
	if alter != nil {
		alter(&ps)
	}
	ch, err := watermillbridge.NewChannel(ps)
	require.NoError(t, err)
	return ch
}

// What is in hand for longer than the broker lets it comes again, with the failures that
// it has had, and the context of a handler that still runs ends.
func TestMaxHoldTakesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := bridged(t, func(ps *watermillbridge.PubSub) { ps.Guarantees.MaxHold = time.Minute })
		b := bus.New(bus.Config{Channel: ch, App: "shop"})
		type run struct {
			at       time.Duration
			failures int
		}
		var runs []run
		began := time.Now()
		bus.Subscribe(b, "g", func(ctx context.Context, _ Job) error {
			in, _ := event.FromContext(ctx)
			runs = append(runs, run{time.Since(began), in.Failures})
			switch len(runs) {
			case 1:
				return event.RetryAfter(time.Hour, errors.New("no"))
			case 2:
				<-ctx.Done()
				return context.Cause(ctx)
			}
			return nil
		})
		require.NoError(t, b.Start(t.Context()))
		began = time.Now()
		require.NoError(t, b.Publish(t.Context(), Job{1}))
		time.Sleep(10 * time.Minute) // virtual
		synctest.Wait()
		require.Len(t, runs, 3)
		for i, least := range []time.Duration{0, time.Minute, 2 * time.Minute} {
			require.GreaterOrEqual(t, runs[i].at, least)
			require.Less(t, runs[i].at, least+5*time.Second)
		}
		require.Equal(t, []int{0, 1, 1}, []int{runs[0].failures, runs[1].failures, runs[2].failures})
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// stuck is a publisher whose broker is away.
type stuck struct {
	message.Publisher

	mu    sync.Mutex
	calls int
	back  chan struct{}
}

func (s *stuck) Publish(topic string, ms ...*message.Message) error {
	s.mu.Lock()
	s.calls++
	s.mu.Unlock()
	<-s.back
	return s.Publisher.Publish(topic, ms...)
}

// A publish ends with its context although publishers know none, says of each event what
// is known, and no more than a few goroutines wait for a broker that is away.
func TestPublishWhileTheBrokerIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *stuck
		ch := bridged(t, func(ps *watermillbridge.PubSub) {
			s = &stuck{Publisher: ps.Publisher, back: make(chan struct{})}
			ps.Publisher = s
		})
		p, err := ch.Producer(t.Context(), "orders")
		require.NoError(t, err)
		for range 100 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := p.Produce(ctx, event.New("/t", "a", nil).WithKey("k"), event.New("/t", "b", nil).WithKey("k"))
			cancel()
			var partly *event.ProduceError
			require.ErrorAs(t, err, &partly)
			require.Len(t, partly.Failed, 2)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.False(t, partly.Failed[1].Maybe, "the first of its key was never answered")
		}
		synctest.Wait()
		require.Equal(t, 64, s.calls)
		close(s.back)
		synctest.Wait()
		require.NoError(t, p.Produce(t.Context(), event.New("/t", "a", nil)))
		require.Equal(t, 65, s.calls, "what nobody waits for any more was not begun")
		require.NoError(t, ch.Close(t.Context()))
	})
}

// failing refuses messages of a type.
type failing struct {
	message.Publisher

	typ string
}

var errRefused = errors.New("refused")

func (f failing) Publish(topic string, ms ...*message.Message) error {
	if ms[0].Metadata[watermillbridge.MetadataType] == f.typ {
		return errRefused
	}
	return f.Publisher.Publish(topic, ms...)
}

// When one of a key is not accepted those behind it are not tried: tried again, they
// would be ahead of it. Other keys go out.
func TestProduceKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := bridged(t, func(ps *watermillbridge.PubSub) { ps.Publisher = failing{ps.Publisher, "bad"} })
		c, err := ch.Consumer(t.Context(), event.Subscription{Group: "shop.g", Topics: []string{"orders"}})
		require.NoError(t, err)
		p, err := ch.Producer(t.Context(), "orders")
		require.NoError(t, err)
		var events []event.Event
		for _, typ := range []string{"good", "bad", "behind", "other"} {
			events = append(events, event.New("/t", typ, nil).WithID(typ).WithKey("k"))
		}
		events[3] = events[3].WithKey("other")
		err = p.Produce(t.Context(), events...)
		var partly *event.ProduceError
		require.ErrorAs(t, err, &partly)
		require.Len(t, partly.Failed, 2)
		require.ErrorIs(t, partly.Failed[0].Err, errRefused)
		require.True(t, partly.Failed[0].Maybe, "Watermill doesn't tell")
		require.Equal(t, "behind", partly.Failed[1].ID)
		require.False(t, partly.Failed[1].Maybe)
		var got []string
		buf := make([]event.Delivery, 1)
		for range 2 {
			_, err := c.Receive(t.Context(), buf)
			require.NoError(t, err)
			got = append(got, buf[0].Event.ID())
			require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Ack(buf[0].Token)}))
		}
		slices.Sort(got)
		require.Equal(t, []string{"good", "other"}, got)
		require.NoError(t, c.Close(t.Context()))
		require.NoError(t, ch.Close(t.Context()))
	})
}

// A PubSub that promises what Watermill can't keep is refused, all mistakes at once.
func TestPubSubMistakes(t *testing.T) {
	_, err := watermillbridge.NewChannel(watermillbridge.PubSub{
		Subscriptions: -1, Unacked: -1,
		Guarantees: event.Guarantees{MaxDelay: 1, GivesBack: true, CountsAttempts: true, Parks: true, Lease: -1},
	})
	for _, wrong := range []string{
		"Publisher is nil", "Subscriber is nil", "Subscriptions is negative", "Unacked is negative", "the name, is empty",
		"MaxDelay", "GivesBack", "CountsAttempts", "Parks", "negative",
	} {
		require.ErrorContains(t, err, wrong)
	}
}

// A subscription that ends is begun anew, and who has the group is told why not.
func TestSubscribesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var subs []*flaky
		ch := bridged(t, func(ps *watermillbridge.PubSub) {
			of := ps.Subscriber
			ps.Subscriber = func(m watermillbridge.Member) (message.Subscriber, error) {
				s, err := of(m)
				subs = append(subs, &flaky{Subscriber: s})
				return subs[len(subs)-1], err
			}
		})
		var told []error
		var mu sync.Mutex
		c, err := ch.Consumer(t.Context(), event.Subscription{Group: "shop.g", Topics: []string{"orders"}, OnError: func(err error) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, err)
		}})
		require.NoError(t, err)
		p, err := ch.Producer(t.Context(), "orders")
		require.NoError(t, err)
		subs[0].cut(3)
		synctest.Wait() // until the old one has ended: the event could still come by it
		require.NoError(t, p.Produce(t.Context(), event.New("/t", "late", nil)))
		buf := make([]event.Delivery, 1)
		_, err = c.Receive(t.Context(), buf)
		require.NoError(t, err)
		require.Equal(t, "late", buf[0].Event.Type())
		mu.Lock()
		require.NotEmpty(t, told)
		require.ErrorIs(t, told[0], errRefused)
		require.ErrorContains(t, told[0], `group "shop.g": subscribe to "orders`)
		mu.Unlock()
		require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Ack(buf[0].Token)}))
		require.NoError(t, c.Close(t.Context()))
		require.NoError(t, ch.Close(t.Context()))
	})
}

// flaky is a subscriber whose subscriptions can be cut.
type flaky struct {
	message.Subscriber

	mu      sync.Mutex
	refuses int
	cuts    []context.CancelFunc
}

func (f *flaky) cut(refuses int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuses = refuses
	for _, cut := range f.cuts {
		cut()
	}
}

func (f *flaky) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuses > 0 {
		f.refuses--
		return nil, errRefused
	}
	ctx, cut := context.WithCancel(ctx)
	f.cuts = append(f.cuts, cut)
	return f.Subscriber.Subscribe(ctx, topic)
}

// clinging is a queue whose subscriptions end only when what they handed out is answered,
// as those of watermill-amqp do.
type clinging chan *message.Message

func (q clinging) Publish(_ string, ms ...*message.Message) error {
	for _, m := range ms {
		q <- m.Copy()
	}
	return nil
}

func (q clinging) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		for {
			select {
			case m := <-q:
				m.SetContext(ctx)
				out <- m
				select {
				case <-m.Acked():
				case <-m.Nacked():
					q <- m.Copy()
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func (q clinging) Close() error { return nil }

// What is lost is given back too: else a subscription that waits for an answer would
// never end, and no other follow it.
func TestLostIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := make(clinging, 10)
		ch := bridged(t, func(ps *watermillbridge.PubSub) {
			ps.Publisher = q
			ps.Subscriber = func(m watermillbridge.Member) (message.Subscriber, error) {
				if m.Group == "shop.g" {
					return q, nil
				}
				return make(clinging), nil
			}
			ps.Guarantees.MaxHold = time.Minute
		})
		c, err := ch.Consumer(t.Context(), event.Subscription{Group: "shop.g", Topics: []string{"orders"}})
		require.NoError(t, err)
		p, err := ch.Producer(t.Context(), "orders")
		require.NoError(t, err)
		require.NoError(t, p.Produce(t.Context(), event.New("/t", "held", nil)))
		buf := make([]event.Delivery, 1)
		for range 3 {
			_, err = c.Receive(t.Context(), buf)
			require.NoError(t, err)
			require.Equal(t, "held", buf[0].Event.Type())
			ctx, ok := c.Begin(buf[0].Token)
			require.True(t, ok)
			<-ctx.Done()
			require.ErrorIs(t, context.Cause(ctx), event.ErrLeaseLost)
		}
		require.NoError(t, c.Close(t.Context()))
		require.NoError(t, ch.Close(t.Context()))
	})
}

// The error of a publish names where to.
func TestProduceErrorNamesTheTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := bridged(t, func(ps *watermillbridge.PubSub) { ps.Publisher = failing{ps.Publisher, "bad"} })
		p, err := ch.Producer(t.Context(), "orders")
		require.NoError(t, err)
		err = p.Produce(t.Context(), event.New("/t", "bad", nil))
		require.ErrorIs(t, err, errRefused)
		require.ErrorContains(t, err, `watermill: publish to "orders"`)
		require.NoError(t, ch.Close(t.Context()))
	})
}
