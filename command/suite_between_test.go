package command_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/event"
)

// A large payload takes its way beside the channel, and is gone when the command is over.
func testPayloads(w *world) {
	t := w.t
	worker, web := w.bus("worker", w.config()), w.bus("web", w.config())
	command.HandleResult(worker, func(_ context.Context, c placeOrder) (receipt, error) {
		if c.Count == 0 {
			return receipt{}, errSoldOut
		}
		return receipt{c.Item[:3]}, nil
	})
	w.start(worker, web)
	large := strings.Repeat("x", 1000)
	r, err := command.Do[receipt](t.Context(), web, placeOrder{Item: large, Count: 1})
	require.NoError(t, err)
	require.Equal(t, receipt{"xxx"}, r)
	_, err = command.Do[receipt](t.Context(), web, placeOrder{Item: large})
	require.ErrorIs(t, err, errSoldOut)
	w.empty()
}

// Inside a handler Send goes out with its success, and Do at once.
func testInside(w *world) {
	t := w.t
	type ship struct{ Item string }
	type check struct{ Item string }
	worker := w.bus("worker", w.config())
	var fails atomic.Bool
	fails.Store(true)
	shipped := make(chan string, 4)
	command.Handle(worker, func(_ context.Context, c ship) error { shipped <- c.Item; return nil })
	command.HandleResult(worker, func(_ context.Context, c check) (receipt, error) { return receipt{"ok-" + c.Item}, nil })
	command.HandleResult(worker, func(ctx context.Context, c placeOrder) (receipt, error) {
		r, err := command.Do[receipt](ctx, worker, check{c.Item})
		if err != nil {
			return r, err
		}
		if _, err := command.Send(ctx, worker, ship{c.Item}); err != nil {
			return r, err
		}
		if fails.Swap(false) {
			return r, errors.New("later")
		}
		return r, nil
	}, quickly(3))
	w.start(worker)
	r, err := command.Do[receipt](t.Context(), worker, placeOrder{Item: "a"})
	require.NoError(t, err)
	require.Equal(t, receipt{"ok-a"}, r)
	require.Equal(t, "a", <-shipped)
	_, err = command.Do[receipt](t.Context(), worker, placeOrder{Item: "b"})
	require.NoError(t, err)
	require.Equal(t, "b", <-shipped, "once, though the first attempt failed behind it")
}

// Applications that handle a type share its commands: each is run by one of them.
func testApps(w *world) {
	t := w.t
	runs := make(chan string, 100)
	var workers []*bus.Bus
	for _, app := range []string{"one", "two"} {
		b := w.bus(app)
		command.Handle(b, func(_ context.Context, c placeOrder) error { runs <- c.Item; return nil })
		workers = append(workers, b)
	}
	web := w.bus("web")
	w.start(append(workers, web)...)
	for i := range 20 {
		_, err := command.Do[struct{}](t.Context(), web, placeOrder{Count: i}, bus.Key(string(rune('a'+i))))
		require.NoError(t, err)
	}
	require.Len(t, runs, 20)
}

// A command that nobody handles is refused, where the channel knows its groups.
func testNobody(w *world) {
	t := w.t
	web := w.bus("web", w.config())
	_, err := command.Send(t.Context(), web, placeOrder{})
	require.ErrorIs(t, err, bus.ErrNotStarted)
	w.start(web)
	_, err = command.Send(t.Context(), web, placeOrder{})
	require.ErrorIs(t, err, command.ErrNoHandler)
	_, err = command.Do[receipt](t.Context(), web, placeOrder{})
	require.ErrorIs(t, err, command.ErrNoHandler)
	_, err = command.Send(t.Context(), web, event.New("/s", "t", nil))
	require.ErrorContains(t, err, "no command")
	_, ok := command.FromContext(t.Context())
	require.False(t, ok)
}

// Whoever is to be told hears of each end, with the result, and again if it failed.
func testNotify(w *world) {
	t := w.t
	told := make(chan command.Operation, 10)
	var fails atomic.Bool
	fails.Store(true)
	cfg := w.config()
	cfg.Notify = map[string]command.Notifier{"chat": command.NotifierFunc(func(_ context.Context, o command.Operation) error {
		if fails.Swap(false) {
			return errors.New("away")
		}
		told <- o
		return nil
	})}
	worker := w.bus("worker", cfg)
	command.HandleResult(worker, func(_ context.Context, c placeOrder) (receipt, error) {
		if c.Item == "last" {
			return receipt{}, errSoldOut
		}
		return receipt{"r"}, nil
	})
	w.start(worker)
	id, err := command.Send(t.Context(), worker, placeOrder{}, command.From("ann"))
	require.NoError(t, err)
	o := <-told
	require.Equal(t, id, o.ID)
	require.Equal(t, command.Succeeded, o.State)
	require.Equal(t, "ann", o.Subject)
	require.JSONEq(t, `{"Number":"r"}`, string(o.Result.Data))
	_, err = command.Send(t.Context(), worker, placeOrder{Item: "last"})
	require.NoError(t, err)
	o = <-told
	require.Equal(t, command.Failed, o.State)
	require.ErrorIs(t, o.Problem, errSoldOut)
}

// Who waits when the Bus ends is told so.
func testShutdown(w *world) {
	t := w.t
	worker, web := w.bus("worker"), w.bus("web")
	began, goOn := make(chan struct{}), make(chan struct{})
	command.Handle(worker, func(context.Context, placeOrder) error {
		close(began)
		<-goOn
		return nil
	})
	w.start(worker)
	require.NoError(t, web.Start(t.Context()))
	waits := make(chan error, 1)
	go func() {
		_, err := command.Do[struct{}](t.Context(), web, placeOrder{})
		waits <- err
	}()
	<-began
	require.NoError(t, web.Shutdown(t.Context()))
	require.ErrorIs(t, <-waits, event.ErrClosed)
	_, err := command.Do[struct{}](t.Context(), web, placeOrder{})
	require.ErrorIs(t, err, event.ErrClosed)
	close(goOn)
}
