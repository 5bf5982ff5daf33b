package query_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/query"
)

var errUnknown = event.NewError("unknown_order", "there is no such order")

// Whoever asks gets the answer to its own query, with what the query inherits.
func testAnswers(w *world) {
	server, client := w.bus("server"), w.bus("client")
	query.Handle(server, func(ctx context.Context, q getOrder) (order, error) {
		origin, _ := event.OriginFrom(ctx)
		return order{ID: q.ID + origin.Tenant, Cents: len(q.ID)}, nil
	})
	w.start(server, client)
	ctx := event.WithOrigin(w.within(time.Minute), event.Origin{Tenant: "/acme"})
	for _, id := range []string{"", "1", "ünïcode"} {
		got, err := query.Ask[order](ctx, client, getOrder{ID: id})
		require.NoError(w.t, err)
		require.Equal(w.t, order{ID: id + "/acme", Cents: len(id)}, got)
		pointed, err := query.Ask[*order](ctx, client, &getOrder{ID: id})
		require.NoError(w.t, err)
		require.Equal(w.t, got, *pointed)
	}
}

// An error that is made to travel keeps code, message and details; of another only a code is told; a handler
// that panics, or can't read, answers too. Nothing is tried again, nothing becomes a dead letter.
func testErrors(w *world) {
	server, client := w.bus("server"), w.bus("client")
	var calls atomic.Int64
	query.Handle(server, func(ctx context.Context, q getOrder) (order, error) {
		calls.Add(1)
		switch q.ID {
		case "wrapped":
			return order{}, errors.Join(errors.New("secret"), errUnknown.WithDetails([]int{1}))
		case "permanent":
			return order{}, event.Permanent(errors.New("secret"))
		case "panic":
			panic("secret")
		case "slow":
			<-ctx.Done()
			return order{}, ctx.Err()
		}
		return order{}, errors.New("secret")
	}, bus.Timeout(time.Second))
	w.start(server, client)
	for id, want := range map[string]*event.Error{
		"wrapped": errUnknown.WithDetails([]int{1}), "permanent": query.ErrFailed, "panic": query.ErrFailed,
		"plain": query.ErrFailed, "slow": query.ErrTimedOut,
	} {
		_, err := query.Ask[order](w.within(time.Minute), client, getOrder{ID: id})
		got, ok := errors.AsType[*event.Error](err)
		require.True(w.t, ok, "%s: %v", id, err)
		require.Equal(w.t, want, got, id)
		require.NotContains(w.t, err.Error(), "secret")
	}
	type unreadable struct{ ID []int }
	_, topic, err := client.Style().Message(typeOf[getOrder]())
	require.NoError(w.t, err)
	_, err = query.Ask[order](w.within(time.Minute), client, unreadable{ID: []int{1}}, bus.Topic(topic))
	require.ErrorIs(w.t, err, query.ErrNoHandler, "another type has nobody")
	require.Eventually(w.t, func() bool {
		lags, err := server.Lag(w.t.Context())
		return err == nil && len(lags) == 1 && lags[0].Lag.Unsettled() == 0
	}, 2*time.Minute, 10*time.Millisecond)
	require.EqualValues(w.t, 5, calls.Load(), "one for each")
	for l, err := range server.DeadLetters(w.t.Context(), topic, topic) {
		require.NoError(w.t, err)
		assert.Fail(w.t, "a dead letter", l.Cause.Text)
	}
}

// A query whose handler says later comes again, and is answered then.
func testPostponed(w *world) {
	server, client := w.bus("server"), w.bus("client")
	var calls atomic.Int64
	query.Handle(server, func(context.Context, getOrder) (order, error) {
		if calls.Add(1) < 3 {
			return order{}, event.Postpone(50*time.Millisecond, errors.New("not yet"))
		}
		return order{ID: "now"}, nil
	})
	w.start(server, client)
	o, err := query.Ask[order](w.within(time.Minute), client, getOrder{})
	require.NoError(w.t, err)
	require.Equal(w.t, "now", o.ID)
	require.EqualValues(w.t, 3, calls.Load())
}

