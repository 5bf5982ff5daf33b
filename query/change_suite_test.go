package query_test

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/kafkatest"
	"github.com/leat-go/leat/internal/killtest"
	"github.com/leat-go/leat/query"
)

// prefixed is a catalog that gives types names of their own, so that tests don't meet on a
// broker.
type prefixed string

func (p prefixed) Message(t reflect.Type) (event.Message, bool) {
	return event.Message{Type: string(p) + strings.ToLower(t.Name())}, true
}
func (prefixed) MessageByType(string) (event.Message, bool) { return event.Message{}, false }
func (prefixed) Check(event.Event) error                    { return nil }
func (prefixed) Upcast(e event.Event) (event.Event, error)  { return e, nil }

// TestChangesInMemory runs the tests of changes that come over a channel in memory.
func TestChangesInMemory(t *testing.T) {
	ch := memory.New(memory.Encode())
	testChanges(t, func() event.Channel { return keptOpen{ch} }, prefixed("c-"))
	require.NoError(t, ch.Close(t.Context()))
}

// TestChangesOnKafka runs them on a real broker.
func TestChangesOnKafka(t *testing.T) {
	brokers := kafkatest.Brokers(t)
	prefix := "q-" + strings.ToLower(event.NewID()) + "-"
	killtest.RemoveAtEnd(t, brokers, prefix)
	testChanges(t, func() event.Channel {
		return kafka.New(kafka.Config{Brokers: brokers, SessionTimeout: 6 * time.Second})
	}, prefixed(prefix))
}

// keptOpen is a channel of several Buses, none of which closes it.
type keptOpen struct{ *memory.Channel }

func (keptOpen) Close(context.Context) error { return nil }

// testChanges is a day of three processes: one answers, one writes, and one watches and caches.
func testChanges(t *testing.T, open func() event.Channel, names prefixed) {
	t.Helper()
	s := newDesk()
	process := func(app string, setUp func(b *bus.Bus)) *bus.Bus {
		b := bus.New(bus.Config{App: app, Channel: open(), Catalog: names})
		setUp(b)
		require.NoError(t, b.Start(t.Context()))
		t.Cleanup(func() { require.NoError(t, b.Shutdown(context.WithoutCancel(t.Context()))) })
		return b
	}
	process("answers", func(b *bus.Bus) { query.Handle(b, s.answer) })
	writes := process("writes", func(b *bus.Bus) {
		bus.Subscribe(b, "prices", func(ctx context.Context, r reprice) error {
			s.set(r.Item, r.Cents)
			return query.Changed(ctx, b, priceOf{r.Item})
		})
	})
	reads := process("reads", func(b *bus.Bus) {
		query.ChangedBy(b, func(e priceSet) []priceOf { return []priceOf{{e.Item}} })
	})

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	watched := make(chan int)
	end := make(chan error, 1)
	go func() {
		for p, err := range query.Watch[price](ctx, reads, priceOf{"tea"}) {
			if err != nil {
				end <- err
				continue
			}
			watched <- p.Cents
		}
	}()
	next := func() int {
		t.Helper()
		select {
		case n := <-watched:
			return n
		case err := <-end:
			require.NoError(t, err)
		}
		return -1
	}
	require.Zero(t, next())
	ask := query.Chain(query.Asker[priceOf, price](reads), query.Cache[priceOf, price](reads, query.CacheConfig{TTL: time.Hour}))
	reading := func() int {
		t.Helper()
		p, err := ask(ctx, priceOf{"tea"})
		require.NoError(t, err)
		return p.Cents
	}
	require.Zero(t, reading())

	s.set("tea", 1)
	require.Zero(t, reading(), "it is kept")
	require.NoError(t, query.Changed(ctx, writes, priceOf{"tea"}))
	require.Equal(t, 1, next())
	require.Eventually(t, func() bool { return reading() == 1 }, time.Minute, time.Millisecond)
	require.NoError(t, writes.Publish(ctx, reprice{"tea", 2}))
	require.Equal(t, 2, next())
	require.Eventually(t, func() bool { return reading() == 2 }, time.Minute, time.Millisecond)
	s.set("tea", 3)
	require.NoError(t, writes.Publish(ctx, priceSet{"tea"}))
	require.Equal(t, 3, next())
	require.Eventually(t, func() bool { return reading() == 3 }, time.Minute, time.Millisecond)
	n := s.asks("tea")
	require.Equal(t, 3, reading())
	require.Equal(t, n, s.asks("tea"))

	require.NoError(t, reads.Shutdown(context.WithoutCancel(ctx)))
	require.ErrorIs(t, <-end, event.ErrClosed)
}
