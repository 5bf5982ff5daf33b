package query_test

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/kafkatest"
	"github.com/leat-go/leat/internal/killtest"
)

type getOrder struct{ ID string }

type order struct {
	ID    string
	Cents int
}

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
	open    func() event.Channel
	catalog named
	many    int // queries in flight at once
}

// bus returns a Bus of an application that isn't started. Its App begins with a name of the test's own, and so
// does what it has on a broker.
func (w *world) bus(app string) *bus.Bus {
	return bus.New(bus.Config{App: string(w.catalog) + app, Channel: w.open(), Catalog: w.catalog})
}

func (w *world) app(app string) string { return string(w.catalog) + app }

func (w *world) start(buses ...*bus.Bus) {
	for _, b := range buses {
		require.NoError(w.t, b.Start(w.t.Context()))
		w.t.Cleanup(func() { require.NoError(w.t, b.Shutdown(context.WithoutCancel(w.t.Context()))) })
	}
}

// within returns a context that ends after d.
func (w *world) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(w.t.Context(), d)
	w.t.Cleanup(cancel)
	return ctx
}

// TestInMemory runs the suite in memory, in virtual time: the other line is in TestOnKafka.
func TestInMemory(t *testing.T) {
	for name, test := range suite {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ch := memory.New(memory.Encode())
				test(&world{t: t, open: func() event.Channel { return shared{ch} }, catalog: "q-", many: 10_000})
			})
		})
	}
}

// TestOnKafka runs it on a real broker.
func TestOnKafka(t *testing.T) {
	brokers := kafkatest.Brokers(t)
	for name, test := range suite {
		t.Run(name, func(t *testing.T) {
			prefix := "q" + strings.ToLower(event.NewID()) + "-"
			killtest.RemoveAtEnd(t, brokers, prefix)
			test(&world{t: t, open: func() event.Channel {
				return kafka.New(kafka.Config{Brokers: brokers, SessionTimeout: session})
			}, catalog: named(prefix), many: 10_000})
		})
	}
}

// session is how long Kafka takes a member that says nothing for one that is there.
const session = 6 * time.Second

// shared is a channel of several Buses, none of which closes it.
type shared struct{ *memory.Channel }

func (shared) Close(context.Context) error { return nil }

var suite = map[string]func(*world){
	"answers":   testAnswers,
	"errors":    testErrors,
	"postponed": testPostponed,
	"deadline":  testDeadline,
	"expired":   testExpired,
	"nobody":    testNobody,
	"gone":      testGone,
	"in flight": testInFlight,
	"everybody": testEverybody,
	"enough":    testEnough,
	"inside":    testInside,
	"shutdown":  testShutdown,
}
