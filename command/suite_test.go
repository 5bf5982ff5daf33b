package command_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/bus/request"
	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
	"github.com/leat-go/leat/internal/kafkatest"
	"github.com/leat-go/leat/internal/killtest"
	"github.com/leat-go/leat/payload"
)

type placeOrder struct {
	Item  string
	Count int
}

type receipt struct{ Number string }

var errSoldOut = event.NewError("sold_out", "the last one is gone")

// named is a catalog that gives types names of their own, so that tests don't meet on a broker.
type named string

func (n named) Message(t reflect.Type) (event.Message, bool) {
	return event.Message{Type: string(n) + strings.ToLower(t.Name())}, true
}
func (named) MessageByType(string) (event.Message, bool) { return event.Message{}, false }
func (named) Check(event.Event) error                    { return nil }
func (named) Upcast(e event.Event) (event.Event, error)  { return e, nil }

// world is where a test of the suite runs: a channel, and names of its own.
type world struct {
	t       *testing.T
	open    func(t *testing.T) event.Channel
	catalog named
	ops     command.Operations
	store   *payload.Memory
}

// bus returns a Bus of an application that isn't started.
func (w *world) bus(app string, cfg ...command.Config) *bus.Bus {
	b := bus.New(bus.Config{App: app, Channel: w.open(w.t), Catalog: w.catalog})
	for _, c := range cfg {
		command.Use(b, c)
	}
	return b
}

func (w *world) start(buses ...*bus.Bus) {
	for _, b := range buses {
		require.NoError(w.t, b.Start(w.t.Context()))
		w.t.Cleanup(func() { require.NoError(w.t, b.Shutdown(context.WithoutCancel(w.t.Context()))) })
	}
}

func (w *world) config() command.Config {
	return command.Config{Operations: w.ops, Payloads: w.store, Payload: payload.Config{Above: 100}}
}

// final waits until an operation is final.
func (w *world) final(id string) command.Operation {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	var last command.Operation
	for o, err := range command.Watch(ctx, w.ops, id, 0) {
		require.NoError(w.t, err)
		last = o
	}
	return last
}

// TestInMemory runs the suite in memory: the other line is in TestOnKafka.
func TestInMemory(t *testing.T) {
	suite(t, func(*testing.T) func(*testing.T) event.Channel {
		ch := memory.New(memory.Encode())
		return func(*testing.T) event.Channel { return shared{ch} }
	})
}

// TestOnKafka runs it on a real broker.
func TestOnKafka(t *testing.T) {
	brokers := kafkatest.Brokers(t)
	suite(t, func(*testing.T) func(*testing.T) event.Channel {
		return func(*testing.T) event.Channel {
			return kafka.New(kafka.Config{Brokers: brokers, SessionTimeout: 6 * time.Second})
		}
	})
}

// shared is a channel of several Buses, none of which closes it.
type shared struct{ *memory.Channel }

func (shared) Close(context.Context) error { return nil }

func suite(t *testing.T, open func(t *testing.T) func(*testing.T) event.Channel) {
	t.Helper()
	for name, test := range map[string]func(*world){
		"answers":    testAnswers,
		"status":     testStatus,
		"retries":    testRetries,
		"dead":       testDead,
		"duplicates": testDuplicates,
		"expiry":     testExpiry,
		"two ask":    testTwoAsk,
		"cancel":     testCancel,
		"payloads":   testPayloads,
		"inside":     testInside,
		"apps":       testApps,
		"nobody":     testNobody,
		"notify":     testNotify,
		"shutdown":   testShutdown,
	} {
		t.Run(name, func(t *testing.T) {
			prefix := "c-" + strings.ToLower(event.NewID()) + "-"
			if !strings.HasPrefix(t.Name(), "TestInMemory/") {
				killtest.RemoveAtEnd(t, kafkatest.Brokers(t), prefix)
			}
			test(&world{
				t: t, open: open(t), catalog: named(prefix),
				ops:   command.NewMemory(command.MemoryConfig{}),
				store: payload.NewMemory(payload.MemoryConfig{}),
			})
		})
	}
}

