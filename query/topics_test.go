package query_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/query"
)

// A query goes to the topic that its options say, and those who answer are looked for there.
func TestTopicOfAQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New(memory.Encode())
		w := &world{t: t, open: func() event.Channel { return shared{ch} }, catalog: "q-"}
		server, client := w.bus("server"), w.bus("client")
		query.Handle(server, func(_ context.Context, q getOrder) (order, error) {
			time.Sleep(10 * time.Second) // virtual
			return order{ID: q.ID}, nil
		}, bus.Topic("reads"))
		w.start(server, client)
		got, err := query.Ask[order](t.Context(), client, getOrder{"1"}, bus.Topic("reads"))
		require.NoError(t, err)
		require.Equal(t, "1", got.ID)
		n := 0
		for r, err := range query.AskAll[order](t.Context(), client, getOrder{"2"}, bus.Topic("reads")) {
			require.NoError(t, err)
			require.Equal(t, "2", r.Value.ID)
			n++
		}
		require.Equal(t, 1, n)
		_, err = query.Ask[order](t.Context(), client, getOrder{"1"}, bus.Topic("elsewhere"))
		require.ErrorIs(t, err, query.ErrNoHandler)
	})
}

type (
	known   struct{}
	unknown struct{}
)

func (known) EventTopic() string   { return "reads" }
func (unknown) EventTopic() string { return "reads" }

// Of two types on one topic the one has repliers, and the other hasn't: neither is taken for
// the other.
func TestTypesOfATopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New(memory.Encode())
		server := bus.New(bus.Config{App: "server", Channel: shared{ch}})
		query.Handle(server, func(context.Context, known) (int, error) {
			time.Sleep(20 * time.Second) // virtual
			return 1, nil
		})
		client := bus.New(bus.Config{App: "client", Channel: shared{ch}})
		(&world{t: t}).start(server, client)
		began := time.Now()
		answered := make(chan error, 20)
		ask := func() {
			_, err := query.Ask[int](t.Context(), client, known{})
			answered <- err
		}
		go ask()
		synctest.Wait()
		_, err := query.Ask[int](t.Context(), client, unknown{})
		require.ErrorIs(t, err, query.ErrNoHandler)
		require.Zero(t, time.Since(began), "nobody has ever handled it")

		member, err := ch.Consumer(t.Context(), event.Subscription{Group: "late.unknown", Topics: []string{"reads"}})
		require.NoError(t, err)
		require.NoError(t, member.Close(t.Context()))
		go func() {
			_, err := query.Ask[int](t.Context(), client, unknown{})
			answered <- err
		}()
		synctest.Wait()
		for range 18 {
			go ask()
		}
		require.ErrorIs(t, <-answered, query.ErrNoHandler)
		require.Less(t, time.Since(began), 5*time.Second)
		for range 19 {
			require.NoError(t, <-answered, "those who handle it are there")
		}
	})
}

// slowCensus is a channel that takes long to say who is there.
type slowCensus struct {
	shared
	takes time.Duration
}

func (c slowCensus) Groups(ctx context.Context, topic string) ([]event.GroupInfo, error) {
	select {
	case <-time.After(c.takes):
	case <-ctx.Done():
	}
	return c.shared.Groups(ctx, topic)
}

// The time that it takes to look for those who answer is part of the time there is.
func TestTimeWithoutDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := shared{memory.New(memory.Encode())}
		server := bus.New(bus.Config{App: "server", Channel: ch})
		query.Handle(server, func(ctx context.Context, _ getOrder) (order, error) {
			<-ctx.Done()
			return order{}, ctx.Err()
		})
		client := bus.New(bus.Config{App: "client", Channel: slowCensus{ch, 20 * time.Second}})
		(&world{t: t}).start(server, client)
		began := time.Now()
		_, err := query.Ask[order](context.WithoutCancel(t.Context()), client, getOrder{})
		require.ErrorIs(t, err, query.ErrNoAnswer)
		require.Equal(t, 30*time.Second, time.Since(began))
	})
}