// The deadline of who asks is that of the handler's context, which ends with it. What is answered late is dropped
// and counted.
func testDeadline(w *world) {
	server, client := w.bus("server"), w.bus("client")
	ended := make(chan error, 1)
	var by time.Time
	query.Handle(server, func(ctx context.Context, q getOrder) (order, error) {
		if q.ID == "warm" {
			return order{}, nil
		}
		by, _ = ctx.Deadline()
		<-ctx.Done()
		ended <- ctx.Err()
		return order{}, nil
	})
	w.start(server, client)
	_, err := query.Ask[order](w.within(time.Minute), client, getOrder{ID: "warm"})
	require.NoError(w.t, err)
	ctx := w.within(time.Second)
	_, err = query.Ask[order](ctx, client, getOrder{})
	require.ErrorIs(w.t, err, query.ErrNoAnswer)
	require.ErrorIs(w.t, err, context.DeadlineExceeded)
	require.ErrorIs(w.t, <-ended, context.DeadlineExceeded)
	want, _ := ctx.Deadline()
	require.WithinDuration(w.t, want, by, 0)

	cancelled, cancel := context.WithCancel(w.t.Context())
	cancel()
	_, err = query.Ask[order](cancelled, client, getOrder{ID: "warm"})
	require.ErrorIs(w.t, err, context.Canceled)
}

// A query that comes when nobody waits any more isn't handled.
func testExpired(w *world) {
	server, client := w.bus("server"), w.bus("client")
	var handled sync.Map
	query.Handle(server, func(_ context.Context, q getOrder) (order, error) {
		handled.Store(q.ID, true)
		return order{}, nil
	})
	w.start(server, client)
	typ, _, err := client.Style().Message(typeOf[getOrder]())
	require.NoError(w.t, err)
	_, err = query.Ask[order](w.within(time.Minute), client, getOrder{ID: "before"})
	require.NoError(w.t, err)
	require.NoError(w.t, server.Pause(typ))
	_, err = query.Ask[order](w.within(time.Second), client, getOrder{ID: "late"})
	require.ErrorIs(w.t, err, query.ErrNoAnswer)
	require.NoError(w.t, server.Resume(typ))
	_, err = query.Ask[order](w.within(time.Minute), client, getOrder{ID: "after"})
	require.NoError(w.t, err)
	require.Eventually(w.t, func() bool { return query.StatsOf(server).Expired == 1 }, time.Minute, time.Millisecond)
	_, late := handled.Load("late")
	require.False(w.t, late)
}

// Where nobody has ever handled the type, or nobody is there now, whoever asks hears it at once.
func testNobody(w *world) {
	server, client := w.bus("server"), w.bus("client")
	query.Handle(server, func(_ context.Context, q getOrder) (order, error) {
		return order(struct {
			ID    string
			Cents int
		}{ID: q.ID}), nil
	})
	w.start(client)
	_, err := query.Ask[order](w.within(time.Hour), client, getOrder{})
	require.ErrorIs(w.t, err, query.ErrNoHandler)
	for _, err := range query.AskAll[order](w.within(time.Hour), client, getOrder{}) {
		require.ErrorIs(w.t, err, query.ErrNoHandler)
	}
	require.NoError(w.t, server.Start(w.t.Context()))
	o, err := query.Ask[order](w.within(time.Minute), client, getOrder{ID: "1"})
	require.NoError(w.t, err)
	require.Equal(w.t, "1", o.ID)
	require.NoError(w.t, server.Shutdown(w.t.Context()))
}