// A result, an answer that is an error with its details, and the lack of a result come back
// to another process.
func testAnswers(w *world) {
	t := w.t
	worker, web := w.bus("worker"), w.bus("web")
	command.HandleResult(worker, func(_ context.Context, c placeOrder) (receipt, error) {
		if c.Item == "last" {
			return receipt{}, errSoldOut.WithDetails(map[string]int{"left": 0})
		}
		return receipt{Number: "r-" + c.Item}, nil
	})
	type ship struct{ Item string }
	command.Handle(worker, func(context.Context, ship) error { return nil })
	w.start(worker, web)
	r, err := command.Do[receipt](t.Context(), web, placeOrder{Item: "a"})
	require.NoError(t, err)
	require.Equal(t, receipt{"r-a"}, r)
	_, err = command.Do[receipt](t.Context(), web, placeOrder{Item: "last"})
	require.ErrorIs(t, err, errSoldOut)
	no, ok := errors.AsType[*event.Error](err)
	require.True(t, ok)
	require.Equal(t, "the last one is gone", no.Message)
	require.JSONEq(t, `{"left":0}`, string(no.Details))
	_, err = command.Do[struct{}](t.Context(), web, ship{})
	require.NoError(t, err)
	_, err = command.Do[receipt](t.Context(), web, ship{}) // there is none: it stays zero
	require.NoError(t, err)
}

// The states follow each other, with progress and attempt.
func testStatus(w *world) {
	t := w.t
	worker, web := w.bus("worker", w.config()), w.bus("web", w.config())
	began, goOn := make(chan struct{}), make(chan struct{})
	command.HandleResult(worker, func(ctx context.Context, c placeOrder) (receipt, error) {
		close(began)
		<-goOn
		o, ok := command.FromContext(ctx)
		require.True(t, ok)
		require.Equal(t, "ann", o.Subject)
		require.Equal(t, 1, o.Attempt)
		return receipt{"r-" + c.Item}, command.Progress(ctx, 40, "charging")
	})
	w.start(worker, web)
	require.NoError(t, worker.Pause(string(w.catalog)+"placeorder"))
	id, err := command.Send(t.Context(), web, placeOrder{Item: "a"}, command.From("ann"))
	require.NoError(t, err)
	o, err := w.ops.Get(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, command.Accepted, o.State)
	require.True(t, o.Sent)
	require.Equal(t, string(w.catalog)+"placeorder", o.Name)
	require.Equal(t, "ann", o.Subject)
	require.NoError(t, worker.Resume(string(w.catalog)+"placeorder"))
	<-began
	o, err = w.ops.Get(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, command.Running, o.State)
	require.Equal(t, 1, o.Attempt)
	close(goOn)
	o = w.final(id)
	require.Equal(t, command.Succeeded, o.State)
	require.Equal(t, &command.Stage{Percent: 40, Note: "charging"}, o.Progress)
	require.JSONEq(t, `{"Number":"r-a"}`, string(o.Result.Data))
	require.Equal(t, "ann", o.Subject)
}

// A failure is tried again, and the answer comes at the end.
func testRetries(w *world) {
	t := w.t
	worker, web := w.bus("worker", w.config()), w.bus("web", w.config())
	var runs atomic.Int32
	states := make(chan command.State, 1)
	command.HandleResult(worker, func(ctx context.Context, _ placeOrder) (receipt, error) {
		if runs.Add(1) == 1 {
			return receipt{}, errors.New("the till is away")
		}
		info, _ := event.FromContext(ctx)
		o, err := w.ops.Get(ctx, info.Event.ID())
		states <- o.State
		return receipt{"r"}, err
	}, quickly(3))
	w.start(worker, web)
	r, err := command.Do[receipt](t.Context(), web, placeOrder{}, bus.ID("c-1"))
	require.NoError(t, err)
	require.Equal(t, receipt{"r"}, r)
	require.Equal(t, command.Running, <-states)
	o := w.final("c-1")
	require.Equal(t, command.Succeeded, o.State)
	require.GreaterOrEqual(t, o.Attempt, 2)
	require.Nil(t, o.Problem)
}

func quickly(attempts int) bus.SubscribeOption {
	return bus.Retry(bus.Backoff{First: time.Millisecond, Max: time.Millisecond, Attempts: attempts})
}

// A command whose attempts are used up has failed, is a dead letter, and can be driven again.
// The text of its error is for nobody but operators.
func testDead(w *world) {
	t := w.t
	worker, web := w.bus("worker", w.config()), w.bus("web", w.config())
	var broken atomic.Bool
	broken.Store(true)
	command.HandleResult(worker, func(context.Context, placeOrder) (receipt, error) {
		if broken.Load() {
			return receipt{}, errors.New("secret")
		}
		return receipt{"r"}, nil
	}, quickly(2))
	w.start(worker, web)
	_, err := command.Do[receipt](t.Context(), web, placeOrder{Item: strings.Repeat("x", 1000)}, bus.ID("c-1"))
	require.Equal(t, "failed", event.CodeOf(err))
	require.NotContains(t, err.Error(), "secret")
	o := w.final("c-1")
	require.Equal(t, command.Failed, o.State)
	require.NotContains(t, o.Problem.Error(), "secret")
	_, err = command.Do[receipt](t.Context(), web, placeOrder{Item: strings.Repeat("x", 1000)}, bus.ID("c-1"))
	require.Equal(t, "failed", event.CodeOf(err), "a duplicate is answered, and not run")
	n, _ := w.store.Len()
	require.Equal(t, 1, n, "the payload stays")
	broken.Store(false)
	group, driven := string(w.catalog)+"placeorder", false
	require.Eventually(t, func() bool { // it is told before it is a dead letter
		for d, err := range worker.DeadLetters(t.Context(), group) {
			driven = err == nil && worker.Redrive(t.Context(), d) == nil
		}
		return driven
	}, time.Minute, 5*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for o.State != command.Succeeded {
		require.NoError(t, ctx.Err())
		for o, err = range command.Watch(ctx, w.ops, "c-1", o.Version) {
			require.NoError(t, err)
		}
	}
	w.empty()
}

// empty waits until no payload is left.
func (w *world) empty() {
	w.t.Helper()
	require.Eventually(w.t, func() bool { n, _ := w.store.Len(); return n == 0 }, time.Minute, 5*time.Millisecond)
}

// A duplicate isn't run again, and answers too: from the operation, or from what the
// middleware against duplicates has kept.
func testDuplicates(w *world) {
	t := w.t
	for _, withStatus := range []bool{true, false} {
		w.catalog += "x"
		cfg := command.Config{}
		if withStatus {
			cfg = w.config()
		}
		worker, web := w.bus("worker", cfg), w.bus("web", cfg)
		var runs atomic.Int32
		var opts []bus.SubscribeOption
		if !withStatus {
			opts = append(opts, bus.With(idempotency.Middleware(idempotency.NewMemory(idempotency.MemoryConfig{}))))
		}
		command.HandleResult(worker, func(_ context.Context, c placeOrder) (receipt, error) {
			runs.Add(1)
			if c.Item == "last" {
				return receipt{}, errSoldOut
			}
			return receipt{"r"}, nil
		}, opts...)
		w.start(worker, web)
		for range 3 {
			r, err := command.Do[receipt](t.Context(), web, placeOrder{Item: "a"}, bus.ID("dup-1"))
			require.NoError(t, err)
			require.Equal(t, receipt{"r"}, r)
			_, err = command.Do[receipt](t.Context(), web, placeOrder{Item: "last"}, bus.ID("dup-2"))
			require.ErrorIs(t, err, errSoldOut)
		}
		require.EqualValues(t, 2, runs.Load())
		if !withStatus {
			continue
		}
		id, err := command.Send(t.Context(), web, placeOrder{Item: "a"}, bus.ID("dup-1"))
		require.NoError(t, err)
		require.Equal(t, "dup-1", id)
		_, err = command.Send(t.Context(), web, placeOrder{Item: "b"}, bus.ID("dup-1"))
		require.ErrorIs(t, err, command.ErrExists, "another command by the same id")
	}
}

// Whoever asks again for a command at work waits for that, and not for the end of the claim of
// a second delivery.
func testTwoAsk(w *world) {
	t := w.t
	worker, web := w.bus("worker", w.config()), w.bus("web", w.config())
	began, goOn := make(chan struct{}), make(chan struct{})
	var runs atomic.Int32
	once := idempotency.Middleware(idempotency.NewMemory(idempotency.MemoryConfig{}), idempotency.Lease(time.Hour))
	command.HandleResult(worker, func(context.Context, placeOrder) (receipt, error) {
		if runs.Add(1) == 1 {
			close(began)
		}
		<-goOn
		return receipt{"r"}, nil
	}, bus.With(once), bus.Workers(4))
	w.start(worker, web)
	answers := make(chan error, 4)
	ask := func() {
		r, err := command.Do[receipt](t.Context(), web, placeOrder{}, bus.ID("twice"))
		if err == nil && r.Number != "r" {
			err = errors.New("another result")
		}
		answers <- err
	}
	go ask()
	<-began
	for range 3 {
		go ask()
	}
	close(goOn)
	for range 4 {
		require.NoError(t, <-answers)
	}
	require.EqualValues(t, 1, runs.Load())
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	require.NoError(t, worker.Pause(string(w.catalog)+"placeorder"))
	_, err := command.Send(t.Context(), web, placeOrder{}, bus.ID("never"))
	require.NoError(t, err)
	_, err = command.Do[receipt](ctx, web, placeOrder{}, bus.ID("never"))
	require.ErrorIs(t, err, request.ErrNoAnswer)
}

// A command that comes too late isn't run.
func testExpiry(w *world) {
	t := w.t
	worker, web := w.bus("worker", w.config()), w.bus("web", w.config())
	command.Handle(worker, func(context.Context, placeOrder) error {
		t.Error("it is run")
		return nil
	})
	w.start(worker, web)
	_, err := command.Do[struct{}](t.Context(), web, placeOrder{}, command.Expires(-time.Second), bus.ID("e-1"))
	require.ErrorIs(t, err, command.ErrExpired)
	require.Equal(t, command.Expired, w.final("e-1").State)
}

// What is cancelled before a handler begins isn't run; at work it is too late.
func testCancel(w *world) {
	t := w.t
	worker, web := w.bus("worker", w.config()), w.bus("web", w.config())
	began, goOn := make(chan string, 1), make(chan struct{})
	command.Handle(worker, func(_ context.Context, c placeOrder) error {
		began <- c.Item
		<-goOn
		return nil
	})
	w.start(worker, web)
	first, err := command.Send(t.Context(), web, placeOrder{Item: "first"})
	require.NoError(t, err)
	require.Equal(t, "first", <-began)
	_, err = command.Cancel(t.Context(), web, first)
	require.ErrorIs(t, err, command.ErrRunning)
	second, err := command.Send(t.Context(), web, placeOrder{Item: "second"})
	require.NoError(t, err)
	for range 2 {
		o, err := command.Cancel(t.Context(), web, second)
		require.NoError(t, err)
		require.Equal(t, command.Cancelled, o.State)
	}
	close(goOn)
	require.Equal(t, command.Succeeded, w.final(first).State)
	_, err = command.Cancel(t.Context(), web, first)
	require.ErrorIs(t, err, command.ErrOver)
	_, err = command.Cancel(t.Context(), web, "nothing")
	require.ErrorIs(t, err, command.ErrNoOperation)
	_, err = command.Do[struct{}](t.Context(), web, placeOrder{Item: "second"}, bus.ID(second))
	require.ErrorIs(t, err, command.ErrCancelled, "and whoever asks is told")
	require.Empty(t, began)
}