// When the last one who could answer goes while somebody waits, that is told before the deadline.
func testGone(w *world) {
	server, client := w.bus("server"), w.bus("client")
	asked := make(chan struct{}, 1)
	query.Handle(server, func(ctx context.Context, q getOrder) (order, error) {
		if q.ID == "warm" {
			return order{}, nil
		}
		asked <- struct{}{}
		<-ctx.Done() // until the shutdown
		return order{}, ctx.Err()
	})
	w.start(client)
	require.NoError(w.t, server.Start(w.t.Context()))
	_, err := query.Ask[order](w.within(time.Minute), client, getOrder{ID: "warm"})
	require.NoError(w.t, err)
	heard := make(chan error, 1)
	ctx := w.within(time.Hour)
	go func() {
		_, err := query.Ask[order](ctx, client, getOrder{})
		heard <- err
	}()
	<-asked
	now, cancel := context.WithCancel(w.t.Context())
	cancel()
	_ = server.Shutdown(now) // it doesn't wait for the handler
	require.ErrorIs(w.t, <-heard, query.ErrNoHandler)
	require.NoError(w.t, ctx.Err())
}

// Thousands of queries in flight share one inbox.
func testInFlight(w *world) {
	server, client := w.bus("server"), w.bus("client")
	query.Handle(server, func(_ context.Context, q getOrder) (order, error) { return order{ID: q.ID}, nil }, bus.Workers(4))
	w.start(server, client)
	ctx := w.within(5 * time.Minute)
	_, err := query.Ask[order](ctx, client, getOrder{})
	require.NoError(w.t, err)
	typ, _, err := client.Style().Message(typeOf[getOrder]())
	require.NoError(w.t, err)
	require.NoError(w.t, server.Pause(typ))
	wrong := make(chan error, w.many)
	var all, sent sync.WaitGroup
	for n := range w.many {
		sent.Add(1)
		all.Go(func() {
			sent.Done()
			o, err := query.Ask[order](ctx, client, getOrder{ID: strconv.Itoa(n)})
			if err == nil && o.ID != strconv.Itoa(n) {
				err = errors.New("the answer to another")
			}
			if err != nil {
				wrong <- err
			}
		})
	}
	sent.Wait()
	require.NoError(w.t, server.Resume(typ))
	all.Wait()
	close(wrong)
	for err := range wrong {
		require.NoError(w.t, err)
	}
	require.Zero(w.t, query.StatsOf(client).Dropped)
}

// A query that is asked under a handler's context goes out at once, not when the handler has succeeded.
func testInside(w *world) {
	server, client := w.bus("server"), w.bus("client")
	query.Handle(server, func(_ context.Context, q getOrder) (order, error) { return order{ID: q.ID}, nil })
	type getShelf struct{ ID string }
	query.Handle(client, func(ctx context.Context, q getShelf) (order, error) {
		return query.Ask[order](ctx, client, getOrder(q))
	})
	type getRack struct{ ID string }
	query.Handle(client, func(ctx context.Context, q getRack) (o order, err error) {
		for r, failed := range query.AskAll[order](ctx, client, getOrder(q)) {
			o, err = r.Value, failed
		}
		return o, err
	})
	third := w.bus("third")
	w.start(server, client, third)
	o, err := query.Ask[order](w.within(time.Minute), third, getShelf{ID: "7"})
	require.NoError(w.t, err)
	require.Equal(w.t, "7", o.ID)
	o, err = query.Ask[order](w.within(time.Minute), third, getRack{ID: "8"})
	require.NoError(w.t, err)
	require.Equal(w.t, "8", o.ID)
}

// Who still waits when its Bus is shut down hears that.
func testShutdown(w *world) {
	server, client := w.bus("server"), w.bus("client")
	asked := make(chan struct{}, 1)
	query.Handle(server, func(ctx context.Context, _ getOrder) (order, error) {
		asked <- struct{}{}
		<-ctx.Done()
		return order{}, nil
	})
	w.start(server)
	require.NoError(w.t, client.Start(w.t.Context()))
	heard := make(chan error, 1)
	ctx := w.within(20 * time.Second)
	go func() {
		_, err := query.Ask[order](ctx, client, getOrder{})
		heard <- err
	}()
	<-asked
	require.NoError(w.t, client.Shutdown(w.t.Context()))
	require.ErrorIs(w.t, <-heard, event.ErrClosed)
	_, err := query.Ask[order](ctx, client, getOrder{})
	require.ErrorIs(w.t, err, event.ErrClosed)
}
